"""A server that is away, silent, or not the right one: what runs on waits, and is back at once."""

import asyncio
import os
import signal
import time
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolTimeout

from pgstore import AsyncMessageStore, AsyncSubscription
from tests.client._async.conftest import OpenStore
from tests.client._async.running import running
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.client.proxy import Proxy
from tests.client.waiting import Watch
from tests.conftest import Connect

pytestmark = pytest.mark.filterwarnings("error")

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]

# psycopg_pool's own attempts come after 1, 3 and 7 seconds.
OUTAGE = 3.3


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The texts of what pgstore has logged, without the reasons."""
    texts = [each.getMessage() for each in caplog.records if each.name == "pgstore"]
    return [text.rpartition("; " if text.endswith("passes") else ": ")[2] for text in texts]


def noting(store: Store, category: str, seen: list[int]) -> AsyncSubscription[Any]:
    subscription = store.subscription(category, category=category, ignore=["EventB"])

    @subscription.handler
    async def note(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)

    return subscription


async def follow(store: Store, category: str, seen: list[int]) -> None:
    async for stored in store.follow(category=category):
        number = stored.message.num
        seen.append(number)


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.mark.alone
async def test_what_runs_on_is_back_within_a_second_and_tells_once(
    open_store: OpenStore,
    store: Store,
    category: str,
    conninfo: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    followed: list[int] = []
    handled: list[int] = []
    with Proxy.running(conninfo) as proxy:
        through = await open_store(conninfo=proxy.conninfo)
        subscription = noting(through, category, handled)
        async with AsyncParallel() as parallel:
            await parallel.start(
                partial(follow, through, category, followed),
                partial(through.run, subscription, workers=2),
            )
            await store.write(f"{category}-1", EventA(1))
            await AsyncParallel.until(lambda: followed == handled == [1])
            proxy.go_down()
            await parallel.start(partial(through.write, f"{category}-2", EventA(2)))
            await asyncio.sleep(OUTAGE)
            proxy.come_up()
            start = time.monotonic()
            # What was not acknowledged before comes again.
            await AsyncParallel.until(lambda: set(followed) == set(handled) == {1, 2})
            assert time.monotonic() - start < 1
            await AsyncParallel.until(lambda: len(told(caplog)) > 1)
            await through.aclose()
            results = await parallel.results()
        assert (results[:2], results[2].version) == ([None, None], 1)
    begin, end = told(caplog)
    assert begin == "waiting until that passes"
    assert end.startswith("works again, after")


async def test_run_can_begin_while_the_server_is_away(
    open_store: OpenStore, category: str, conninfo: str
) -> None:
    handled: list[int] = []
    with Proxy.running(conninfo) as proxy:
        store = await open_store(conninfo=proxy.conninfo)
        proxy.go_down()
        async with running(store, noting(store, category, handled)):
            await AsyncParallel.until(lambda: len(store._database.outage._waiting) > 0)
            proxy.come_up()
            await store.write(f"{category}-1", EventA(1))
            await AsyncParallel.until(lambda: handled == [1])
        await store.aclose()


async def test_a_timeout_ends_a_follower_in_an_outage_with_the_reason(
    open_store: OpenStore, category: str, conninfo: str
) -> None:
    with Proxy.running(conninfo) as proxy:
        store = await open_store(conninfo=proxy.conninfo)
        await store.write(f"{category}-1", EventA(1))
        follower = store.follow(category=category, timeout=0.5)
        assert (await anext(follower)).message == EventA(1)
        proxy.go_down()
        start = time.monotonic()
        with pytest.raises(PoolTimeout):
            await anext(follower)
        assert 0.5 <= time.monotonic() - start < 10
        proxy.come_up()
        assert [stored async for stored in follower] == []
        await store.aclose()


@pytest.mark.parametrize("wakeup", ["listen", "poll"])
async def test_a_listening_backend_that_is_stopped_holds_nobody_for_long(
    open_store: OpenStore,
    store: Store,
    category: str,
    conninfo: str,
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
    wakeup: str,
) -> None:
    monkeypatch.setattr("pgstore._async.waker._SILENT", 1.5)
    seen: list[int] = []
    with Proxy.running(make_conninfo(conninfo, application_name=watch.name)) as proxy:
        watched = await open_store(conninfo=proxy.conninfo, wakeup=wakeup)
        async with AsyncParallel() as parallel:
            await parallel.start(partial(follow, watched, category, seen))
            await store.write(f"{category}-1", EventA(1))
            waker = watched._waker
            await AsyncParallel.until(lambda: seen == [1] and waker._waiting == 1)
            await AsyncParallel.until(lambda: waker._conn is not None)
            conn = waker._conn
            assert conn is not None
            backend = conn.info.backend_pid
            os.kill(backend, signal.SIGSTOP)
            try:
                await store.write(f"{category}-1", EventA(2))
                start = time.monotonic()
                await AsyncParallel.until(lambda: seen == [1, 2])
                assert time.monotonic() - start < 10  # not by the default patience
                await AsyncParallel.until(lambda: watched._waker._conn not in (None, conn))
            finally:
                os.kill(backend, signal.SIGCONT)
            await watched.aclose()
            assert await parallel.results() == [None]


@pytest.mark.parametrize("where", ["idle", "claiming", "in a handler"])
async def test_stop_ends_a_run_whose_server_is_silent(
    open_store: OpenStore,
    store: Store,
    category: str,
    conninfo: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    monkeypatch.setattr("pgstore._async.runner._ANSWER", 0.5)
    handled: list[int] = []
    with Proxy.running(conninfo) as proxy:
        through = await open_store(conninfo=proxy.conninfo)
        subscription = through.subscription(category, category=category, retry_delay=0)

        @subscription.handler
        async def note(message: EventA, tx: Transaction) -> None:
            handled.append(message.num)
            if where == "in a handler" and message.num == 2:
                proxy.freeze(new=True)
                await tx.execute("SELECT 1")

        async with AsyncParallel() as parallel:
            await parallel.start(lambda: through.run(subscription, workers=2, lease=1))
            await store.write(f"{category}-1", EventA(1))
            await AsyncParallel.until(lambda: handled == [1])
            if where != "in a handler":
                await AsyncParallel.until(lambda: through._waker._waiting == 2)
                proxy.freeze(new=True)
            if where != "idle":
                await store.write(f"{category}-1", EventA(2))
                through._waker.ring()
            if where == "in a handler":
                await AsyncParallel.until(lambda: handled == [1, 2])
            (runner,) = through._runners
            if where == "claiming":
                await AsyncParallel.until(lambda: len(runner._database.silence._used) > 0)
            start = time.monotonic()
            assert through.stop() == 1
            assert await parallel.results() == [None]
            assert time.monotonic() - start < 8
        await through.aclose()
        assert time.monotonic() - start < 15
    assert not [each for each in caplog.records if each.exc_info]


async def test_what_cannot_pass_ends_a_run(
    open_store: OpenStore, category: str, conninfo: str
) -> None:
    store = await open_store(conninfo=make_conninfo(conninfo, user=f"nobody {uuid4()}"))
    with pytest.raises(psycopg.OperationalError) as caught:
        await store.run(noting(store, category, []))
    assert caught.value.sqlstate is None


async def test_a_database_that_is_dropped_ends_a_run_and_a_follower(
    connect: Connect, conninfo: str, category: str
) -> None:
    name = f"dropped {uuid4()}"
    admin = connect(autocommit=True)
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    store = AsyncMessageStore[EventA](make_conninfo(conninfo, dbname=name), messages=EventA)
    seen: list[int] = []
    followed: list[int] = []
    async with AsyncParallel() as parallel:
        await parallel.start(
            partial(store.run, noting(store, category, seen), workers=2),
            partial(follow, store, category, followed),
        )
        await store.write(f"{category}-1", EventA(1))
        await AsyncParallel.until(lambda: (len(seen), len(followed)) == (1, 1))
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        store._waker.ring()
        results = await parallel.results()
    assert [type(error) for error in results] == [psycopg.OperationalError] * 2
    await store.aclose()
