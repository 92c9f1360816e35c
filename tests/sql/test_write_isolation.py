"""Writes from transactions of every isolation level, whose snapshot may be too old."""

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
from psycopg import IsolationLevel

from tests.conftest import Connect
from tests.sql.store import Connection, Store

SNAPSHOT = [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE]
EVERY = [IsolationLevel.READ_COMMITTED, *SNAPSHOT]

Write = Callable[[Store, str, Connection, int | None], object]


def _message(store: Store, stream: str, conn: Connection, expected: int | None) -> object:
    return store.write(stream, on=conn, expected_version=expected)


def _batch(store: Store, stream: str, conn: Connection, expected: int | None) -> object:
    text = "SELECT * FROM STORE.write_arrays(%s, '{A,B}', '{1,2}', NULL, %s)"
    return store.query(text, [stream, expected], on=conn).fetchone()


@pytest.fixture(params=[_message, _batch], ids=["write_message", "write_arrays"])
def write(request: pytest.FixtureRequest) -> Write:
    chosen: Write = request.param
    return chosen


def begun(store: Store, connect: Connect, level: IsolationLevel) -> Connection:
    """Connect and begin a transaction that has its snapshot."""
    conn = connect(autocommit=False)
    conn.isolation_level = level
    store.query("SELECT count(*) FROM STORE.messages", on=conn)
    return conn


@pytest.mark.parametrize("level", EVERY, ids=lambda level: level.name)
def test_write_in_every_isolation_level(
    store: Store, stream: str, connect: Connect, write: Write, level: IsolationLevel
) -> None:
    store.write(stream)
    conn = begun(store, connect, level)
    write(store, stream, conn, 1)
    write(store, stream, conn, None)
    conn.commit()
    versions = [row[0] for row in store.stored(stream)]
    assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize("already", [0, 1])
@pytest.mark.parametrize("expected", [None, 0, 1, 2, 5])
@pytest.mark.parametrize("level", SNAPSHOT, ids=lambda level: level.name)
def test_write_with_an_old_snapshot_is_a_serialization_failure(
    store: Store,
    stream: str,
    connect: Connect,
    write: Write,
    level: IsolationLevel,
    expected: int | None,
    already: int,
) -> None:
    for _ in range(already):
        store.write(stream)
    conn = begun(store, connect, level)
    store.write(stream)
    with store.refused("40001"):
        write(store, stream, conn, expected)


@pytest.mark.parametrize("already", [0, 1])
def test_write_with_an_old_snapshot_in_read_committed_sees_the_version(
    store: Store, stream: str, connect: Connect, write: Write, already: int
) -> None:
    for _ in range(already):
        store.write(stream)
    conn = begun(store, connect, IsolationLevel.READ_COMMITTED)
    store.write(stream)
    with store.refused("MS001", stream=stream, actual_version=already + 1):
        write(store, stream, conn, already)
    conn.rollback()
    write(store, stream, conn, already + 1)


@pytest.mark.parametrize("level", SNAPSHOT, ids=lambda level: level.name)
def test_write_of_the_wrong_version_with_a_true_snapshot_is_told_so(
    store: Store, stream: str, connect: Connect, write: Write, level: IsolationLevel
) -> None:
    store.write(stream)
    conn = begun(store, connect, level)
    with store.refused("MS001", stream=stream, expected_version=0, actual_version=1):
        write(store, stream, conn, 0)
    conn.rollback()
    with store.refused("MS001", expected_version=3, actual_version=0):
        write(store, stream + "-new", conn, 3)


@pytest.mark.parametrize("level", SNAPSHOT, ids=lambda level: level.name)
def test_write_with_an_old_snapshot_may_go_to_another_stream(
    store: Store, stream: str, connect: Connect, write: Write, level: IsolationLevel
) -> None:
    conn = begun(store, connect, level)
    store.write(stream)
    write(store, stream + "-other", conn, 0)
    conn.commit()
    assert store.stored(stream + "-other") != []


@pytest.mark.parametrize("level", EVERY, ids=lambda level: level.name)
def test_write_of_an_id_that_came_after_the_snapshot(
    store: Store, stream: str, connect: Connect, level: IsolationLevel
) -> None:
    message_id = uuid4()
    conn = begun(store, connect, level)
    store.write(stream, message_id=message_id)
    expected = "MS002" if level == IsolationLevel.READ_COMMITTED else "40001"
    with store.refused(expected):
        store.write(stream + "-other", on=conn, message_id=message_id)


def test_serializable_readers_and_writers_of_a_stream_are_serialized(
    store: Store, stream: str, connect: Connect
) -> None:
    """Write skew: each reads the other's stream, finds it empty and writes to its own."""
    one, two = (begun(store, connect, IsolationLevel.SERIALIZABLE) for _ in range(2))
    names = stream + "-one", stream + "-two"
    for conn, (own, other) in ((one, names), (two, names[::-1])):
        assert store.call("read_stream", other, on=conn) == []
        try:
            store.write(own, on=conn, expected_version=0)
        except psycopg.errors.SerializationFailure:
            return
    one.commit()
    with pytest.raises(psycopg.errors.SerializationFailure):
        two.commit()


@pytest.mark.parametrize("level", SNAPSHOT)
@pytest.mark.parametrize("rest", ["'{A}', '{1}'", "'{}', '{}'"], ids=["rest", "no rest"])
def test_synchronize_with_a_snapshot_older_than_the_stream_is_40001(
    store: Store, connect: Connect, stream: str, level: IsolationLevel, rest: str
) -> None:
    conn = begun(store, connect, level)
    message_id = uuid4()
    store.write(stream, message_id=message_id)
    text = f"SELECT * FROM STORE.synchronize_stream(%s, ARRAY[%s::uuid], {rest})"
    with pytest.raises(psycopg.errors.SerializationFailure):
        store.query(text, [stream, message_id], on=conn)
