"""Stores on the connections of an engine."""

import logging
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from sqlalchemy import NullPool, StaticPool, event, text

from pgstore import AsyncMessageStore, InvalidArgumentError, OptimisticConcurrencyError
from tests.client.parallel import AsyncParallel
from tests.frameworks._async.conftest import OpenEngine
from tests.frameworks.engines import AsyncEngine, AsyncSession, async_checked_out, async_raw_of
from tests.frameworks.messages import Paid

SMALL: dict[str, dict[str, Any]] = {
    "one": {"pool_size": 1, "max_overflow": 0, "pool_timeout": 20},
    "two": {"pool_size": 2, "max_overflow": 0, "pool_timeout": 20},
    "null": {"poolclass": NullPool},
    "static": {"poolclass": StaticPool},
    "autocommit": {"isolation_level": "AUTOCOMMIT"},
    "pre_ping": {"pool_pre_ping": True},
}


@pytest.mark.parametrize("pool", SMALL)
async def test_a_store_works_on_each_kind_of_pool(
    open_engine: OpenEngine, shared: str, stream: str, pool: str
) -> None:
    engine = open_engine(**SMALL[pool])
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        await store.write(stream, Paid(1), expected_version=0)
        with pytest.raises(OptimisticConcurrencyError):
            await store.write(stream, Paid(1), expected_version=0)
        async with store.transaction() as conn:
            await store.write(stream, Paid(2), conn=conn)
        with pytest.raises(ZeroDivisionError):
            async with store.transaction() as conn:
                await store.write(stream, Paid(3), conn=conn)
                raise ZeroDivisionError
        found = [each.message async for each in store.read(stream)]
        assert found == [Paid(1), Paid(2)]
    # The engine is the application's: still open, with its own settings.
    async with engine.connect() as conn:
        raw = await async_raw_of(conn)
        assert raw.autocommit is (pool == "autocommit")
        assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1


async def test_connections_are_borrowed_and_given_back(
    open_engine: OpenEngine, shared: str, stream: str
) -> None:
    engine = open_engine(**SMALL["one"])
    taken: list[object] = []
    event.listen(engine.pool, "checkout", lambda conn, *_: taken.append(conn))
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        await store.write(stream, Paid(1))
        before = len(taken)
        await store.write(stream, Paid(2))
        assert (len(taken), async_checked_out(engine)) == (before + 1, 0)
        async with store.transaction():
            assert async_checked_out(engine) == 1
        assert async_checked_out(engine) == 0


@pytest.mark.parametrize("pool", ["one", "static"])
async def test_the_only_connection_may_be_in_a_transaction_at_the_first_operation(
    open_engine: OpenEngine, shared: str, stream: str, pool: str
) -> None:
    engine = open_engine(**SMALL[pool])
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        async with AsyncSession(engine) as session, session.begin():
            await store.write(stream, Paid(1), conn=session)
            await store.write(stream, Paid(2), conn=session)
        assert await store.stream_version(stream) == 2


async def test_a_store_does_not_touch_a_transaction_on_a_shared_connection(
    open_engine: OpenEngine, shared: str, stream: str
) -> None:
    engine = open_engine(**SMALL["static"])
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        async with AsyncSession(engine) as session, session.begin():
            await store.write(stream, Paid(1), conn=session)
            assert await store.stream_version(stream) == 0
        assert await store.stream_version(stream) == 1


async def test_a_pool_that_has_none_left_says_so(
    open_engine: OpenEngine, shared: str, stream: str
) -> None:
    engine = open_engine(pool_size=1, max_overflow=0, pool_timeout=0.1)
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        async with engine.connect():
            with pytest.raises(PoolTimeout):
                await store.write(stream, Paid(1))
        await store.write(stream, Paid(1))


async def test_after_a_restart_of_all_sessions_a_store_continues(
    open_engine: OpenEngine,
    engine: AsyncEngine,
    shared: str,
    stream: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    borrowed = open_engine(pool_size=8, connect_args={"application_name": stream[:60]})
    async with AsyncMessageStore[Paid](borrowed, store=shared, messages=Paid) as store:
        await store.write(stream, Paid(1))
        opened = [await borrowed.connect() for _ in range(8)]
        for each in opened:
            await each.close()
        ended = text(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = :name"
        )
        async with engine.connect() as conn:
            rows = await conn.execute(ended, {"name": stream[:60]})
            assert len(rows.all()) == 8
        await store.write(stream, Paid(2))
        assert await store.stream_version(stream) == 2
    # SQLAlchemy tried to roll nothing back on a dead connection.
    assert [each.name for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("pool", ["one", "two", "null", "static"])
async def test_workers_and_followers_run_on_small_pools(
    open_engine: OpenEngine, shared: str, stream: str, pool: str
) -> None:
    engine = open_engine(**SMALL[pool])
    category = stream.replace("-", "")
    async with AsyncMessageStore[Paid](engine, store=shared, messages=Paid) as store:
        handled: list[int] = []
        followed: list[int] = []
        subscription = store.subscription(f"on-{stream}", category=category)

        @subscription.handler
        async def handle(event: Paid, conn: psycopg.AsyncConnection[Any]) -> None:
            await store.write(f"copy{category}-1", event, conn=conn)
            handled.append(event.amount)

        follower = store.follow(category=category)

        async def follow() -> None:
            async for each in follower:
                followed.append(each.message.amount)

        async def run() -> None:
            await store.run(subscription, signals=False)

        async with AsyncParallel() as parallel:
            await parallel.start(run, follow)
            for amount in range(5):
                await store.write(f"{category}-1", Paid(amount))
            await AsyncParallel.until(lambda: len(handled) == len(followed) == 5)
            await AsyncParallel.until(lambda: async_checked_out(engine) == 0)
            await store.write(f"{category}-1", Paid(5))
            await AsyncParallel.until(lambda: len(handled) == len(followed) == 6)
            store.stop()
            follower.stop()
            await parallel.results()
        assert handled == followed == list(range(6))
        assert await store.stream_version(f"copy{category}-1") == 6


async def test_an_engine_of_the_other_color_or_driver_is_refused(open_engine: OpenEngine) -> None:
    engine = open_engine()
    with pytest.raises(InvalidArgumentError, match="connect_args"):
        AsyncMessageStore[Paid](engine, messages=Paid, prepare_threshold=None)
    async with engine.connect() as conn:
        wrong: Any = conn
        with pytest.raises(InvalidArgumentError, match="conn="):
            AsyncMessageStore[Paid](wrong, messages=Paid)
