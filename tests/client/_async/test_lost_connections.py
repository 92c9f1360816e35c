"""Connections that die: between operations, in the middle of one, before an answer arrives."""

import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pgstore import AsyncMessageStore
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client._async.everything import MESSAGES, do_everything
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.client.proxy import Proxy
from tests.client.waiting import Watch
from tests.conftest import Connect

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
async def mortal(open_store: OpenStore, dsn: str, watch: Watch) -> AsyncMessageStore[Any]:
    """A store whose connections the test can find."""
    return await open_store(MESSAGES, connection=make_conninfo(dsn, application_name=watch.name))


async def test_the_next_operation_just_works(
    mortal: AsyncMessageStore[Any], watch: Watch, stream: str
) -> None:
    operations: list[Any] = [
        lambda: mortal.write(stream, EventA(1)),
        lambda: mortal.write_many(stream, [EventA(2), EventA(3)]),
        lambda: mortal.stream_version(stream),
        lambda: mortal.last(stream),
        lambda: mortal.get_many([]),
        lambda: anext(mortal.read(stream)),
        lambda: mortal.synchronize(f"{stream}-2", [], expected_version=0),
    ]
    for operation in operations:
        await mortal.stream_version(stream)
        assert watch.kill() > 0
        await operation()
    assert await mortal.stream_version(stream) == 3


async def test_the_next_transaction_just_works(
    mortal: AsyncMessageStore[Any], watch: Watch, stream: str
) -> None:
    await mortal.stream_version(stream)
    assert watch.kill() > 0
    async with mortal.transaction() as conn:
        await mortal.write(stream, EventA(1), conn=conn)
    assert await mortal.stream_version(stream) == 1


async def test_read_goes_on_when_connections_die_between_pages(
    open_store: OpenStore, dsn: str, watch: Watch, long_stream: str
) -> None:
    store = await open_store(connection=make_conninfo(dsn, application_name=watch.name))
    count = 0
    async for _ in store.read(long_stream):
        count += 1
        if count in (100, 1100):
            assert watch.kill() > 0
    assert count == 1150


async def test_a_pool_of_the_callers_recovers_too(
    open_store: OpenStore, dsn: str, watch: Watch, stream: str
) -> None:
    conninfo = make_conninfo(dsn, application_name=watch.name)
    async with AsyncConnectionPool(conninfo, min_size=3, timeout=5, open=False) as pool:
        store = await open_store(MESSAGES, connection=pool)
        await pool.wait()
        await store.stream_version(stream)
        assert watch.kill() >= 3
        await do_everything(store, stream)


async def test_an_idle_session_timeout_is_survived(
    open_store: OpenStore, dsn: str, watch: Watch, stream: str
) -> None:
    store = await open_store(
        connection=make_conninfo(
            dsn, application_name=watch.name, options="-c idle_session_timeout=50"
        )
    )
    await store.write(stream, EventA(1))
    watch.wait_until_gone()
    assert (await store.write(stream, EventA(2))).version == 2


async def test_a_write_killed_half_way_is_repeated_and_stored_once(
    mortal: AsyncMessageStore[Any], watch: Watch, open_connection: OpenConnection, stream: str
) -> None:
    blocking = await open_connection(autocommit=False)
    await mortal.write(stream, EventA(0), conn=blocking)  # holds the stream's lock
    async with AsyncParallel() as parallel:
        await parallel.start(lambda: mortal.write(stream, EventA(1)))
        await AsyncParallel.until(watch.is_blocked)
        assert watch.kill() > 0
        await AsyncParallel.until(watch.is_blocked)  # again, on another connection
        await blocking.commit()
        (position,) = await parallel.results()
    assert position.version == 2
    assert [stored.message.num async for stored in mortal.read(stream)] == [0, 1]


@pytest.mark.parametrize("pooled", [False, True])
async def test_a_write_whose_answer_is_lost_is_stored_once(
    open_store: OpenStore, dsn: str, stream: str, pooled: bool
) -> None:
    with Proxy.running(dsn) as proxy:
        pool = AsyncConnectionPool(proxy.dsn, min_size=1, timeout=5, open=False)
        async with pool:
            store = await open_store(MESSAGES, connection=pool if pooled else proxy.dsn)
            await store.write(stream, EventA(1))
            proxy.lose_answer_to(b"write_message")
            second = await store.write(stream, EventA(2), expected_version=1)
            proxy.lose_answer_to(b"write_batch")
            fourth = await store.write_many(stream, [EventA(3), EventA(4)])
            assert proxy.lost == 2
            assert (second.version, fourth.version) == (2, 4)
            assert [stored.message.num async for stored in store.read(stream)] == [1, 2, 3, 4]
            await store.aclose()


async def test_an_answer_lost_in_the_callers_transaction_is_the_callers(
    open_store: OpenStore, dsn: str, stream: str
) -> None:
    with Proxy.running(dsn) as proxy:
        store = await open_store(connection=dsn)
        conn = await psycopg.AsyncConnection.connect(proxy.dsn)
        proxy.lose_answer_to(b"write_message")
        with pytest.raises(psycopg.OperationalError):
            await store.write(stream, EventA(1), conn=conn)
        assert conn.closed
        assert await store.stream_version(stream) == 0


async def test_an_exhausted_pool_is_waited_for_once(
    open_store: OpenStore, dsn: str, stream: str
) -> None:
    async with AsyncConnectionPool(dsn, min_size=1, max_size=1, timeout=0.3, open=False) as pool:
        store = await open_store(connection=pool)
        await store.stream_version(stream)
        async with pool.connection():
            before = time.monotonic()
            with pytest.raises(PoolTimeout):
                await store.stream_version(stream)
            assert time.monotonic() - before < 0.55
        assert await store.stream_version(stream) == 0
