"""Cancelling an operation leaves the store, its pool and the caller's connection usable."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgstore import AsyncMessageStore, QueryItem
from pgstore._async.racing import AsyncHosts
from tests.client._async.test_hosts import Made
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = AsyncMessageStore[EventA]


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture(params=["own pool", "the caller's pool"])
async def store(
    request: pytest.FixtureRequest, conninfo: str, shared: str, watch: Watch
) -> AsyncIterator[Store]:
    """A store with one connection, at most."""
    address = make_conninfo(conninfo, application_name=watch.name)
    pool = AsyncConnectionPool(address, min_size=1, max_size=1, timeout=5, open=False)
    async with pool:
        given = address if request.param == "own pool" else pool
        async with Store(given, store=shared, messages=EventA) as store:
            yield store


async def cancel_when_blocked(operation: Any, watch: Watch) -> None:
    task = asyncio.ensure_future(operation)
    await AsyncParallel.until(watch.is_blocked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_write_stores_nothing(
    store: Store, watch: Watch, connect: Connect, conninfo: str, stream: str
) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo) as blocking:
        await store.write(stream, EventA(0), conn=blocking)
        for _ in range(3):
            await cancel_when_blocked(store.write(stream, EventA(1)), watch)
        batch = store.write_many(stream, [EventA(1), EventA(2)])
        await cancel_when_blocked(batch, watch)
    assert not watch.is_blocked()
    assert (await store.write(stream, EventA(3))).version == 2
    assert [stored.message.num async for stored in store.read(stream)] == [0, 3]


async def test_a_cancelled_write_on_a_condition_stores_nothing(
    store: Store, watch: Watch, conninfo: str, stream: str
) -> None:
    tag = f"tag:{stream}"
    found = await store.read_tagged(QueryItem(tags=[tag]))

    def writes() -> list[Coroutine[Any, Any, object]]:
        return [
            store.write(stream, EventA(1), unless=found),
            store.write_many(stream, [EventA(1), EventA(2)], tags=[tag], unless=found),
        ]

    def evolve(state: int, message: EventA) -> int:
        return state + 1

    decider = store.decider(evolve, int)
    address = make_conninfo(conninfo, options="-c lock_timeout=20s")
    for unless in (None, found):  # it waits in another mode for another condition
        async with await psycopg.AsyncConnection.connect(address) as blocking:
            await store.write(
                f"{stream}-other", EventA(0), tags=[tag], unless=unless, conn=blocking
            )
            for each in writes():
                await cancel_when_blocked(each, watch)
            decision = decider.decide(stream, lambda _: EventA(1), query=found.query)
            await cancel_when_blocked(decision, watch)
            assert not watch.is_blocked()
            await blocking.rollback()
    assert await store.stream_version(stream) == 0
    assert (await store.write(stream, EventA(3), tags=[tag], unless=found)).version == 1
    assert [each.message.num for each in await store.read_tagged(found.query)] == [3]


async def test_a_cancelled_transaction_is_rolled_back(
    store: Store, watch: Watch, conninfo: str, stream: str
) -> None:
    async def write_two() -> None:
        async with store.transaction() as conn:
            await store.write(f"{stream}-other", EventA(1), conn=conn)
            await store.write(stream, EventA(1), conn=conn)

    async with await psycopg.AsyncConnection.connect(conninfo) as blocking:
        await store.write(stream, EventA(0), conn=blocking)
        await cancel_when_blocked(write_two(), watch)
    assert await store.stream_version(f"{stream}-other") == 0
    assert await store.stream_version(stream) == 1


async def test_a_write_cancelled_on_the_callers_connection_leaves_it_usable(
    store: Store, watch: Watch, conninfo: str, stream: str
) -> None:
    address = make_conninfo(conninfo, application_name=watch.name)
    async with (
        await psycopg.AsyncConnection.connect(conninfo) as blocking,
        await psycopg.AsyncConnection.connect(address) as conn,
    ):
        await store.write(stream, EventA(0), conn=blocking)
        await cancel_when_blocked(store.write(stream, EventA(1), conn=conn), watch)
        await blocking.commit()
        await conn.rollback()
        assert (await store.write(stream, EventA(2), conn=conn)).version == 2


async def test_cancelled_reads_leave_the_pool_usable(store: Store, long_stream: str) -> None:
    async def count() -> int:
        return len([stored async for stored in store.read(long_stream)])

    for delay in (0, 0, 0.001, 0.002, 0.004, 0.008):
        tasks = [asyncio.create_task(count()) for _ in range(5)]
        await asyncio.sleep(delay)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert await count() == 1150


async def test_a_timeout_around_an_operation_is_just_that(
    store: Store, watch: Watch, conninfo: str, stream: str
) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo) as blocking:
        await store.write(stream, EventA(0), conn=blocking)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.write(stream, EventA(1)), 0.05)
    assert await store.stream_version(stream) == 1


async def test_first_use_can_be_cancelled_and_tried_again(
    conninfo: str, schema: str, stream: str
) -> None:
    store = Store(conninfo, store=schema, messages=EventA)
    for delay in (0, 0.001, 0.005, 0.02):
        task = asyncio.create_task(store.write(stream, EventA(1)))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    before = await store.stream_version(stream)
    assert (await store.write(stream, EventA(2))).version == before + 1
    await store.aclose()


async def test_a_cancelled_return_to_the_pool_loses_no_connection(
    store: Store, category: str
) -> None:
    pool = await store._database.ready()
    leave = asyncio.Event()
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def wait(event: EventA, conn: psycopg.AsyncConnection[Any]) -> None:
        await leave.wait()

    async def work() -> None:
        async with store.transaction():
            await leave.wait()

    await store.write(f"{category}-1", EventA(1))
    for each in (work, lambda: store.run_once(subscription)):
        leave.clear()
        task = asyncio.ensure_future(each())
        await AsyncParallel.until(lambda: pool.get_stats()["pool_available"] == 0)
        await asyncio.sleep(0.1)  # run_once takes it for its claim first
        async with pool._lock:  # as when another task is given a connection
            leave.set()
            await AsyncParallel.until(lambda: bool(pool._lock._waiters))
            task.cancel()
            await asyncio.wait([task], timeout=0.1)
        with pytest.raises(asyncio.CancelledError):
            await task
        await AsyncParallel.until(lambda: pool.get_stats()["pool_available"] == 1)


TWO_HOSTS = "host=a,b target_session_attrs=read-write"


async def test_a_connection_that_comes_together_with_a_cancellation_is_closed() -> None:
    made: list[Made] = []

    async def connect(host: str) -> Any:
        made.append(Made(host))
        waiting.cancel()
        return made[-1]

    waiting = asyncio.ensure_future(AsyncHosts(TWO_HOSTS).connect(connect))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [each.closed for each in made] == [True]


async def test_a_host_is_tried_again_if_somebody_cancels_the_attempt() -> None:
    tried: list[str] = []

    async def connect(host: str) -> Any:
        tried.append(host)
        if len(tried) < 3:
            raise asyncio.CancelledError
        return Made(host)

    async with asyncio.timeout(20):
        assert (await AsyncHosts(TWO_HOSTS).connect(connect)).host == "a"
    assert tried == ["a", "b", "a"]
