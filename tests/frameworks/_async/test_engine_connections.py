"""An engine's connections: dead ones, those to a standby, and those that somebody else has made."""

import logging
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import NullPool, StaticPool, event

from pgstore import AsyncMessageStore, InvalidArgumentError
from tests.client.parallel import AsyncParallel
from tests.conftest import Connect
from tests.frameworks._async.conftest import OpenEngine
from tests.frameworks.engines import async_engine_by, async_filled, async_raw_of
from tests.frameworks.messages import Paid


async def test_after_the_end_of_every_second_session_a_store_continues(
    open_engine: OpenEngine, connect: Connect, shared: str, stream: str
) -> None:
    engine = open_engine(pool_size=12)
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        await store.write(stream, Paid(1))
        pids = await async_filled(engine, 12)
        connect().execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM unnest(%s::int[]) AS pid", [pids[::2]]
        )
        await store.write(stream, Paid(2))
        assert await store.stream_version(stream) == 2


async def test_connections_to_a_standby_are_made_anew(
    open_engine: OpenEngine, shared: str, stream: str
) -> None:
    engine = open_engine(pool_size=4)
    to_standby = False

    def connected(conn: Any, _: object) -> None:
        if to_standby:
            conn.cursor().execute("SET default_transaction_read_only = on")
            conn.commit()

    event.listen(engine.pool, "connect", connected)
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        assert await store.stream_version(stream) == 0
        await engine.dispose()

        to_standby = True
        await async_filled(engine, 4)
        to_standby = False
        await store.write(stream, Paid(1))
        await engine.dispose()

        to_standby = True
        await async_filled(engine, 4)
        to_standby = False

        async def write_in_transaction() -> None:
            async with store.transaction() as conn:
                await store.write(stream, Paid(2), conn=conn)

        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await write_in_transaction()
        await write_in_transaction()
        assert await store.stream_version(stream) == 2


async def test_a_waiting_connection_that_ends_is_made_anew_without_an_error_of_sqlalchemys(
    open_engine: OpenEngine,
    connect: Connect,
    shared: str,
    stream: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = open_engine(connect_args={"application_name": stream[:60]})
    category = stream.replace("-", "")
    waiting = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = %s AND state = 'idle' AND pid IN (SELECT pid FROM pg_locks"
        " WHERE locktype = 'advisory')"
    )
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        seen: list[int] = []
        follower = store.follow(category=category)

        async def follow() -> None:
            async for stored in follower:
                seen.append(stored.message.amount)

        async with AsyncParallel() as parallel:
            await parallel.start(follow)
            ends = connect()
            # It holds the bell, so it waits.
            await AsyncParallel.until(lambda: ends.execute(waiting, [stream[:60]]).rowcount > 0)
            await store.write(f"{category}-1", Paid(1))
            await AsyncParallel.until(lambda: seen == [1])
            follower.stop()
            await parallel.results()
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("state", ["idle", "in transaction"])
async def test_a_shared_connection_that_was_there_is_refused_and_left_alone(
    conninfo: str, shared: str, stream: str, state: str
) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo) as raw:

        async def given() -> psycopg.AsyncConnection[Any]:
            return raw

        engine = async_engine_by(given, poolclass=StaticPool)
        await (await engine.connect()).close()
        if state == "in transaction":
            await raw.execute("SELECT")
        store = AsyncMessageStore[Paid](engine, store=shared, messages=Paid)
        with pytest.raises(InvalidArgumentError, match="connection string"):
            await store.write(stream, Paid(1))
        expected = TransactionStatus.IDLE if state == "idle" else TransactionStatus.INTRANS
        assert raw.info.transaction_status == expected


async def test_a_connection_that_is_in_a_transaction_is_refused_and_left_alone(
    conninfo: str, shared: str, stream: str
) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo) as raw:

        async def given() -> psycopg.AsyncConnection[Any]:
            return raw

        engine = async_engine_by(given)
        await (await engine.connect()).close()
        await raw.execute("SELECT")
        store = AsyncMessageStore[Paid](engine, store=shared, messages=Paid)
        with pytest.raises(InvalidArgumentError, match="connection string"):
            await store.write(stream, Paid(1))
        assert raw.info.transaction_status == TransactionStatus.INTRANS


async def test_connections_of_a_psycopg_pool_go_back_to_it_as_they_were(
    conninfo: str, shared: str, stream: str
) -> None:
    category = stream.replace("-", "")
    async with AsyncConnectionPool(conninfo, min_size=3, max_size=3, close_returns=True) as pool:
        engine = async_engine_by(pool.getconn, poolclass=NullPool)
        async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
            await store.write(f"{category}-1", Paid(1))
            follower = store.follow(category=category, timeout=1)
            assert [each.message async for each in follower] == [Paid(1)]
        opened = [await engine.connect() for _ in range(3)]
        for each in opened:
            raw = await async_raw_of(each)
            assert not raw.autocommit
            cursor = await raw.execute("SELECT pg_listening_channels()")
            assert await cursor.fetchall() == []
            await each.close()
