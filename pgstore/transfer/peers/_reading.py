"""Read another store's tables: in one snapshot, a page at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from pgstore._connecting import checked
from pgstore.transfer._batches import BYTES, Batch, Floors, Messages
from pgstore.transfer._errors import TransferError


@contextmanager
def snapshot(dsn: str) -> Iterator[Connection[TupleRow]]:
    """A connection in a read-only transaction that sees one moment; times are written in UTC."""
    with psycopg.connect(checked(dsn), client_encoding="utf8", application_name="pgstore") as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        conn.execute("SET LOCAL timezone = 'UTC'")
        conn.execute("SET LOCAL datestyle = 'ISO'")
        yield conn


def floors(conn: Connection[TupleRow], query: sql.Composed, count: int) -> Iterator[Batch]:
    """What the query answers: place, stream and floor."""
    for rows in _pages(conn, query, count):
        yield Floors(*zip(*rows, strict=True))


def messages(conn: Connection[TupleRow], query: sql.Composed, count: int) -> Iterator[Batch]:
    """What the query answers: the columns of Messages, payloads as texts."""
    for rows in _pages(conn, query, count):
        places, streams, versions, positions, ids, times, types, data, metadata = zip(
            *rows, strict=True
        )
        yield Messages(
            places,
            streams,
            versions,
            positions,
            ids,
            times,
            types,
            [value.encode() for value in data],
            [value.encode() for value in metadata],
        )


def _pages(conn: Connection[TupleRow], query: sql.Composed, count: int) -> Iterator[list[TupleRow]]:
    rows: list[TupleRow] = []
    size = 0
    with conn.cursor(name="pgstore_import") as cursor:
        cursor.execute(query)
        # A hundred rows at a time, which may be large.
        for row in cursor:
            rows.append(row)
            size += sum(len(value) for value in row if isinstance(value, str))
            if len(rows) >= count or size >= BYTES:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def require_table(conn: Connection[TupleRow], schema: str | None, table: str, what: str) -> None:
    """Raise TransferError if there is no such table; without a schema, on the search path."""
    name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    row = conn.execute("SELECT to_regclass(%s)::text", [name.as_string()]).fetchone()
    if row is None or row[0] is None:
        raise TransferError(f"there is no {what} in this database: no table {name.as_string()}")
