"""Message DB itself and the interface, asked the same: the same answers, but for a list."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from tests.message_db.calls import DIFFERENT, same
from tests.message_db.conftest import as_client

Connection = psycopg.Connection[TupleRow]

PAGE = Path(__file__).parents[2] / "docs/guides/message-db.md"

# Of the schema message_store; what begins with an underscore is not of Message DB.
CATALOG = {
    "functions": """
        SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
          has_function_privilege('message_store', p.oid, 'EXECUTE')
        FROM pg_proc AS p
        WHERE p.pronamespace = 'message_store'::regnamespace AND NOT starts_with(p.proname, '_')
        ORDER BY 1
    """,
    "columns of the views, the type and the messages": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'message_store'::regnamespace AND c.relkind IN ('r', 'v', 'c')
          AND NOT starts_with(c.relname, '_')
        ORDER BY c.relname, a.attnum
    """,
    "what the role may select": """
        SELECT c.relname, has_table_privilege('message_store', c.oid, 'SELECT'),
          has_table_privilege('message_store', c.oid, 'UPDATE'),
          has_table_privilege('message_store', c.oid, 'DELETE')
        FROM pg_class AS c
        WHERE c.relnamespace = 'message_store'::regnamespace AND c.relkind IN ('r', 'v')
          AND NOT starts_with(c.relname, '_')
        ORDER BY 1
    """,
    "the schema": """
        SELECT has_schema_privilege('message_store', 'message_store', 'USAGE'),
          has_schema_privilege('message_store', 'message_store', 'CREATE')
    """,
}


def answer(conn: Connection, text: str, positions: list[int]) -> Any:
    """Rows with the names and types of their columns, or an error; no times, masked positions."""
    text = re.sub(r"@(\d+)", lambda found: str(positions[int(found[1]) - 1]), text)
    notices: list[str | None] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        notices.append(diagnostic.message_primary)

    conn.add_notice_handler(note)
    try:
        cursor = conn.execute(text.encode())
    except psycopg.Error as error:
        said = error.diag
        place = (said.schema_name, said.table_name, said.column_name, said.constraint_name)
        # The row that failed has the time and the position that were drawn.
        detail = None if said.column_name else said.message_detail
        return error.sqlstate, said.message_primary, detail, place
    finally:
        conn.remove_notice_handler(note)
    if cursor.description is None:
        return cursor.statusmessage
    columns = [(column.name, column.type_display) for column in cursor.description]
    masks: dict[str, Any] = {"global_position": positions.index, "time": type}
    rows = [
        tuple(
            masks[name](value) if name in masks else value
            for (name, _), value in zip(columns, row, strict=True)
        )
        for row in cursor.fetchall()
    ]
    return columns, rows, notices


def ask(conn: Connection, texts: Iterable[str]) -> list[tuple[str, Any]]:
    found, positions = [], list[int]()
    for text in texts:
        if conn.info.transaction_status != TransactionStatus.INERROR:
            query = "SELECT m.global_position FROM messages AS m ORDER BY 1"
            positions = [row[0] for row in conn.execute(query)]
        found.append((text, answer(conn, text, positions)))
    return found


def test_same_calls_get_the_same_answers_but_for_a_list(served: str, original: str) -> None:
    listed = [text for _, before, different in DIFFERENT for text in (*before, *different)]
    calls = [*same(), *listed]
    with as_client(original) as theirs, as_client(served) as ours:
        pairs = [
            (text, one, other)
            for (text, one), (_, other) in zip(ask(theirs, calls), ask(ours, calls), strict=True)
        ]
    answered = [one for _, one, _ in pairs if isinstance(one, tuple) and len(one) == 3]
    refused = {one[0] for _, one, _ in pairs if isinstance(one, tuple) and len(one) == 4}
    assert len(calls) > 1500
    assert len(answered) > 1000
    assert refused >= {"P0001", "23505", "23502", "22P02", "22003", "2201W", "42601", "42703"}
    assert [pair for pair in pairs[: -len(listed)] if pair[1] != pair[2]] == []
    # An entry of the list that is none any more has to go.
    found = [text for text, one, other in pairs[-len(listed) :] if one != other]
    assert found == [text for _, _, different in DIFFERENT for text in different]


def test_page_lists_every_difference() -> None:
    page = PAGE.read_text()
    assert [reason for reason, _, _ in DIFFERENT if reason not in page] == []


@pytest.mark.parametrize("query", CATALOG.values(), ids=CATALOG.keys())
def test_objects_are_the_same(served: str, original: str, query: str) -> None:
    with psycopg.connect(served) as ours, psycopg.connect(original) as theirs:
        for conn in (ours, theirs):
            conn.execute("SET search_path = message_store")
        expected = theirs.execute(query.encode()).fetchall()
        assert ours.execute(query.encode()).fetchall() == expected != []
