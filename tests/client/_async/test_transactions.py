"""transaction() and conn=: several writes and the caller's own rows, all or nothing."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pgstore import AsyncMessageStore, OptimisticConcurrencyError, TransactionFailedError
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client._async.everything import MESSAGES, do_everything
from tests.client.messages import EventA

Store = AsyncMessageStore[Any]


async def test_transaction_commits_several_streams_at_once(
    store: Store, open_store: OpenStore, stream: str
) -> None:
    watching = await open_store()
    streams = [f"{stream}-{number}" for number in range(3)]
    async with store.transaction() as conn:
        for each in streams:
            await store.write(each, EventA(1), conn=conn)
            await store.write_many(each, [EventA(2), EventA(3)], expected_version=1, conn=conn)
            assert await store.stream_version(each, conn=conn) == 3
            assert await watching.stream_version(each) == 0
    assert [await watching.stream_version(each) for each in streams] == [3, 3, 3]


async def test_transaction_rolls_back_when_it_raises(store: Store, stream: str) -> None:
    async def write_and(then: Callable[..., Any]) -> None:
        async with store.transaction() as conn:
            await store.write(stream, EventA(1), conn=conn)
            await then(conn=conn)

    with pytest.raises(TypeError):
        await write_and(partial(store.write, stream))
    assert await store.stream_version(stream) == 0
    with pytest.raises(OptimisticConcurrencyError):
        await write_and(partial(store.write, stream, EventA(2), expected_version=5))
    assert await store.stream_version(stream) == 0
    assert (await store.write(stream, EventA(1), expected_version=0)).version == 1


async def refused_half_way(store: Store, stream: str, conn: psycopg.AsyncConnection[Any]) -> None:
    async with conn.transaction():
        await store.write(stream, EventA(2), conn=conn)
        await store.write(stream, EventA(3), expected_version=7, conn=conn)


async def test_transaction_goes_on_after_a_refused_savepoint(store: Store, stream: str) -> None:
    async with store.transaction() as conn:
        await store.write(stream, EventA(1), conn=conn)
        with pytest.raises(OptimisticConcurrencyError):
            await refused_half_way(store, stream, conn)
        await store.write(stream, EventA(4), expected_version=1, conn=conn)
    assert [stored.message.num async for stored in store.read(stream)] == [1, 4]


async def test_transactions_can_nest_on_different_connections(store: Store, stream: str) -> None:
    async with store.transaction() as one, store.transaction() as two:
        assert one is not two
        await store.write(f"{stream}-1", EventA(1), conn=one)
        await store.write(f"{stream}-2", EventA(1), conn=two)
    assert await store.stream_version(f"{stream}-1") == 1
    assert await store.stream_version(f"{stream}-2") == 1


async def test_every_operation_joins_the_callers_transaction(
    open_store: OpenStore, open_connection: OpenConnection, stream: str
) -> None:
    store = await open_store(MESSAGES)
    conn = await open_connection(autocommit=False)
    await do_everything(store, stream, conn, refuse=False)
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert await store.stream_version(stream) == 0
    await conn.rollback()
    assert await store.stream_version(stream, conn=conn) == 0
    await do_everything(store, stream, conn, refuse=False)
    await conn.commit()
    assert await store.stream_version(stream) == 2


async def test_messages_and_the_callers_rows_commit_together(
    store: Store, open_connection: OpenConnection, stream: str, schema: str
) -> None:
    conn = await open_connection()
    table = sql.Identifier(schema, "accounts")
    await conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    await conn.execute(sql.SQL("CREATE TABLE {} (id bigint)").format(table))
    insert = sql.SQL("INSERT INTO {} VALUES (1)").format(table)

    async def write_both(expected_version: int) -> None:
        async with conn.transaction():
            await conn.execute(insert)
            await store.write(stream, EventA(1), expected_version=expected_version, conn=conn)

    with pytest.raises(OptimisticConcurrencyError):
        await write_both(9)
    await write_both(0)
    cursor = await conn.execute(sql.SQL("SELECT count(*) FROM {}").format(table))
    assert await cursor.fetchone() == (1,)
    assert await store.stream_version(stream) == 1


async def test_on_an_autocommit_connection_every_write_is_a_transaction(
    store: Store, open_store: OpenStore, open_connection: OpenConnection, stream: str
) -> None:
    conn = await open_connection()
    watching = await open_store()
    await store.write(stream, EventA(1), conn=conn)
    assert await watching.stream_version(stream) == 1
    with pytest.raises(OptimisticConcurrencyError):
        await store.write(stream, EventA(1), expected_version=0, conn=conn)
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
async def test_a_snapshot_that_is_too_old_can_be_tried_again(
    store: Store, open_connection: OpenConnection, stream: str, level: psycopg.IsolationLevel
) -> None:
    conn = await open_connection(autocommit=False)
    await conn.set_isolation_level(level)
    for expected_version in (None, 0, 1):
        await conn.execute("SELECT 1")  # takes the snapshot
        await store.write(stream, EventA(1))
        with pytest.raises(psycopg.errors.SerializationFailure):
            await store.write(stream, EventA(2), expected_version=expected_version, conn=conn)
        await conn.rollback()
    assert (await store.write(stream, EventA(2), expected_version=3, conn=conn)).version == 4
    await conn.commit()
    assert conn.isolation_level == level


async def test_a_connection_that_is_closed_is_the_callers_error(
    store: Store, open_connection: OpenConnection, stream: str
) -> None:
    conn = await open_connection()
    await conn.close()
    with pytest.raises(psycopg.OperationalError, match="closed"):
        await store.write(stream, EventA(1), conn=conn)
    assert await store.stream_version(stream) == 0


async def catch_in_block(
    store: Store,
    stream: str,
    work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[object]],
    caught: type[Exception],
) -> None:
    """A block that writes, catches an error of what it does then, and ends normally."""
    async with store.transaction() as conn:
        await store.write(stream, EventA(1), conn=conn)
        with pytest.raises(caught):
            await work(conn)


async def test_a_block_in_which_an_error_was_caught_does_not_end_silently(
    store: Store, stream: str
) -> None:
    async def conflict(conn: psycopg.AsyncConnection[Any]) -> None:
        await store.write(stream, EventA(2), expected_version=7, conn=conn)

    with pytest.raises(TransactionFailedError, match="savepoint"):
        await catch_in_block(store, stream, conflict, OptimisticConcurrencyError)
    assert await store.stream_version(stream) == 0
    async with store.transaction() as conn:  # the pool's connection can be used again
        await store.write(stream, EventA(1), conn=conn)
    assert await store.stream_version(stream) == 1


async def test_a_block_in_which_a_pipeline_failed_does_not_end_silently(
    store: Store, stream: str
) -> None:
    async def pipeline(conn: psycopg.AsyncConnection[Any]) -> None:
        async with conn.pipeline():
            await conn.execute("SELECT 1/0")

    with pytest.raises(TransactionFailedError):
        await catch_in_block(store, stream, pipeline, psycopg.errors.DivisionByZero)
    assert await store.stream_version(stream) == 0


async def test_a_block_whose_connection_was_lost_does_not_end_silently(
    store: Store, stream: str
) -> None:
    async def lose(conn: psycopg.AsyncConnection[Any]) -> None:
        await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(psycopg.OperationalError, match="nothing was stored"):
        await catch_in_block(store, stream, lose, psycopg.OperationalError)
    assert await store.stream_version(stream) == 0


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
async def test_a_block_that_ends_its_transaction_itself_does_not_end_silently(
    store: Store, stream: str, end: str
) -> None:
    async def end_it() -> None:
        async with store.transaction() as conn:
            await store.write(stream, EventA(1), conn=conn)
            await conn.execute(end.encode())

    with pytest.raises(TransactionFailedError, match="ended"):
        await end_it()
    assert await store.stream_version(stream) == (1 if end == "COMMIT" else 0)
