"""Stores that are closed, and open nowhere for a time: what waits, and for how long."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import psycopg
import pytest

import pgstore
from pgstore import AsyncMessageStore
from pgstore._async import database, entry
from tests.client._async.places import Servers
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel

Store = AsyncMessageStore[EventA]

pytestmark = pytest.mark.anyio


@pytest.fixture
async def servers(conninfo: str) -> AsyncIterator[Servers]:
    async with Servers.made(conninfo) as servers:
        yield servers


@pytest.fixture
async def store(servers: Servers) -> AsyncIterator[Store]:
    async with servers.directory.store("bank", messages=EventA) as store:
        yield store


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the place that the closed store says tried soon, whatever the directory says."""
    monkeypatch.setattr(entry, "_DIRECTORY_FIRST", 0.2)


async def close_for_good(servers: Servers) -> None:
    """Close the store where it is, and nowhere open it."""
    await servers.close(servers.first, servers.second)


async def test_places_that_say_one_another_are_tried_for_some_time(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write("a-1", EventA(1))
    soon(monkeypatch)
    monkeypatch.setattr(database, "_MOVES", 1.0)
    await close_for_good(servers)
    began = time.monotonic()
    with pytest.raises(pgstore.StoreMovedError):
        await store.write("a-2", EventA(1))
    assert time.monotonic() - began >= 1.0
    monkeypatch.setattr(database, "_MOVES", 60.0)
    # The one that is opened then is found, although the directory has the other one.
    await servers.open(servers.second)
    await store.write("a-2", EventA(1))
    assert await servers.streams(servers.second) == ["a-2"]


async def test_each_operation_waits_and_is_done_once_at_the_new_place(
    servers: Servers, store: Store
) -> None:
    await store.write("a-1", EventA(1))
    query = pgstore.QueryItem(tags=["x"])
    none_yet = await store.read_tagged(query)
    decider: Any = store.decider(lambda state, _: state, state=int)
    first, second = store.subscription("first"), store.subscription("second", category="c")

    @second.handler
    async def handle(message: EventA) -> None:
        raise AssertionError

    async def read() -> list[str]:
        return [each.stream async for each in store.read("a-1")]

    async def read_correlated() -> list[str]:
        return [each.stream async for each in store.read_correlated("x")]

    reads: list[Callable[[], Awaitable[Any]]] = [
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
    writes: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.write("b-1", EventA(1), tags=["y"], unless=none_yet),
        lambda: store.write_many("b-2", [EventA(1), EventA(2)]),
        lambda: store.write("b-3", EventA(1), expected_version=0),
        lambda: store.schedule("b-4", EventA(1), due),
        lambda: decider.decide("b-5", lambda state: EventA(state)),
        lambda: first.create(),
        lambda: store.run_once(second),
    ]
    await close_for_good(servers)
    for calls in (reads, writes):
        async with AsyncParallel() as parallel:
            await parallel.start(*calls)
            if calls is reads:
                await parallel.until(lambda: store._database.source._looked > 0)
                await servers.open(servers.second)
                await servers.directory.put("bank", servers.second)
            results = await parallel.results()
            assert [each for each in results if isinstance(each, BaseException)] == []
        if calls is reads:
            assert results == [[], [], None, 0, 0, None, False, 0]
            await servers.close(servers.second, servers.first)
            await servers.open(servers.first)
            await servers.directory.put("bank", servers.first)
    assert await servers.streams(servers.first) == ["a-1", "b-1", "b-2", "b-2", "b-3", "b-5"]
    assert await servers.streams(servers.second) == []


async def test_connection_of_the_callers_is_not_repeated_on(servers: Servers, store: Store) -> None:
    await store.write("a-1", EventA(1))
    async with await psycopg.AsyncConnection.connect(servers.first) as conn:
        await servers.move()
        for _ in range(2):
            with pytest.raises(pgstore.StoreMovedError):
                await store.write("a-2", EventA(1), conn=conn)
            await conn.rollback()
    await store.write("a-3", EventA(1))
    assert await servers.streams(servers.second) == ["a-3"]


async def test_directory_is_asked_once_for_all_tasks(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write("a-1", EventA(1))
    questions: list[float] = []
    place = entry.AsyncEntry.place

    async def counted(self: entry.AsyncEntry) -> pgstore.Place:
        questions.append(time.monotonic())
        return await place(self)

    monkeypatch.setattr(entry.AsyncEntry, "place", counted)
    await close_for_good(servers)

    async def write(number: int) -> None:
        await store.write(f"b-{number}", EventA(1))

    async with AsyncParallel() as parallel:
        await parallel.start(*(lambda n=n: write(n) for n in range(8)))
        await parallel.until(lambda: len(questions) > 10)
        await servers.open(servers.second)
        await servers.directory.put("bank", servers.second)
        assert await parallel.results() == [None] * 8
    pauses = [after - before for before, after in pairwise(questions)]
    assert min(pauses) > 0.05
    assert len(await servers.streams(servers.second)) == 8


async def test_transaction_raises_when_the_store_is_open_again(
    servers: Servers, store: Store
) -> None:
    await store.write("a-1", EventA(1))
    await close_for_good(servers)

    async def transfer() -> None:
        with pytest.raises(pgstore.StoreMovedError):
            async with store.transaction() as conn:
                await store.write("a-2", EventA(1), conn=conn)
        async with store.transaction() as conn:
            await store.write("a-2", EventA(2), conn=conn)

    async with AsyncParallel() as parallel:
        await parallel.start(transfer)
        await parallel.until(lambda: store._database.source._looked > 0)
        await servers.open(servers.second)
        await servers.directory.put("bank", servers.second)
        assert await parallel.results() == [None]
    rows = await servers.run(servers.second, "SELECT data->>'num' FROM bank.all_messages")
    assert rows == [("2",)]


async def test_error_of_another_store_moves_nothing(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a handler that writes to a store which has moved, and is of no directory."""
    await store.write("a-1", EventA(1))
    monkeypatch.setattr(entry, "_DIRECTORY_FIRST", -1.0)
    pgstore.install(servers.first, store="shop")
    await servers.run(servers.first, "SELECT shop.fence_store('dbname=elsewhere')")
    with pytest.raises(pgstore.StoreMovedError) as caught:
        async with store.transaction() as conn:
            await conn.execute("SELECT shop.write_message('a-1', 'T', '1')")
    assert caught.value.store == "shop"
    assert not caught.value.followed
    await store.write("a-2", EventA(1))
    assert await servers.streams(servers.first) == ["a-1", "a-2"]


async def test_worker_waits_for_another_store_that_is_closed_and_names_it(
    servers: Servers, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.write("a-1", EventA(1))
    pgstore.install(servers.first, store="shop")
    await servers.run(servers.first, "SELECT shop.fence_store('dbname=elsewhere')")
    subscription = store.subscription("relay", max_attempts=1)
    async with AsyncMessageStore(servers.first, store="shop", messages=EventA) as shop:

        @subscription.handler
        async def relay(stored: pgstore.StoredMessage[EventA]) -> None:
            await shop.write("b-1", stored.message)
            store.stop()

        async with AsyncParallel() as parallel:
            await parallel.start(lambda: store.run(subscription, signals=False))
            await parallel.until(lambda: "store shop is closed, and has another" in caplog.text)
            await servers.run(servers.first, "SELECT shop.lift_fence()")
            assert await parallel.results() == [None]
        assert await shop.stream_version("b-1") == 1
    assert [each.attempts for each in await subscription.partitions()] == [0]


async def test_run_and_follow_end_soon_while_the_store_is_closed(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_MOVES", 1000.0)
    await store.write("a-1", EventA(1))
    subscription = store.subscription("all")
    seen: list[int] = []

    @subscription.handler
    async def handle(message: EventA) -> None:
        seen.append(message.num)

    async def follow() -> None:
        async for stored in store.follow():
            number = stored.global_position
            seen.append(number)

    async def follow_for_a_moment() -> None:
        with pytest.raises(pgstore.StoreMovedError):
            async for _ in store.follow(after_position=1, timeout=0.1):
                pass
        seen.append(0)

    async with AsyncParallel() as parallel:
        await parallel.start(lambda: store.run(subscription, signals=False), follow)
        await parallel.until(lambda: len(seen) == 2)
        await close_for_good(servers)
        await parallel.start(follow_for_a_moment)
        await parallel.until(lambda: len(seen) == 3)
        store.stop()
        await store.aclose()
        assert await parallel.results() == [None, None, None]


async def test_write_that_waits_for_a_move_ends_when_the_store_is_closed(
    servers: Servers, store: Store
) -> None:
    await store.write("a-1", EventA(1))
    await close_for_good(servers)
    async with AsyncParallel() as parallel:
        await parallel.start(lambda: store.write("a-2", EventA(1)))
        await parallel.until(lambda: store._database.source._looked > 0)
        await store.aclose()
        (error,) = await parallel.results()
    assert isinstance(error, psycopg.OperationalError | pgstore.StoreMovedError)


async def test_connection_that_was_made_meanwhile_at_the_former_place_is_replaced(
    servers: Servers, store: Store
) -> None:
    await store.write("a-1", EventA(1))
    await servers.move()
    # Its pool has a connection to the former place.
    store._database.source.hosts = type(store._database.source.hosts)(
        await entry.AsyncEntry(servers.third, "bank").find()
    )
    await store.write("a-2", EventA(1))
    assert await servers.streams(servers.second) == ["a-2"]
