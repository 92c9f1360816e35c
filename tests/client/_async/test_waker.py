"""A waker that may not sleep: it looks once a second, and says so once."""

import time
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from tests.client._async.conftest import OpenStore
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.client.proxy import Proxy
from tests.client.waiting import Watch
from tests.conftest import Connect


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


async def collect(follower: Any, seen: list[int]) -> None:
    async for stored in follower:
        seen.append(stored.message.num)  # noqa: PERF401 - one by one, for who looks meanwhile


async def test_a_bell_key_that_another_session_holds_delays_messages_and_stops_none(
    open_store: OpenStore,
    conninfo: str,
    watch: Watch,
    connect: Connect,
    shared: str,
    category: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hostile = connect()
    hostile.execute(
        sql.SQL("SELECT pg_advisory_lock({}._bell_lock_class(), 3)").format(sql.Identifier(shared))
    )
    store = await open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))
    follower = store.follow(category=category)
    seen: list[int] = []
    async with AsyncParallel() as parallel:
        await parallel.start(partial(collect, follower, seen))
        for number in range(2):
            await AsyncParallel.until(watch.is_blocked)
            before = time.monotonic()
            await store.write(f"{category}-1", EventA(number))
            await AsyncParallel.until(lambda: len(seen) > number)  # noqa: B023
            assert time.monotonic() - before < 8
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        hostile.close()
        await AsyncParallel.until(watch.is_asleep)
        follower.stop()
        await parallel.results()
    assert len(caplog.records) == 1


async def test_it_sleeps_once_a_connection_of_the_pool_is_free_to_notify_it(
    open_store: OpenStore,
    conninfo: str,
    watch: Watch,
    category: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = make_conninfo(conninfo, application_name=watch.name)
    async with AsyncConnectionPool(address, min_size=1, max_size=1, open=False) as pool:
        store = await open_store(conninfo=pool)
        follower = store.follow(category=category)
        async with AsyncParallel() as parallel:
            await store.stream_version("none")
            async with pool.connection():
                await store._waker.wait(store._waker.counter.value, 0.5)
                assert await store._waker._notify("none") is None
                assert not watch.is_asleep()
            await parallel.start(partial(collect, follower, []))
            await AsyncParallel.until(watch.is_asleep)
            follower.stop()
            await parallel.results()
    assert caplog.records == []


async def test_a_pool_that_asks_functions_how_to_connect_keeps_its_only_connection(
    open_store: OpenStore, conninfo: str, watch: Watch, category: str
) -> None:
    async def address() -> str:
        return conninfo

    async def kwargs() -> dict[str, Any]:
        return {"application_name": watch.name}

    async with AsyncConnectionPool(
        address, kwargs=kwargs, min_size=1, max_size=1, timeout=5, open=False
    ) as pool:
        store = await open_store(conninfo=pool)
        follower = store.follow(category=category)
        seen: list[int] = []
        async with AsyncParallel() as parallel:
            await parallel.start(partial(collect, follower, seen))
            await AsyncParallel.until(watch.is_asleep)
            await store.write(f"{category}-1", EventA(1))
            await AsyncParallel.until(lambda: seen == [1])
            follower.stop()
            await parallel.results()


async def test_a_notification_that_comes_late_is_heard(
    open_store: OpenStore,
    conninfo: str,
    watch: Watch,
    category: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pgstore._async.waker._NOTIFIED", 0.0)
    store = await open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))
    follower = store.follow(category=category)
    async with AsyncParallel() as parallel:
        await parallel.start(partial(collect, follower, []))
        await AsyncParallel.until(lambda: watch.is_asleep() or caplog.records != [])
        follower.stop()
        await parallel.results()
    assert caplog.records == []


@pytest.mark.parametrize("closing", [True, False])
async def test_a_silent_connection_of_the_pool_keeps_it_from_neither_listening_nor_ending(
    open_store: OpenStore,
    conninfo: str,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    closing: bool,
) -> None:
    monkeypatch.setattr("pgstore._async.waker._SILENT", 60.0 if closing else 2.0)
    with Proxy.running(make_conninfo(conninfo, application_name=watch.name)) as proxy:
        store = await open_store(conninfo=proxy.conninfo)
        await store.stream_version("none")
        proxy.freeze(new=False)  # the pool's connection: the listening one comes later

        closed = False

        async def wait() -> None:
            while not closed:
                await store._waker.wait(store._waker.counter.value, None)

        async with AsyncParallel() as parallel:
            await parallel.start(wait)
            await AsyncParallel.until(watch.is_checking)
            if not closing:
                await AsyncParallel.until(watch.is_asleep)
            closed, start = True, time.monotonic()
            await parallel.start(store.aclose)
            assert await parallel.results() == [None, None]
            assert time.monotonic() - start < 8


async def test_a_connection_that_it_leaves_itself_is_no_outage(
    open_store: OpenStore, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As when another connection has met a server that has become read-only."""
    store = await open_store()
    follower, seen = store.follow(category=category), list[int]()
    waker = store._waker
    async with AsyncParallel() as parallel:
        await parallel.start(partial(collect, follower, seen))
        await AsyncParallel.until(lambda: waker._conn is not None)
        left = waker._conn
        waker._leave()
        await AsyncParallel.until(lambda: waker._conn not in (None, left))
        await store.write(f"{category}-1", EventA(1))
        await AsyncParallel.until(lambda: seen == [1])
        follower.stop()
        await parallel.results()
    assert [each for each in caplog.records if each.name == "pgstore"] == []
