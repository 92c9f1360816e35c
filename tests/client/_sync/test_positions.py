# Generated from tests/client/_async/test_positions.py by `python tools/unasync.py`.

"""Positions that a reader keeps: none that the server can give again, none of another history."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import PoolClosed

from pgstore import (
    InvalidArgumentError,
    MessagePosition,
    MessageStore,
    PositionBeyondEndError,
)
from pgstore.embedded import Server, account
from tests.client._sync.conftest import OpenStore
from tests.client._sync.test_follow import collect
from tests.client.messages import EventA, EventB
from tests.client.parallel import Parallel
from tests.conftest import Connect
from tests.stores import Stores

Store = MessageStore[Any]


@pytest.fixture
def schema(stores: Stores) -> Iterator[str]:
    """Name of a store that is installed."""
    with stores.taken() as name:
        yield name


@pytest.fixture
def alone(open_store: OpenStore, schema: str) -> Iterator[Store]:
    """A store to which nobody else writes."""
    store = open_store(store=schema)
    yield store
    store.close()


def roll_back(store: Store, count: int) -> None:
    """Write some messages, of which none is stored."""
    with suppress(RuntimeError), store.transaction() as conn:
        for number in range(count):
            store.write("left-1", EventA(number), conn=conn)
        raise RuntimeError


def test_position_of_a_follower_is_that_of_a_stored_message(alone: Store) -> None:
    position = alone.write("account-1", EventA(1)).global_position
    follower = alone.follow(timeout=0.02)
    collect(follower, [])
    roll_back(alone, 40)
    collect(follower, [])
    assert follower.position == position
    elsewhere = alone.follow(category="order", timeout=0.02)
    collect(elsewhere, [])
    assert elsewhere.position == position  # what the filter leaves out is passed over
    assert alone.safe_position() == position


def test_follower_does_not_poll_after_a_rollback(
    alone: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = alone.follow()
    seen: list[int] = []
    calls = 0
    rows = alone._database.rows

    def spy(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return rows(*arguments, **named)

    with Parallel() as parallel:
        alone.write("account-1", EventA(1))
        parallel.start(partial(collect, follower, seen))
        Parallel.until(lambda: seen == [1])
        roll_back(alone, 40)
        time.sleep(0.5)  # it is woken once or twice
        monkeypatch.setattr(alone._database, "rows", spy)
        time.sleep(1)
        assert calls == 0
        follower.stop()
        parallel.results()


def test_wait_until_ends_although_its_message_was_deleted(alone: Store) -> None:
    subscription = alone.subscription("sums", category="account")
    spread = alone.subscription("spread", category="account", partitions=3)

    @subscription.handler
    @spread.handler
    def handle(message: EventA) -> None:
        pass

    alone.run_once(subscription, spread)
    position = alone.write("account-1", EventA(1)).global_position
    with psycopg.Connection.connect(alone._database.source.conninfo) as conn:
        conn.execute(
            sql.SQL("SELECT {}.delete_stream('account-1', 1)").format(sql.Identifier(alone.name))
        )
    alone.run_once(subscription, spread)
    subscription.wait_until(position, timeout=1)
    spread.wait_until(position, timeout=1)


def test_position_beyond_the_last_one_is_refused(alone: Store) -> None:
    last = alone.write("account-1", EventA(1)).global_position
    for read in (
        alone.read_all(after_position=last + 7),
        alone.read_category("account", after_position=last + 7),
        alone.follow(after_position=last + 7, timeout=5),
    ):
        with pytest.raises(PositionBeyondEndError) as caught:
            next(read)
        assert (caught.value.position, caught.value.last_position) == (last + 7, last)
    with pytest.raises(PositionBeyondEndError):
        alone.subscription("ahead", start=last + 7).create()
    alone.subscription("at the end", start=last).create()


@pytest.mark.parametrize("partitions", [1, 3])
def test_subscription_beyond_the_last_position_is_refused(alone: Store, partitions: int) -> None:
    """A store of another history, in which the rows of its subscriptions were kept."""
    subscription = alone.subscription("sums", partitions=partitions)

    @subscription.handler
    def handle(message: EventA) -> None:
        pass

    for number in range(5):
        alone.write(f"account-{number}", EventA(number))
    alone.run_once(subscription)
    with psycopg.Connection.connect(alone._database.source.conninfo) as conn:
        conn.execute(
            sql.SQL(
                "DELETE FROM {store}.messages AS m WHERE m.global_position > 2;"
                "SELECT setval('{store}.global_position_seq', 2)"
            ).format(store=sql.Identifier(alone.name))
        )
    with pytest.raises(PositionBeyondEndError) as caught:
        alone.run_once(subscription)
    assert (caught.value.position, caught.value.last_position) == (5, 2)
    with pytest.raises(PositionBeyondEndError):
        alone.run(subscription)


@pytest.fixture
def crashing() -> Iterator[Server]:
    folder = account.temporary_folder()
    try:
        with Server(folder / "server") as server:
            yield server
    finally:
        shutil.rmtree(folder)


def crash(server: Server) -> None:
    """Kill the server, wait until its processes are gone, and start it again."""
    os.kill(int((server.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    server.stop()
    end = time.monotonic() + 20
    while True:
        try:
            server.start()
            return
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_no_message_is_skipped_after_a_crash(crashing: Server) -> None:
    handled: list[int] = []

    def handle(message: EventA) -> None:
        handled.append(message.num)

    for _ in range(3):
        with MessageStore[EventA | EventB](crashing.conninfo, messages=EventA | EventB) as store:
            start = store.safe_position()
            sums = store.subscription("sums")
            sums.handler(handle)
            store.run_once(sums)
            handled.clear()
            roll_back(store, 40)
            follower = store.follow(after_position=start, timeout=0.02)
            collect(follower, [])
            store.run_once(sums)
            crash(crashing)
            for number in range(5):
                again(store, EventA(number))
            for after in (follower.position, start):
                seen: list[int] = []
                collect(store.follow(after_position=after, timeout=0.02), seen)
                assert seen == list(range(5))
            store.run_once(sums)
            assert handled == list(range(5))


def again(store: MessageStore[EventA | EventB], message: EventA) -> MessagePosition:
    """Write it, once the server takes it again."""
    end = time.monotonic() + 20
    while True:
        try:
            return store.write("account-1", message)
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_a_position_is_readable_when_no_writer_before_it_is_in_flight(alone: Store) -> None:
    with Parallel() as parallel:
        with alone.transaction() as conn:
            held = alone.write("account-1", EventA(1), conn=conn).global_position
            position = alone.write("account-2", EventA(2)).global_position
            alone.wait_until_readable(held - 1)
            with pytest.raises(TimeoutError, match=f"up to {held - 1}"):
                alone.wait_until_readable(position, timeout=0)
            parallel.start(partial(alone.wait_until_readable, position, timeout=None))
        assert list(parallel.results()) == [None]
    assert [stored.global_position for stored in alone.read_all()] == [held, position]


def test_a_position_is_readable_again_after_the_safe_position_went_back(
    alone: Store, connect: Connect
) -> None:
    position = alone.write("account-1", EventA(1)).global_position
    follower = alone.follow(after_position=position)
    with Parallel() as parallel:
        parallel.start(partial(collect, follower, []))
        Parallel.until(lambda: alone._waker.safe_position == position)
        follower.stop()
        parallel.results()
    # A writer that had read its bound before, and takes its mark only now. It notifies nobody.
    late = connect(autocommit=False)
    late.execute(f"SELECT {alone.name}._take_mark({position - 1})".encode())
    with Parallel() as parallel:
        parallel.start(partial(alone.wait_until_readable, position, timeout=None))
        Parallel.until(lambda: alone._waker._waiting == 1)
        late.rollback()
        assert list(parallel.results()) == [None]


def test_waiting_until_readable_ends_when_the_store_is_closed(alone: Store) -> None:
    with Parallel() as parallel:
        parallel.start(partial(alone.wait_until_readable, 1, timeout=None))
        Parallel.until(lambda: alone._waker._waiting == 1)
        alone.close()
        (error,) = parallel.results()
    assert isinstance(error, PoolClosed)


@pytest.mark.parametrize("wrong", [{"position": "1"}, {"timeout": "1"}])
def test_wait_until_readable_refuses_other_values(alone: Store, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        alone.wait_until_readable(**{"position": 1, "timeout": 1.0} | wrong)
