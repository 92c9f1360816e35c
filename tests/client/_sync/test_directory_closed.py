# Generated from tests/client/_async/test_directory_closed.py by `python tools/unasync.py`.

"""Stores that are closed, and open nowhere for a time: what waits, and for how long."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import psycopg
import pytest

import pgstore
from pgstore import MessageStore
from pgstore._sync import database, entry
from tests.client._sync.places import Servers
from tests.client.messages import EventA
from tests.client.parallel import Parallel

Store = MessageStore[EventA]


@pytest.fixture
def servers(conninfo: str) -> Iterator[Servers]:
    with Servers.made(conninfo) as servers:
        yield servers


@pytest.fixture
def store(servers: Servers) -> Iterator[Store]:
    with servers.directory.store("bank", messages=EventA) as store:
        yield store


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the place that the closed store says tried soon, whatever the directory says."""
    monkeypatch.setattr(entry, "_DIRECTORY_FIRST", 0.2)


def close_for_good(servers: Servers) -> None:
    """Close the store where it is, and nowhere open it."""
    servers.close(servers.first, servers.second)


def test_places_that_say_one_another_are_tried_for_some_time(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a-1", EventA(1))
    soon(monkeypatch)
    monkeypatch.setattr(database, "_MOVES", 1.0)
    close_for_good(servers)
    began = time.monotonic()
    with pytest.raises(pgstore.StoreMovedError):
        store.write("a-2", EventA(1))
    assert time.monotonic() - began >= 1.0
    monkeypatch.setattr(database, "_MOVES", 60.0)
    # The one that is opened then is found, although the directory has the other one.
    servers.open(servers.second)
    store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]


def test_each_operation_waits_and_is_done_once_at_the_new_place(
    servers: Servers, store: Store
) -> None:
    store.write("a-1", EventA(1))
    query = pgstore.QueryItem(tags=["x"])
    none_yet = store.read_tagged(query)
    decider: Any = store.decider(lambda state, _: state, state=int)
    first, second = store.subscription("first"), store.subscription("second", category="c")

    @second.handler
    def handle(message: EventA) -> None:
        raise AssertionError

    def read() -> list[str]:
        return [each.stream for each in store.read("a-1")]

    def read_correlated() -> list[str]:
        return [each.stream for each in store.read_correlated("x")]

    reads: list[Callable[[], Any]] = [
        read,
        read_correlated,
        lambda: store.last("a-1"),
        lambda: store.stream_version("a-1"),
        lambda: store.safe_position(),
        lambda: store.wait_until_readable(0),
        lambda: store.cancel(uuid4()),
        lambda: store.deliver_scheduled(),
    ]
    due = timedelta(days=1)
    writes: list[Callable[[], Any]] = [
        lambda: store.write("b-1", EventA(1), tags=["y"], unless=none_yet),
        lambda: store.write_many("b-2", [EventA(1), EventA(2)]),
        lambda: store.write("b-3", EventA(1), expected_version=0),
        lambda: store.schedule("b-4", EventA(1), due),
        lambda: decider.decide("b-5", lambda state: EventA(state)),
        lambda: first.create(),
        lambda: store.run_once(second),
    ]
    close_for_good(servers)
    for calls in (reads, writes):
        with Parallel() as parallel:
            parallel.start(*calls)
            if calls is reads:
                parallel.until(lambda: store._database.source._looked > 0)
                servers.open(servers.second)
                servers.directory.put("bank", servers.second)
            results = parallel.results()
            assert [each for each in results if isinstance(each, BaseException)] == []
        if calls is reads:
            assert results == [[], [], None, 0, 0, None, False, 0]
            servers.close(servers.second, servers.first)
            servers.open(servers.first)
            servers.directory.put("bank", servers.first)
    assert servers.streams(servers.first) == ["a-1", "b-1", "b-2", "b-2", "b-3", "b-5"]
    assert servers.streams(servers.second) == []


def test_connection_of_the_callers_is_not_repeated_on(servers: Servers, store: Store) -> None:
    store.write("a-1", EventA(1))
    with psycopg.Connection.connect(servers.first) as conn:
        servers.move()
        for _ in range(2):
            with pytest.raises(pgstore.StoreMovedError):
                store.write("a-2", EventA(1), conn=conn)
            conn.rollback()
    store.write("a-3", EventA(1))
    assert servers.streams(servers.second) == ["a-3"]


