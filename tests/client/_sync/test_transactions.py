# Generated from tests/client/_async/test_transactions.py by `python tools/unasync.py`.

"""transaction() and conn=: several writes and the caller's own rows, all or nothing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pgstore import MessageStore, OptimisticConcurrencyError, TransactionFailedError
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client._sync.everything import MESSAGES, do_everything
from tests.client.messages import EventA

Store = MessageStore[Any]


def test_transaction_commits_several_streams_at_once(
    store: Store, open_store: OpenStore, stream: str
) -> None:
    watching = open_store()
    streams = [f"{stream}-{number}" for number in range(3)]
    with store.transaction() as conn:
        for each in streams:
            store.write(each, EventA(1), conn=conn)
            store.write_many(each, [EventA(2), EventA(3)], expected_version=1, conn=conn)
            assert store.stream_version(each, conn=conn) == 3
            assert watching.stream_version(each) == 0
    assert [watching.stream_version(each) for each in streams] == [3, 3, 3]


def test_transaction_rolls_back_when_it_raises(store: Store, stream: str) -> None:
    def write_and(then: Callable[..., Any]) -> None:
        with store.transaction() as conn:
            store.write(stream, EventA(1), conn=conn)
            then(conn=conn)

    with pytest.raises(TypeError):
        write_and(partial(store.write, stream))
    assert store.stream_version(stream) == 0
    with pytest.raises(OptimisticConcurrencyError):
        write_and(partial(store.write, stream, EventA(2), expected_version=5))
    assert store.stream_version(stream) == 0
    assert store.write(stream, EventA(1), expected_version=0).version == 1


def refused_half_way(store: Store, stream: str, conn: psycopg.Connection[Any]) -> None:
    with conn.transaction():
        store.write(stream, EventA(2), conn=conn)
        store.write(stream, EventA(3), expected_version=7, conn=conn)


def test_transaction_goes_on_after_a_refused_savepoint(store: Store, stream: str) -> None:
    with store.transaction() as conn:
        store.write(stream, EventA(1), conn=conn)
        with pytest.raises(OptimisticConcurrencyError):
            refused_half_way(store, stream, conn)
        store.write(stream, EventA(4), expected_version=1, conn=conn)
    assert [stored.message.num for stored in store.read(stream)] == [1, 4]


def test_transactions_can_nest_on_different_connections(store: Store, stream: str) -> None:
    with store.transaction() as one, store.transaction() as two:
        assert one is not two
        store.write(f"{stream}-1", EventA(1), conn=one)
        store.write(f"{stream}-2", EventA(1), conn=two)
    assert store.stream_version(f"{stream}-1") == 1
    assert store.stream_version(f"{stream}-2") == 1


def test_every_operation_joins_the_callers_transaction(
    open_store: OpenStore, open_connection: OpenConnection, stream: str
) -> None:
    store = open_store(MESSAGES)
    conn = open_connection(autocommit=False)
    do_everything(store, stream, conn, refuse=False)
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert store.stream_version(stream) == 0
    conn.rollback()
    assert store.stream_version(stream, conn=conn) == 0
    do_everything(store, stream, conn, refuse=False)
    conn.commit()
    assert store.stream_version(stream) == 2


def test_messages_and_the_callers_rows_commit_together(
    store: Store, open_connection: OpenConnection, stream: str, schema: str
) -> None:
    conn = open_connection()
    table = sql.Identifier(schema, "accounts")
    conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    conn.execute(sql.SQL("CREATE TABLE {} (id bigint)").format(table))
    insert = sql.SQL("INSERT INTO {} VALUES (1)").format(table)

    def write_both(expected_version: int) -> None:
        with conn.transaction():
            conn.execute(insert)
            store.write(stream, EventA(1), expected_version=expected_version, conn=conn)

    with pytest.raises(OptimisticConcurrencyError):
        write_both(9)
    write_both(0)
    cursor = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(table))
    assert cursor.fetchone() == (1,)
    assert store.stream_version(stream) == 1


def test_on_an_autocommit_connection_every_write_is_a_transaction(
    store: Store, open_store: OpenStore, open_connection: OpenConnection, stream: str
) -> None:
    conn = open_connection()
    watching = open_store()
    store.write(stream, EventA(1), conn=conn)
    assert watching.stream_version(stream) == 1
    with pytest.raises(OptimisticConcurrencyError):
        store.write(stream, EventA(1), expected_version=0, conn=conn)
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_a_snapshot_that_is_too_old_can_be_tried_again(
    store: Store, open_connection: OpenConnection, stream: str, level: psycopg.IsolationLevel
) -> None:
    conn = open_connection(autocommit=False)
    conn.set_isolation_level(level)
    for expected_version in (None, 0, 1):
        conn.execute("SELECT 1")  # takes the snapshot
        store.write(stream, EventA(1))
        with pytest.raises(psycopg.errors.SerializationFailure):
            store.write(stream, EventA(2), expected_version=expected_version, conn=conn)
        conn.rollback()
    assert store.write(stream, EventA(2), expected_version=3, conn=conn).version == 4
    conn.commit()
    assert conn.isolation_level == level


def test_a_connection_that_is_closed_is_the_callers_error(
    store: Store, open_connection: OpenConnection, stream: str
) -> None:
    conn = open_connection()
    conn.close()
    with pytest.raises(psycopg.OperationalError, match="closed"):
        store.write(stream, EventA(1), conn=conn)
    assert store.stream_version(stream) == 0


def catch_in_block(
    store: Store,
    stream: str,
    work: Callable[[psycopg.Connection[Any]], object],
    caught: type[Exception],
) -> None:
    """A block that writes, catches an error of what it does then, and ends normally."""
    with store.transaction() as conn:
        store.write(stream, EventA(1), conn=conn)
        with pytest.raises(caught):
            work(conn)


def test_a_block_in_which_an_error_was_caught_does_not_end_silently(
    store: Store, stream: str
) -> None:
    def conflict(conn: psycopg.Connection[Any]) -> None:
        store.write(stream, EventA(2), expected_version=7, conn=conn)

    with pytest.raises(TransactionFailedError, match="savepoint"):
        catch_in_block(store, stream, conflict, OptimisticConcurrencyError)
    assert store.stream_version(stream) == 0
    with store.transaction() as conn:  # the pool's connection can be used again
        store.write(stream, EventA(1), conn=conn)
    assert store.stream_version(stream) == 1


def test_a_block_in_which_a_pipeline_failed_does_not_end_silently(
    store: Store, stream: str
) -> None:
    def pipeline(conn: psycopg.Connection[Any]) -> None:
        with conn.pipeline():
            conn.execute("SELECT 1/0")

    with pytest.raises(TransactionFailedError):
        catch_in_block(store, stream, pipeline, psycopg.errors.DivisionByZero)
    assert store.stream_version(stream) == 0


def test_a_block_whose_connection_was_lost_does_not_end_silently(store: Store, stream: str) -> None:
    def lose(conn: psycopg.Connection[Any]) -> None:
        conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(psycopg.OperationalError, match="nothing was stored"):
        catch_in_block(store, stream, lose, psycopg.OperationalError)
    assert store.stream_version(stream) == 0


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_block_that_ends_its_transaction_itself_does_not_end_silently(
    store: Store, stream: str, end: str
) -> None:
    def end_it() -> None:
        with store.transaction() as conn:
            store.write(stream, EventA(1), conn=conn)
            conn.execute(end.encode())

    with pytest.raises(TransactionFailedError, match="ended"):
        end_it()
    assert store.stream_version(stream) == (1 if end == "COMMIT" else 0)
