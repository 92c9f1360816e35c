# Generated from tests/client/_async/test_poolers.py by `python tools/unasync.py`.

"""Stores through PgBouncer, in each of its modes."""

import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from pgstore import InvalidArgumentError, MessageStore
from tests.client._sync.conftest import OpenStore
from tests.client._sync.everything import MESSAGES, do_everything
from tests.client._sync.running import running
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.conftest import Connect
from tests.pgbouncer import MODES, pgbouncer

# As many as make psycopg prepare a statement, and some more.
MANY = 12


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def pooled(server_conninfo: str, mode: str) -> Iterator[str]:
    with pgbouncer(server_conninfo, mode) as conninfo:
        yield conninfo


@pytest.fixture
def store(open_store: OpenStore, pooled: str, mode: str) -> MessageStore[Any]:
    threshold = 5 if mode == "session" else None
    return open_store(MESSAGES, conninfo=pooled, prepare_threshold=threshold)


@pytest.fixture
def bells(connect: Connect, shared: str) -> Any:
    """How many bell keys of the store any session holds."""
    conn = connect()
    ((bell,),) = conn.execute(f"SELECT {shared}._bell_lock_class()").fetchall()
    held = (
        "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
        " AND classid::bigint = %s::bigint & 4294967295"
    )
    return lambda: conn.execute(held, (bell,)).rowcount


@pytest.fixture
def rings(connect: Connect, shared: str) -> Any:
    """How many notifications have come since the last question."""
    conn = connect()
    ((channel,),) = conn.execute(f"SELECT {shared}.wake_channel()").fetchall()
    conn.execute(f'LISTEN "{channel}"'.encode())
    return lambda: len(list(conn.notifies(timeout=0.1)))


def collect(messages: Any, seen: list[int], count: int) -> None:
    for stored in messages:
        seen.append(stored.message.num)
        if len(seen) == count:
            return


def test_operations_work_again_and_again(
    store: MessageStore[Any], category: str, mode: str
) -> None:
    for n in range(MANY):
        do_everything(store, f"{category}-{n}")
        found = list(store.read_category(category))
        assert len(found) == 4 * (n + 1)  # do_everything writes to another stream, too
        assert len(list(store.raw.read_all(max_count=3))) == 3
        if mode != "statement":
            with store.transaction() as conn:
                do_everything(store, f"other{category}-{n}", conn, refuse=False)


def test_readers_wait_and_no_bell_is_left(
    store: MessageStore[Any],
    category: str,
    mode: str,
    bells: Any,
    rings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    subscription = store.subscription(
        category, category=category, batch_size=3, ignore=["EventB", "Signed"]
    )
    handled: list[int] = []

    @subscription.handler
    def note(message: EventA) -> None:
        handled.append(message.num)

    seen: list[int] = []
    many = MANY if mode == "session" else 4
    follower = store.follow(category=category)
    with Parallel() as parallel, running(store, subscription):
        parallel.start(partial(collect, follower, seen, many))
        for n in range(many):
            start = time.monotonic()
            store.write(f"{category}-1", EventA(n))
            Parallel.until(lambda: len(seen) > n and len(handled) > n)  # noqa: B023
            assert time.monotonic() - start < 8  # not by the fallback poll
            time.sleep(0.1)  # let the waker go on to its next wait
        parallel.results()
    store.close()
    assert seen == handled == list(range(many))
    assert bells() == 0
    rings()
    store.write(f"{category}-1", EventA(many))
    assert rings() == 0
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(told) == (0 if mode == "session" else 1), told


def test_poll_mode_works(
    open_store: OpenStore, pooled: str, category: str, bells: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(conninfo=pooled, prepare_threshold=None, wakeup="poll")
    seen: list[int] = []
    with Parallel() as parallel:
        parallel.start(partial(collect, store.follow(category=category), seen, 3))
        for n in range(3):
            store.write(f"{category}-1", EventA(n))
            Parallel.until(lambda: len(seen) > n)  # noqa: B023
        parallel.results()
    assert bells() == 0
    assert caplog.records == []


def test_exactly_once_needs_a_transaction(
    store: MessageStore[Any], category: str, mode: str
) -> None:
    if mode == "statement":
        with pytest.raises(psycopg.Error), store.transaction():
            pass
        return
    subscription = store.subscription(category, category=category, batch_size=3)

    @subscription.handler
    def copy(message: EventA, tx: psycopg.Connection[Any]) -> None:
        store.write(f"copy{category}", message, conn=tx)

    for n in range(MANY):
        store.write(f"{category}-1", EventA(n))
    assert store.run_once(subscription) == MANY
    copied = [stored.message.num for stored in store.read(f"copy{category}")]
    assert copied == list(range(MANY))


def test_a_given_pool_prepares_as_it_was_made_to(
    open_store: OpenStore, pooled: str, stream: str
) -> None:
    with ConnectionPool(
        pooled, min_size=1, max_size=3, kwargs={"prepare_threshold": None}, open=False
    ) as pool:
        with pytest.raises(InvalidArgumentError):
            open_store(conninfo=pool, prepare_threshold=None)
        store = open_store(conninfo=pool)
        for n in range(MANY):
            assert store.write(stream, EventA(n)).version == n + 1