def test_directory_is_asked_once_for_all_tasks(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a-1", EventA(1))
    questions: list[float] = []
    place = entry.Entry.place

    def counted(self: entry.Entry) -> pgstore.Place:
        questions.append(time.monotonic())
        return place(self)

    monkeypatch.setattr(entry.Entry, "place", counted)
    close_for_good(servers)

    def write(number: int) -> None:
        store.write(f"b-{number}", EventA(1))

    with Parallel() as parallel:
        parallel.start(*(lambda n=n: write(n) for n in range(8)))
        parallel.until(lambda: len(questions) > 10)
        servers.open(servers.second)
        servers.directory.put("bank", servers.second)
        assert parallel.results() == [None] * 8
    pauses = [after - before for before, after in pairwise(questions)]
    assert min(pauses) > 0.05
    assert len(servers.streams(servers.second)) == 8


def test_transaction_raises_when_the_store_is_open_again(servers: Servers, store: Store) -> None:
    store.write("a-1", EventA(1))
    close_for_good(servers)

    def transfer() -> None:
        with pytest.raises(pgstore.StoreMovedError), store.transaction() as conn:
            store.write("a-2", EventA(1), conn=conn)
        with store.transaction() as conn:
            store.write("a-2", EventA(2), conn=conn)

    with Parallel() as parallel:
        parallel.start(transfer)
        parallel.until(lambda: store._database.source._looked > 0)
        servers.open(servers.second)
        servers.directory.put("bank", servers.second)
        assert parallel.results() == [None]
    rows = servers.run(servers.second, "SELECT data->>'num' FROM bank.all_messages")
    assert rows == [("2",)]


def test_error_of_another_store_moves_nothing(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a handler that writes to a store which has moved, and is of no directory."""
    store.write("a-1", EventA(1))
    monkeypatch.setattr(entry, "_DIRECTORY_FIRST", -1.0)
    pgstore.install(servers.first, store="shop")
    servers.run(servers.first, "SELECT shop.fence_store('dbname=elsewhere')")
    with pytest.raises(pgstore.StoreMovedError) as caught, store.transaction() as conn:
        conn.execute("SELECT shop.write_message('a-1', 'T', '1')")
    assert caught.value.store == "shop"
    assert not caught.value.followed
    store.write("a-2", EventA(1))
    assert servers.streams(servers.first) == ["a-1", "a-2"]


def test_worker_waits_for_another_store_that_is_closed_and_names_it(
    servers: Servers, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.write("a-1", EventA(1))
    pgstore.install(servers.first, store="shop")
    servers.run(servers.first, "SELECT shop.fence_store('dbname=elsewhere')")
    subscription = store.subscription("relay", max_attempts=1)
    with MessageStore(servers.first, store="shop", messages=EventA) as shop:

        @subscription.handler
        def relay(stored: pgstore.StoredMessage[EventA]) -> None:
            shop.write("b-1", stored.message)
            store.stop()

        with Parallel() as parallel:
            parallel.start(lambda: store.run(subscription, signals=False))
            parallel.until(lambda: "store shop is closed, and has another" in caplog.text)
            servers.run(servers.first, "SELECT shop.lift_fence()")
            assert parallel.results() == [None]
        assert shop.stream_version("b-1") == 1
    assert [each.attempts for each in subscription.partitions()] == [0]


def test_run_and_follow_end_soon_while_the_store_is_closed(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MOVES", 1000.0)
    store.write("a-1", EventA(1))
    subscription = store.subscription("all")
    seen: list[int] = []

    @subscription.handler
    def handle(message: EventA) -> None:
        seen.append(message.num)

    def follow() -> None:
        for stored in store.follow():
            number = stored.global_position
            seen.append(number)

    def follow_for_a_moment() -> None:
        with pytest.raises(pgstore.StoreMovedError):
            for _ in store.follow(after_position=1, timeout=0.1):
                pass
        seen.append(0)

    with Parallel() as parallel:
        parallel.start(lambda: store.run(subscription, signals=False), follow)
        parallel.until(lambda: len(seen) == 2)
        close_for_good(servers)
        parallel.start(follow_for_a_moment)
        parallel.until(lambda: len(seen) == 3)
        store.stop()
        store.close()
        assert parallel.results() == [None, None, None]


def test_write_that_waits_for_a_move_ends_when_the_store_is_closed(
    servers: Servers, store: Store
) -> None:
    store.write("a-1", EventA(1))
    close_for_good(servers)
    with Parallel() as parallel:
        parallel.start(lambda: store.write("a-2", EventA(1)))
        parallel.until(lambda: store._database.source._looked > 0)
        store.close()
        (error,) = parallel.results()
    assert isinstance(error, psycopg.OperationalError | pgstore.StoreMovedError)


def test_connection_that_was_made_meanwhile_at_the_former_place_is_replaced(
    servers: Servers, store: Store
) -> None:
    store.write("a-1", EventA(1))
    servers.move()
    # Its pool has a connection to the former place.
    store._database.source.hosts = type(store._database.source.hosts)(
        entry.Entry(servers.third, "bank").find()
    )
    store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]
