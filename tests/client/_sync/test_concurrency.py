# Generated from tests/client/_async/test_concurrency.py by `python tools/unasync.py`.

"""One store used by many threads or tasks at once."""

from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from pgstore import MessagePosition, MessageStore, OptimisticConcurrencyError
from tests.client._sync.conftest import OpenStore
from tests.client._sync.everything import MESSAGES, do_everything
from tests.client.messages import EventA, Signed
from tests.client.parallel import Parallel

Store = MessageStore[Any]


@pytest.fixture(params=[False, True], ids=["single", "grouped"])
def store(request: pytest.FixtureRequest, open_store: OpenStore) -> Store:
    return open_store(group_writes=request.param)


def test_many_writers_of_one_stream_leave_no_gap(store: Store, stream: str) -> None:
    count = 4 * Parallel.MANY
    with Parallel() as parallel:
        parallel.start(*(partial(store.write, stream, EventA(number)) for number in range(count)))
        results = parallel.results()
    assert sorted(position.version for position in results) == list(range(1, count + 1))
    stored = list(store.read(stream))
    assert [message.version for message in stored] == list(range(1, count + 1))
    assert sorted(message.message.num for message in stored) == list(range(count))
    places = {message.version: message.global_position for message in stored}
    assert {position.version: position.global_position for position in results} == places
    assert sorted(places.values()) == list(places.values())


def test_of_many_with_one_expected_version_one_wins(store: Store, stream: str) -> None:
    with Parallel() as parallel:
        parallel.start(
            *(
                partial(store.write, stream, EventA(number), expected_version=0)
                for number in range(Parallel.MANY)
            )
        )
        results = parallel.results()
    won = [result for result in results if isinstance(result, MessagePosition)]
    lost = [result for result in results if isinstance(result, OptimisticConcurrencyError)]
    assert (len(won), len(won) + len(lost)) == (1, Parallel.MANY)
    assert {error.actual_version for error in lost} == {1}
    assert store.stream_version(stream) == 1


def test_the_same_message_from_many_is_stored_once(open_store: OpenStore, stream: str) -> None:
    store = open_store(Signed)
    message = Signed(text="once")
    with Parallel() as parallel:
        parallel.start(*[partial(store.write, stream, message, expected_version=0)] * Parallel.MANY)
        results = parallel.results()
    assert len(set(results)) == 1
    assert [stored.message for stored in store.read(stream)] == [message]


def test_everything_at_once(open_store: OpenStore, stream: str) -> None:
    store = open_store(MESSAGES)
    with Parallel() as parallel:
        parallel.start(
            *(
                partial(do_everything, store, f"{stream}-{number}")
                for number in range(Parallel.MANY)
            )
        )
        assert parallel.results() == [None] * Parallel.MANY


def test_everything_at_once_on_a_pool_of_two(
    conninfo: str, open_store: OpenStore, stream: str
) -> None:
    pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
        conninfo, min_size=1, max_size=2, timeout=20, open=False
    )
    with pool:
        store = open_store(MESSAGES, conninfo=pool)
        with Parallel() as parallel:
            parallel.start(
                *(
                    partial(do_everything, store, f"{stream}-{number}")
                    for number in range(Parallel.MANY)
                )
            )
            assert parallel.results() == [None] * Parallel.MANY


def test_callers_that_keep_a_pool_in_use_leave_a_follower_its_turn(
    conninfo: str, open_store: OpenStore, category: str
) -> None:
    pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
        conninfo, min_size=1, max_size=1, open=False
    )
    with pool:
        store = open_store(conninfo=pool)
        store.write(f"{category}-1", EventA(1))
        seen: list[int] = []
        taken: list[int] = []

        def hold() -> None:
            # As long as it takes to see that the follower never gets it.
            while not seen and len(taken) < 60:
                with pool.connection() as conn:
                    taken.append(1)
                    conn.execute("SELECT pg_sleep(0.2)")

        def follow() -> None:
            for stored in store.follow(category=category):
                seen.append(stored.message.num)
                return

        with Parallel() as parallel:
            parallel.start(hold, hold, hold, hold)
            Parallel.until(lambda: len(taken) > 0)
            parallel.start(follow)
            parallel.results()
        assert len(taken) < 60
