"""read_correlated: everything of a correlation id, by its index."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Connect
from tests.sql.store import COLUMNS, Store

INDEX = "messages_correlation_id_global_position_idx"


@pytest.fixture
def request_id() -> str:
    return f"request {uuid4()}"


def correlated(store: Store, correlation_id: object, *given: object, **named: Any) -> list[int]:
    return [row[3] for row in store.call("read_correlated", correlation_id, *given, **named)]


def write(store: Store, stream: str, correlation_id: object) -> int:
    metadata = json.dumps({"correlation_id": correlation_id, "other": 1})
    return store.write(stream, "A", "{}", metadata)[1]


def test_read_correlated_answers_messages_in_global_order(
    store: Store, stream: str, request_id: str
) -> None:
    positions = []
    for n in range(6):
        store.write(stream)
        write(store, f"{stream}-{n}", f"{request_id}x")
        positions.append(write(store, f"{stream}-{n % 3}", request_id))
        store.write(stream, "A", "{}", json.dumps({"inner": {"correlation_id": request_id}}))
    assert correlated(store, request_id) == positions
    assert correlated(store, request_id, positions[1]) == positions[2:]
    assert correlated(store, request_id, max_count=2) == positions[:2]
    assert correlated(store, request_id, positions[1] - 1, 3) == positions[1:4]
    assert correlated(store, request_id, max_count=0) == []
    assert correlated(store, request_id[:-1]) == []
    cursor = store.query("SELECT * FROM STORE.read_correlated(%s)", [request_id])
    assert [column.name for column in cursor.description or ()] == COLUMNS
    assert (
        cursor.fetchall()
        == store.query(
            "SELECT a.* FROM STORE.all_messages AS a WHERE a.global_position = ANY (%s)"
            " ORDER BY a.global_position",
            [positions],
        ).fetchall()
    )


def test_a_number_is_found_by_its_text_and_null_by_none(
    store: Store, stream: str, request_id: str
) -> None:
    number = uuid4().int
    position = write(store, stream, number)
    assert correlated(store, str(number)) == [position]
    write(store, stream, None)
    assert correlated(store, "null") == []


def test_a_long_correlation_id_is_stored_and_not_found(store: Store, stream: str) -> None:
    longest = uuid4().hex + "ä" * 111 + "x"
    assert len(longest.encode()) == 255
    assert correlated(store, longest) == []
    position = write(store, stream, longest)
    assert correlated(store, longest) == [position]
    # Not even one that no index entry has room for is refused.
    write(store, stream, "".join(uuid4().hex for _ in range(1000)))
    with store.refused("22023", argument="correlation_id"):
        correlated(store, longest + "x")


def test_read_correlated_reads_what_is_committed(
    store: Store, stream: str, request_id: str, connect: Connect
) -> None:
    """Also while a writer is in flight before it, and under each isolation level."""
    conn = connect(autocommit=False)
    metadata = json.dumps({"correlation_id": request_id})
    _, first = store.write(f"{stream}-1", "A", "{}", metadata, on=conn)
    second = write(store, f"{stream}-2", request_id)
    assert correlated(store, request_id) == [second]
    assert correlated(store, request_id, on=conn) == [first, second]
    other = connect()
    other.execute("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")
    assert correlated(store, request_id, on=other) == [second]
    conn.commit()
    assert correlated(store, request_id, on=other) == [second]
    other.execute("ROLLBACK")
    assert correlated(store, request_id) == [first, second]


def test_redaction_of_the_metadata_takes_a_message_out(
    store: Store, stream: str, request_id: str
) -> None:
    kept, taken = write(store, stream, request_id), write(store, stream, request_id)
    ids = [row[0] for row in store.call("read_correlated", request_id)]
    store.call("redact_message", ids[0], "{}", "test")
    store.call("redact_message", ids[1], "{}", "test", metadata='{"other": 1}')
    assert correlated(store, request_id) == [kept]
    assert taken == kept + 1


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("correlation_id", None),
        ("correlation_id", ""),
        ("after_position", -1),
        ("after_position", None),
        ("max_count", -1),
        ("max_count", None),
    ],
)
def test_read_correlated_refuses_a_bad_argument(store: Store, argument: str, value: object) -> None:
    named: dict[str, Any] = {"correlation_id": "x", argument: value}
    with store.refused("22023", argument=argument):
        store.call("read_correlated", **named)


def test_without_its_index_it_is_refused_with_the_statement_that_builds_it(empty: Store) -> None:
    (definition,) = empty.query(f"SELECT pg_get_indexdef('STORE.{INDEX}'::regclass)").fetchall()
    position = write(empty, "a-1", "r")
    empty.query(f"DROP INDEX STORE.{INDEX}")
    with empty.refused("55000", index=INDEX):
        correlated(empty, "r")
    try:
        empty.call("read_correlated", "r")
    except Exception as error:
        hint = error.diag.message_hint or ""  # type: ignore[attr-defined]
    for statement in hint.partition(": ")[2].removesuffix(";").split("; "):
        empty.conn.execute(statement.encode())
    assert empty.query(f"SELECT pg_get_indexdef('STORE.{INDEX}'::regclass)").fetchall() == [
        definition
    ]
    assert correlated(empty, "r") == [position]
    # As CREATE INDEX CONCURRENTLY leaves one that was interrupted.
    empty.query(
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'STORE.{INDEX}'::regclass"
    )
    with empty.refused("55000", index=INDEX):
        correlated(empty, "r")
