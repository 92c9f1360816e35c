"""Read another store's tables: in one snapshot, a page at a time."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import LiteralString, cast

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from pgstore._core.conninfo import checked
from pgstore.transfer._batches import BYTES, TOO_LONG_HINT, Floors, ImportBatch, Messages, too_long
from pgstore.transfer._errors import MessageRefusedError, TransferError

UNIT = "global position"


@contextmanager
def snapshot(conninfo: str) -> Iterator[Connection[TupleRow]]:
    """A connection in a read-only transaction that sees one moment; times are written in UTC."""
    with psycopg.connect(
        checked(conninfo), client_encoding="utf8", application_name="pgstore"
    ) as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        conn.execute("SET LOCAL timezone = 'UTC'")
        conn.execute("SET LOCAL datestyle = 'ISO'")
        conn.execute("SET LOCAL statement_timeout = 0")  # one statement reads everything
        yield conn


# A message that is too large does not leave its server.
_LIMITED = """
SELECT q.place, f.stream, q.version, q.position, q.id, q.time, f.type, f.data, f.metadata
FROM ({query}) AS q (place, stream, version, position, id, time, type, data, metadata)
LEFT JOIN LATERAL (
  SELECT q.stream, q.type, q.data, q.metadata
  WHERE (
    octet_length(q.stream)::bigint + octet_length(q.type) + octet_length(q.data)
    + octet_length(q.metadata) <= {max_bytes}
  ) IS NOT FALSE
) AS f ON true
ORDER BY q.place"""


def _messages(rows: list[TupleRow], max_bytes: int) -> Messages:
    """The messages of rows: the columns of Messages, payloads as texts.

    Raises MessageRefusedError for a message of more than `max_bytes`.
    """
    *columns, data, metadata = zip(*rows, strict=True)
    if None in data:
        raise MessageRefusedError(
            too_long(max_bytes),
            place=columns[0][data.index(None)],
            unit=UNIT,
            hint=TOO_LONG_HINT,
        )
    payloads = [*map(str.encode, data)], [*map(str.encode, metadata)]
    return Messages._make([*columns, *payloads, ()])


def _pages(
    conn: Connection[TupleRow], query: sql.Composed, count: int
) -> Generator[list[TupleRow]]:
    rows: list[TupleRow] = []
    size = 0
    # One at a time: each may be large. Closed at the end, because it has the connection until then.
    with (
        conn.cursor() as cursor,
        closing(cast("Generator[TupleRow]", cursor.stream(query))) as found,
    ):
        for row in found:
            rows.append(row)
            size += sum(len(value) for value in row if isinstance(value, str))
            if len(rows) >= count or size >= BYTES:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def table_of(
    conn: Connection[TupleRow], schema: str | None, table: str, what: str
) -> tuple[sql.Identifier, int]:
    """A table, without a schema on the search path, and how many rows it has.

    Raises TransferError if there is none.
    """
    name = sql.Identifier(schema, table) if schema else sql.Identifier(table)
    ((found,),) = conn.execute("SELECT to_regclass(%s)::text", [name.as_string()])
    if found is None:
        raise TransferError(f"there is no {what} in this database: no table {name.as_string()}")
    ((total,),) = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(name))
    return name, total


@contextmanager
def batches(
    conn: Connection[TupleRow],
    floors: LiteralString,
    messages: LiteralString,
    count: int,
    max_bytes: int,
    **values: object,
) -> Iterator[Iterator[ImportBatch]]:
    """The floors, then the messages: the rows of two queries, by place.

    Those of floors have place, stream and floor; those of messages the columns of Messages. The
    values are quoted into both. Neither query has the connection afterwards.
    """
    all_floors = sql.SQL(floors).format(**values)
    limited = sql.SQL(_LIMITED).format(
        query=sql.SQL(messages).format(**values), max_bytes=max_bytes
    )
    with (
        closing(_pages(conn, all_floors, count)) as first,
        closing(_pages(conn, limited, count)) as rest,
    ):
        yield chain(
            (Floors(*zip(*rows, strict=True)) for rows in first),
            (_messages(rows, max_bytes) for rows in rest),
        )
