"""Stores that find their place in a directory, and go with it when it changes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

import pgstore
from pgstore import AsyncMessageStore
from pgstore._compat.tasks import AsyncTask
from pgstore._core.places import place_of
from tests.client._async.places import Servers
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel

pytestmark = pytest.mark.anyio


@pytest.fixture
async def servers(conninfo: str) -> AsyncIterator[Servers]:
    async with Servers.made(conninfo) as servers:
        yield servers


@pytest.fixture
async def store(servers: Servers) -> AsyncIterator[AsyncMessageStore[EventA]]:
    async with servers.directory.store("bank", messages=EventA) as store:
        yield store


async def test_directory_says_where_a_store_is_without_user_and_password(servers: Servers) -> None:
    directory = servers.directory
    await directory.install()  # again
    await directory.put("shop", "host=db.example.net port=5433 dbname=s user=me password=secret")
    place = await directory.place("shop")
    assert conninfo_to_dict(place.conninfo) == {
        "host": "db.example.net",
        "port": "5433",
        "dbname": "s",
    }
    assert place.state == "open"
    assert timedelta(0) <= datetime.now(UTC) - place.since < timedelta(minutes=5)
    assert [each.store for each in await directory.places()] == ["bank", "shop"]
    await directory.put("shop", place.conninfo)
    assert await directory.place("shop") == place
    assert await directory.remove("shop")
    assert not await directory.remove("shop")
    with pytest.raises(pgstore.StoreNotInDirectoryError) as caught:
        await directory.place("shop")
    assert caught.value.store == "shop"
    store = directory.store("shop", messages=EventA)
    with pytest.raises(pgstore.StoreNotInDirectoryError):
        await store.write("a-1", EventA(1))


async def test_operations_continue_at_the_new_place(
    servers: Servers, store: AsyncMessageStore[EventA]
) -> None:
    await store.write("a-1", EventA(1))
    await servers.move()
    await store.write("a-2", EventA(1))
    await store.write_many("a-3", [EventA(1), EventA(2)])
    assert await store.stream_version("a-3") == 2
    assert await servers.streams(servers.first) == ["a-1"]
    assert await servers.streams(servers.second) == ["a-2", "a-3", "a-3"]
    assert [each.stream async for each in store.read_all()] == ["a-2", "a-3", "a-3"]


async def test_grouped_writes_continue_at_the_new_place(servers: Servers) -> None:
    async with servers.directory.store("bank", messages=EventA, group_writes=True) as store:
        await store.write("a-1", EventA(1))
        await servers.move()
        await store.write("a-2", EventA(1))
    assert await servers.streams(servers.second) == ["a-2"]


async def test_write_waits_until_the_store_is_open(
    servers: Servers, store: AsyncMessageStore[EventA]
) -> None:
    await store.write("a-1", EventA(1))
    await servers.close(servers.first, servers.second)
    done: list[int] = []

    async def write() -> None:
        done.append((await store.write("a-2", EventA(1))).version)

    task = AsyncTask(write, "writer")
    await asyncio.sleep(0.2)
    assert done == []
    await servers.open(servers.second)
    await servers.directory.put("bank", servers.second)
    await task.join()
    assert done == [1]
    assert await servers.streams(servers.second) == ["a-2"]


async def test_store_is_found_where_it_is_open_although_the_directory_is_late(
    servers: Servers, store: AsyncMessageStore[EventA]
) -> None:
    await store.write("a-1", EventA(1))
    await servers.close(servers.first, servers.second)
    await servers.open(servers.second)
    await store.write("a-2", EventA(1))
    assert await servers.streams(servers.second) == ["a-2"]


async def test_transaction_is_told_and_the_next_one_is_at_the_new_place(
    servers: Servers, store: AsyncMessageStore[EventA]
) -> None:
    await store.write("a-1", EventA(1))
    await servers.move()
    with pytest.raises(pgstore.StoreMovedError) as caught:
        async with store.transaction() as conn:
            await store.write("a-2", EventA(1), conn=conn)
    assert caught.value.conninfo == place_of(servers.second)
    assert caught.value.store == "bank"
    async with store.transaction() as conn:
        await store.write("a-2", EventA(1), conn=conn)
    assert await servers.streams(servers.second) == ["a-2"]


async def test_store_without_a_directory_raises(servers: Servers) -> None:
    async with AsyncMessageStore(servers.first, store="bank", messages=EventA) as store:
        await store.write("a-1", EventA(1))
        await servers.move()
        with pytest.raises(pgstore.StoreMovedError):
            await store.write("a-2", EventA(1))
        with pytest.raises(pgstore.StoreMovedError):
            await store.run(scheduled=True, signals=False)
        with pytest.raises(pgstore.StoreMovedError):
            async for _ in store.follow():
                pass
    assert await servers.streams(servers.second) == []


async def test_follower_that_waits_continues_at_the_new_place(
    servers: Servers, store: AsyncMessageStore[EventA]
) -> None:
    seen: list[int] = []

    async def follow() -> None:
        async for stored in store.follow(types=[EventA]):
            seen.append(stored.message.num)
            if len(seen) == 2:
                return

    await store.write("a-1", EventA(1))
    task = AsyncTask(follow, "follower")
    # It waits on the connection that it has borrowed.
    await AsyncParallel.until(lambda: not store._waker.lending.returned.is_set())
    await servers.run(servers.second, "SELECT bank.lift_fence()")
    await servers.run(servers.second, "SELECT bank.write_message('a-0', 'EventA', '{\"num\": 0}')")
    await servers.run(servers.second, "SELECT bank.fence_store('host=elsewhere')")
    await servers.move()
    await store.write("a-2", EventA(2))
    await task.join()
    assert seen == [1, 2]


async def test_worker_continues_at_the_new_place_and_blames_no_message(
    servers: Servers, store: AsyncMessageStore[EventA]
) -> None:
    """The store is closed while a handler works: its transaction is undone, and done there."""
    # As if the store had been copied, with the subscription.
    for place, other in ((servers.first, servers.second), (servers.second, servers.first)):
        await servers.open(place)
        async with AsyncMessageStore(place, store="bank", messages=EventA) as copy:
            await copy.write("a-1", EventA(1))
            await copy.subscription("all", max_attempts=1).create()
        if place == servers.second:
            await servers.close(place, other)
    calls: list[str] = []
    subscription = store.subscription("all", max_attempts=1)

    @subscription.handler
    async def handle(message: EventA, conn: psycopg.AsyncConnection[Any]) -> None:
        calls.append(conn.info.dbname)
        if len(calls) == 1:
            await servers.move()
        else:
            store.stop()

    await store.run(subscription, signals=False)
    assert calls == [conninfo_to_dict(each)["dbname"] for each in (servers.first, servers.second)]
    parts = await store.subscription("all").partitions()
    assert [(part.attempts, part.behind, part.error) for part in parts] == [(0, 0, None)]
