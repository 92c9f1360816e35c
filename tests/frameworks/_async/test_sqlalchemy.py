"""Operations in a transaction of SQLAlchemy's: `conn=` takes its connections and sessions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy.exc
from psycopg.types.json import set_json_loads
from sqlalchemy import text

from pgstore import (
    AsyncMessageStore,
    InvalidArgumentError,
    OptimisticConcurrencyError,
    StoredMessage,
    TransactionFailedError,
)
from tests.frameworks._async.conftest import OpenEngine, Orders
from tests.frameworks.engines import (
    AsyncEngine,
    AsyncModelSession,
    AsyncSession,
    async_pooled,
    async_raw_of,
    async_scoped,
)
from tests.frameworks.messages import Paid

Store = AsyncMessageStore[Paid]

# Each makes what people have in hand.
WAYS: dict[str, Callable[[AsyncEngine], Any]] = {
    "connection": lambda engine: engine.connect(),
    "session": AsyncSession,
    "sqlmodel": AsyncModelSession,
    "scoped": async_scoped,
}


async def opened(way: str, engine: AsyncEngine) -> Any:
    made = WAYS[way](engine)
    return await made.__aenter__() if way == "connection" else made


@pytest.mark.parametrize("way", WAYS)
async def test_commit_of_the_framework_commits_a_write_that_came_first(
    store: Store, engine: AsyncEngine, stream: str, way: str
) -> None:
    conn = await opened(way, engine)
    await store.write(stream, Paid(1), conn=conn)
    assert await store.stream_version(stream) == 0
    await conn.commit()
    assert await store.stream_version(stream) == 1
    await store.write(stream, Paid(2), conn=conn)
    await store.write_many(stream, [Paid(3), Paid(4)], expected_version=2, conn=conn)
    await conn.commit()
    assert await store.stream_version(stream) == 4
    await conn.close()


@pytest.mark.parametrize("way", WAYS)
async def test_rollback_of_the_framework_undoes_a_write(
    store: Store, engine: AsyncEngine, stream: str, way: str
) -> None:
    conn = await opened(way, engine)
    await store.write(stream, Paid(1), conn=conn)
    await conn.rollback()
    await store.write(stream, Paid(1), conn=conn)
    await conn.close()  # without a commit, too
    assert await store.stream_version(stream) == 0


async def test_rows_and_messages_are_one_transaction(
    store: Store, engine: AsyncEngine, stream: str, orders: Orders
) -> None:
    async with engine.begin() as conn:
        await conn.execute(orders.insert, {"key": "a"})
        await store.write(stream, Paid(1), conn=conn)
    async with AsyncSession(engine) as session, session.begin():
        await store.write(stream, Paid(2), conn=session)
        await session.execute(orders.insert, {"key": "b"})
        assert await store.stream_version(stream, conn=session) == 2
        assert await store.stream_version(stream) == 1
    with pytest.raises(ZeroDivisionError):
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(orders.insert, {"key": "c"})
            await store.write(stream, Paid(3), conn=session)
            raise ZeroDivisionError
    assert (await orders.count(), await store.stream_version(stream)) == (2, 2)


async def test_a_connection_taken_out_before_a_transaction_is_refused(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    """SQLAlchemy would not know of the transaction: `commit()` would commit nothing."""
    async with engine.connect() as conn:
        raw = await async_raw_of(conn)
        for _ in range(2):
            with pytest.raises(InvalidArgumentError, match="taken out of SQLAlchemy's"):
                await store.write(stream, Paid(1), conn=raw)
            await store.write(stream, Paid(1), conn=conn)
            await conn.commit()
        async with raw.transaction():
            await store.write(stream, Paid(1), conn=raw)
    assert await store.stream_version(stream) == 3


async def test_a_connection_taken_out_in_a_transaction_is_committed_with_it(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT"))
        await store.write(stream, Paid(1), conn=await async_raw_of(await session.connection()))
        await session.commit()
    assert await store.stream_version(stream) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_conflict_that_is_caught_makes_the_commit_fail(
    store: Store, engine: AsyncEngine, stream: str, orders: Orders, way: str
) -> None:
    conn = await opened(way, engine)
    await orders.add("a", conn)
    with pytest.raises(OptimisticConcurrencyError):
        await store.write(stream, Paid(1), expected_version=77, conn=conn)
    with pytest.raises(TransactionFailedError):
        await conn.commit()
    await conn.rollback()
    assert await orders.count() == 0
    # The same object is good again afterwards.
    await orders.add("b", conn)
    await store.write(stream, Paid(1), expected_version=0, conn=conn)
    await conn.commit()
    await conn.close()
    assert (await orders.count(), await store.stream_version(stream)) == (1, 1)


async def test_a_block_in_which_a_conflict_was_caught_raises(
    store: Store, engine: AsyncEngine, stream: str, orders: Orders
) -> None:
    with pytest.raises(TransactionFailedError):
        async with AsyncSession(engine) as session, session.begin():
            await session.execute(orders.insert, {"key": "a"})
            with pytest.raises(OptimisticConcurrencyError):
                await store.write(stream, Paid(1), expected_version=77, conn=session)
    with pytest.raises(TransactionFailedError):
        async with engine.begin() as conn:
            await conn.execute(orders.insert, {"key": "a"})
            with pytest.raises(OptimisticConcurrencyError):
                await store.write(stream, Paid(1), expected_version=77, conn=conn)
    assert await orders.count() == 0


async def test_a_block_that_is_rolled_back_after_a_conflict_ends_normally(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    async with AsyncSession(engine) as session, session.begin():
        with pytest.raises(OptimisticConcurrencyError):
            await store.write(stream, Paid(1), expected_version=77, conn=session)
        await session.rollback()


async def test_an_argument_that_is_refused_before_the_server_leaves_the_transaction_alone(
    store: Store, engine: AsyncEngine, stream: str, orders: Orders
) -> None:
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(orders.insert, {"key": "a"})
        with pytest.raises(InvalidArgumentError):
            await store.write(stream, "no message", conn=session)  # type: ignore[arg-type]
    assert await orders.count() == 1


@pytest.mark.parametrize("taken", ["before", "inside", "never"])
async def test_after_an_error_in_a_savepoint_the_transaction_continues(
    store: Store, engine: AsyncEngine, stream: str, orders: Orders, taken: str
) -> None:
    async with AsyncSession(engine) as session, session.begin():
        conn: Any = session
        if taken == "before":
            conn = await async_raw_of(await session.connection())
        await session.execute(orders.insert, {"key": "a"})
        with pytest.raises(OptimisticConcurrencyError):
            async with session.begin_nested():
                if taken == "inside":
                    conn = await async_raw_of(await session.connection())
                await session.execute(orders.insert, {"key": "lost"})
                await store.write(stream, Paid(1), expected_version=77, conn=conn)
        await store.write(stream, Paid(1), expected_version=0, conn=conn)
    assert (await orders.count(), await store.stream_version(stream)) == (1, 1)


async def test_a_conflict_caught_in_a_savepoint_raises_at_its_end(
    store: Store, engine: AsyncEngine, stream: str, orders: Orders
) -> None:
    async with engine.connect() as conn:
        await conn.execute(orders.insert, {"key": "a"})
        savepoint = await conn.begin_nested()
        with pytest.raises(OptimisticConcurrencyError):
            await store.write(stream, Paid(1), expected_version=77, conn=conn)
        with pytest.raises(sqlalchemy.exc.InternalError):  # it cannot be released
            await savepoint.commit()
        # SQLAlchemy then rolls the savepoint back no more.
        with pytest.raises(TransactionFailedError):
            await conn.commit()
    assert await orders.count() == 0


async def test_decide_in_a_session_decides_again_after_a_conflict(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    decider = store.decider(lambda state, paid: state + paid.amount, int)
    async with AsyncSession(engine) as session, session.begin():
        await decider.decide(stream, lambda state: Paid(state + 1), conn=session)
        await decider.decide(stream, lambda state: [Paid(state + 1)] * 2, conn=session)
        assert (await decider.load(stream, conn=session)).state == 5
        with pytest.raises(ZeroDivisionError):
            await decider.decide(stream, lambda state: Paid(state // 0), conn=session)
    assert (await decider.load(stream)).version == 3


async def test_every_operation_takes_a_session(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    committed = await store.write(f"{stream}b", Paid(0))
    async with AsyncSession(engine) as session:
        position = await store.write(stream, Paid(1), conn=session)
        found = [each async for each in store.read(stream, conn=session)]
        assert [each.message for each in found] == [Paid(1)]
        assert await store.last(stream, conn=session) == found[0]
        assert await store.get(found[0].message_id, conn=session) == found[0]
        everything = [each.global_position async for each in store.read_all(conn=session)]
        assert committed.global_position in everything
        assert len(await store.positions(stream, conn=session)) == 1
        message_id = await store.schedule(stream, Paid(2), timedelta(days=1), conn=session)
        assert await store.cancel(message_id, conn=session)
        assert position.version == 1
        await session.rollback()
    assert await store.stream_version(stream) == 0


async def test_apply_gives_handlers_the_connection_under_a_session(
    store: Store, engine: AsyncEngine, stream: str, orders: Orders
) -> None:
    subscription = store.subscription("apply")
    given = []

    @subscription.handler
    async def handle(stored: StoredMessage[Paid], conn: psycopg.AsyncConnection[Any]) -> None:
        given.append(conn)

    async with AsyncSession(engine) as session, session.begin():
        await store.write(stream, Paid(1), conn=session)
        last = await store.last(stream, conn=session)
        assert last is not None
        await subscription.apply([last], session)
        assert given == [await async_raw_of(await session.connection())]


async def test_objects_that_wait_in_a_session_are_not_flushed_by_a_write(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    """As `session.connection().execute(…)`: flush() before, for an id that the server gives."""
    async with AsyncSession(engine) as session, session.begin():
        flushed = []
        sync: Any = getattr(session, "sync_session", session)
        sqlalchemy.event.listen(sync, "before_flush", lambda *_: flushed.append(1))
        await store.write(stream, Paid(1), conn=session)
        assert flushed == []


async def test_connections_go_back_to_the_pool(
    store: Store, open_engine: OpenEngine, stream: str
) -> None:
    engine = open_engine(pool_size=1, max_overflow=0, pool_timeout=1)
    for version in range(3):
        async with AsyncSession(engine) as session:
            await store.write(stream, Paid(1), expected_version=version, conn=session)
            await session.commit()
            assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
            with pytest.raises(OptimisticConcurrencyError):
                await store.write(stream, Paid(1), expected_version=77, conn=session)
    assert await store.stream_version(stream) == 3


async def test_an_engine_in_autocommit_commits_each_write(
    store: Store, open_engine: OpenEngine, stream: str
) -> None:
    engine = open_engine(isolation_level="AUTOCOMMIT")
    async with engine.connect() as conn:
        await store.write(stream, Paid(1), conn=conn)
        assert await store.stream_version(stream) == 1
        with pytest.raises(OptimisticConcurrencyError):
            await store.write(stream, Paid(1), expected_version=77, conn=conn)
        await store.write(stream, Paid(2), conn=conn)
        await conn.commit()
    assert await store.stream_version(stream) == 2


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_other_isolation_levels_are_kept(
    store: Store, engine: AsyncEngine, stream: str, level: Any
) -> None:
    async with AsyncSession(engine) as session:
        await session.connection(execution_options={"isolation_level": level})
        await store.write(stream, Paid(1), conn=session)
        shown = await session.execute(text("SHOW transaction_isolation"))
        assert shown.scalar_one() == level.lower()
        await session.commit()
    assert await store.stream_version(stream) == 1


async def test_what_is_read_does_not_depend_on_the_engines_adapters(
    store: Store, open_engine: OpenEngine, stream: str
) -> None:
    engine = open_engine(json_deserializer=lambda _: "other", json_serializer=lambda _: "{}")
    async with AsyncSession(engine) as session:
        raw = await async_raw_of(await session.connection())
        set_json_loads(lambda _: "another", raw)
        await store.write(stream, Paid(7), metadata={"a": [1]}, tags=["x"], conn=session)
        found = await store.last(stream, conn=session)
        assert found is not None
        await session.commit()
    assert found == await store.last(stream)
    assert (found.message, found.metadata, found.tags) == (Paid(7), {"a": [1]}, ("x",))


async def test_a_lost_connection_is_an_error_and_the_session_connects_again(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    async with AsyncSession(engine) as session:
        await store.write(stream, Paid(1), conn=session)
        raw = await async_raw_of(await session.connection())
        async with engine.connect() as other:
            await other.execute(
                text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": raw.info.backend_pid}
            )
        with pytest.raises(psycopg.OperationalError):
            await store.write(stream, Paid(2), conn=session)
        with pytest.raises(sqlalchemy.exc.OperationalError):
            await session.commit()
        await session.rollback()
        await store.write(stream, Paid(3), conn=session)
        await session.commit()
    assert await store.stream_version(stream) == 1


async def test_a_session_without_autobegin_says_so(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    session = AsyncSession(engine, autobegin=False)
    with pytest.raises(sqlalchemy.exc.InvalidRequestError):
        await store.write(stream, Paid(1), conn=session)
    await session.close()


@pytest.mark.parametrize("which", ["pooled", "engine"])
async def test_what_is_no_connection_is_refused_with_what_to_pass(
    store: Store, engine: AsyncEngine, stream: str, which: str
) -> None:
    async with engine.connect() as conn:
        other: Any = await async_pooled(conn) if which == "pooled" else engine
        with pytest.raises(InvalidArgumentError, match=r"Connection or Session|engine\.begin\(\)"):
            await store.write(stream, Paid(1), conn=other)
    assert await store.stream_version(stream) == 0


async def test_sessions_that_conflict_are_independent(
    store: Store, engine: AsyncEngine, stream: str
) -> None:
    async with engine.connect() as first, engine.connect() as second:
        await store.write(stream, Paid(1), expected_version=0, conn=first)
        await first.commit()
        with pytest.raises(OptimisticConcurrencyError):
            await store.write(stream, Paid(1), expected_version=0, conn=second)
        await store.write(stream, Paid(2), conn=first)
        await first.commit()
        with pytest.raises(TransactionFailedError):
            await second.commit()
    assert await store.stream_version(stream) == 2
