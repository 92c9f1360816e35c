"""Long transactions: those that have written to the store hold readers back, and no others."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

import pgstore
from pgstore import MessageStore
from tests.conftest import Connect
from tests.stress.messages import Noted


@pytest.fixture
def store(server_conninfo: str, schema: str) -> Iterator[MessageStore[Noted]]:
    with pgstore.MessageStore(server_conninfo, store=schema, messages=Noted) as store:
        store.safe_position()
        yield store


@pytest.fixture
def other_database(server_conninfo: str) -> Iterator[str]:
    name = sql.Identifier(f"other_{uuid4().hex[:12]}")
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield make_conninfo(server_conninfo, dbname=name.as_string().strip('"'))
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def read(store: MessageStore[Noted]) -> list[int]:
    return [each.global_position for each in store.read_all()]


def in_flight(conn: psycopg.Connection[TupleRow], schema: str) -> list[TupleRow]:
    statement = "SELECT pid, prepared_transaction, application, state, after_position,"
    statement += f" positions_waiting, since <= now() FROM {schema}.writers_in_flight"
    return conn.execute(statement.encode()).fetchall()


def test_transaction_that_has_not_written_to_the_store_holds_nobody_back(
    store: MessageStore[Noted], connect: Connect
) -> None:
    reader, writer = connect(), connect()
    reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    reader.execute("SELECT count(*) FROM pg_class")
    writer.execute("BEGIN")
    writer.execute("CREATE TEMP TABLE business AS SELECT 1 AS id")  # it has an id, and writes

    positions = [store.write(f"left-{n}", Noted(0, n)).global_position for n in range(5)]
    assert store.safe_position() == positions[-1]
    assert read(store) == positions


def test_transaction_in_another_database_holds_nobody_back(
    store: MessageStore[Noted], schema: str, connect: Connect, other_database: str
) -> None:
    pgstore.install(other_database, store=schema)  # the same name: the same lock classes
    with psycopg.connect(other_database) as writer:
        writer.execute(f"SELECT {schema}.write_message('left-1', 'Noted', '{{}}')".encode())
        positions = [store.write(f"left-{n}", Noted(0, n)).global_position for n in range(5)]
        assert read(store) == positions
        assert in_flight(connect(), schema) == []
        writer.rollback()


def test_transaction_that_has_written_holds_readers_back_and_is_named(
    store: MessageStore[Noted], schema: str, connect: Connect
) -> None:
    before = store.write("left-1", Noted(0, 0)).global_position
    observer, writer = connect(), connect(application_name="slow")
    writer.execute("BEGIN")
    writer.execute(f"SELECT {schema}.write_message('left-2', 'Noted', %s)".encode(), (NOTE,))
    for n in range(4):
        store.write("left-3", Noted(0, n))

    assert read(store) == [before]
    ((pid, prepared, application, state, after, waiting, since),) = in_flight(observer, schema)
    assert (pid, prepared) == (writer.info.backend_pid, None)
    assert (application, state) == ("slow", "idle in transaction")
    assert (after, waiting) == (before, 5)
    assert since

    writer.execute("COMMIT")
    assert len(read(store)) == 6
    assert in_flight(observer, schema) == []


def test_prepared_transaction_holds_readers_back_and_is_named(
    store: MessageStore[Noted], schema: str, connect: Connect
) -> None:
    observer, writer = connect(), connect()
    gid = f"prepared-{uuid4().hex}"
    writer.execute("BEGIN")
    writer.execute("SET LOCAL pgstore.notify = 'off'")
    writer.execute(f"SELECT {schema}.write_message('left-2', 'Noted', %s)".encode(), (NOTE,))
    writer.execute(f"PREPARE TRANSACTION '{gid}'".encode())
    store.write("left-3", Noted(0, 1))

    assert read(store) == []
    ((pid, prepared, _, _, after, waiting, since),) = in_flight(observer, schema)
    assert (pid, prepared, after, waiting, since) == (None, gid, 0, 2, True)

    writer.execute(f"COMMIT PREPARED '{gid}'".encode())
    assert len(read(store)) == 2


NOTE = '{"writer": 1, "number": 1}'
