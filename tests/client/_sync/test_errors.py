# Generated from tests/client/_async/test_errors.py by `python tools/unasync.py`.

"""The errors of the store's functions, as psycopg itself raises them on any connection."""

import copy
import pickle
import traceback
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

import pgstore
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client.messages import EventA, Signed

WRITE = "SELECT * FROM {}.write_message(%s, 'EventA', '{{}}', NULL, %s, %s)"


def refused(conn: psycopg.Connection[Any], shared: str, *parameters: object) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        conn.execute(sql.SQL(WRITE).format(sql.Identifier(shared)), parameters)
    return caught.value


def test_psycopg_raises_the_errors_of_the_functions(
    open_store: OpenStore, open_connection: OpenConnection, shared: str, stream: str
) -> None:
    store = open_store(Signed)
    message = Signed(text="x")
    store.write(stream, message)
    conn = open_connection()
    conn.row_factory = dict_row
    error = refused(conn, shared, stream, 7, None)
    assert type(error) is pgstore.OptimisticConcurrencyError
    assert isinstance(error, psycopg.DatabaseError)
    assert error.sqlstate == "MS001"
    assert (error.stream, error.expected_version, error.actual_version) == (stream, 7, 1)
    in_use = refused(conn, shared, stream, None, message.event_id)
    assert type(in_use) is pgstore.MessageIdInUseError
    assert in_use.sqlstate == "MS002"
    assert (in_use.message_id, in_use.stream, in_use.version) == (message.event_id, stream, 1)
    invalid = refused(conn, shared, stream, -1, None)
    assert type(invalid) is psycopg.errors.InvalidParameterValue


def test_errors_say_it_in_one_line(open_store: OpenStore, stream: str) -> None:
    store = open_store(EventA | Signed)
    with pytest.raises(pgstore.OptimisticConcurrencyError) as caught:
        store.write(stream, EventA(1), expected_version=3)
    assert str(caught.value) == f"stream {stream} is at version 0, expected version 3"
    assert caught.value.__notes__ == [caught.value.diag.message_hint]
    with pytest.raises(pgstore.InvalidArgumentError) as invalid:
        store.write(stream, EventA(1), expected_version=-1)
    assert "\n" not in str(invalid.value)
    assert isinstance(invalid.value, ValueError)
    assert invalid.value.argument == "expected_version"
    assert invalid.value.diag is not None
    assert (invalid.value.sqlstate, invalid.value.diag.sqlstate) == ("22023", "22023")


def test_a_refusal_prints_one_short_traceback(open_store: OpenStore, stream: str) -> None:
    store = open_store(EventA | Signed)
    for name, version in ((stream, 3), (stream, -1), ("", None)):
        with pytest.raises(pgstore.PgstoreError) as caught:
            store.write(name, EventA(1), expected_version=version)
        printed = traceback.format_exception(caught.value)
        assert sum(text.count("Traceback") for text in printed) == 1
        # The caller, the store's method, and where it asks the server.
        assert len(traceback.extract_tb(caught.value.__traceback__)) <= 4


@pytest.mark.parametrize("through", ["pickle", "copy"])
def test_errors_survive_pickling(open_store: OpenStore, stream: str, through: str) -> None:
    store = open_store(EventA | Signed)
    message = Signed(text="x")
    store.synchronize(stream, [message], expected_version=0)
    wrong: list[Any] = [
        lambda: store.write(stream, EventA(1), expected_version=3),
        lambda: store.write(f"{stream}-2", message),
        lambda: store.synchronize(stream, [Signed(text="y")], expected_version=1),
        lambda: store.write("", EventA(1)),
        lambda: store.get(pgstore.new_message_id()),
    ]
    for call in wrong:
        with pytest.raises(pgstore.PgstoreError) as caught:
            call()
        error = caught.value
        again = pickle.loads(pickle.dumps(error)) if through == "pickle" else copy.copy(error)
        assert type(again) is type(error)
        assert str(again) == str(error)
        for name in ("stream", "actual_version", "message_id", "detail", "argument", "sqlstate"):
            assert getattr(again, name, None) == getattr(error, name, None)


def test_values_survive_pickling(open_store: OpenStore, stream: str) -> None:
    store = open_store()
    position = store.write(stream, EventA(1), metadata={"a": 1})
    stored = store.last(stream)
    assert pickle.loads(pickle.dumps(position)) == position
    assert pickle.loads(pickle.dumps(stored)) == stored
    assert hash(position) == hash(copy.copy(position))
    with pytest.raises(AttributeError):
        position.version = 2  # type: ignore[misc]


def test_metadata_that_python_cannot_read_is_told_with_its_place(
    store: pgstore.MessageStore[Any],
    open_connection: OpenConnection,
    shared: str,
    stream: str,
) -> None:
    conn = open_connection()
    conn.execute(
        f"SELECT {shared}.write_message(%s, 'EventA', '{{\"num\": 1}}', %s)".encode(),
        [stream, f'{{"number": {"9" * 6000}}}'],
    )
    with pytest.raises(pgstore.MessageDecodeError) as caught:
        store.last(stream)
    assert (caught.value.stream, caught.value.version) == (stream, 1)
    raw = store.raw.last(stream)
    assert raw is not None
    assert raw.metadata == {"number": Decimal("9" * 6000)}


@pytest.mark.parametrize("metadata", ["[1]", '"a"', "null"])
def test_metadata_that_is_no_object_is_told_with_what_to_do(
    store: pgstore.MessageStore[Any],
    open_connection: OpenConnection,
    shared: str,
    stream: str,
    metadata: str,
) -> None:
    """Only the tables' owner can write such metadata, past the store's functions."""
    store.write(stream, EventA(1), metadata={"a": 1})
    conn = open_connection()
    statement = (
        f"UPDATE {shared}.messages AS m SET metadata = %s FROM {shared}.streams AS s"
        " WHERE s.stream_id = m.stream_id AND s.stream = %s"
    ).encode()
    conn.execute(statement, [metadata, stream])
    try:
        with pytest.raises(pgstore.MessageDecodeError, match="cannot decode metadata"):
            store.last(stream)
        with pytest.raises(pgstore.MessageDecodeError, match="redact_message"):
            store.raw.last(stream)
    finally:
        conn.execute(statement, [None, stream])
