"""The limit: the same tables and indexes with nothing around them, by plain psycopg.

No version is checked, no stream looked up, no order kept: what it does is what any store must do
at least.
"""

import hashlib
import struct
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import psycopg
from psycopg.rows import TupleRow

import pgstore
from benchmarks.contenders.contract import Client, Contender, Handle, Stop, Writing, pool_for_tasks
from benchmarks.contenders.pgstore import UPSERT, filling
from benchmarks.payload import SAMPLE, TYPE, Deposited, decode, encode

STREAMS = 10_000
"""Streams that are there from the start, with their number as id."""

TABLES = """
CREATE SCHEMA raw;
CREATE TABLE raw.streams (LIKE pgstore.streams INCLUDING ALL);
CREATE TABLE raw.messages (LIKE pgstore.messages INCLUDING ALL);
CREATE SEQUENCE raw.positions CACHE 1;
CREATE SEQUENCE raw.stream_ids;
CREATE TABLE raw.checkpoints (name text PRIMARY KEY, position bigint NOT NULL);
CREATE TABLE seen (reference text PRIMARY KEY, amount bigint NOT NULL);
INSERT INTO raw.streams (stream_id, category_key, stream, category)
SELECT n, pgstore._category_key('account'), 'account-' || n, 'account'
FROM generate_series(1, 10_000) AS n;
SELECT setval('raw.stream_ids', 10_000);
"""

INSERT = """
INSERT INTO raw.messages
  (global_position, stream_id, version, category_key, added_at, message_id, type, data)
VALUES (nextval('raw.positions'), %s, currval('raw.positions'), %s, clock_timestamp(), %s, %s, %s)
"""

FUNCTIONS = """
CREATE FUNCTION raw.insert_message(stream_id bigint, type text, data jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = raw, pg_temp
SET jit = off AS $$
#variable_conflict use_column
DECLARE
  written bigint;
BEGIN
  INSERT INTO messages AS m
    (global_position, stream_id, version, category_key, added_at, message_id, type, data)
  VALUES (nextval('positions'), insert_message.stream_id, currval('positions'), {category},
    clock_timestamp(), uuidv7(), insert_message.type, insert_message.data)
  RETURNING m.global_position INTO written;
  RETURN written;
END;
$$;
CREATE FUNCTION raw.insert_messages(stream_id bigint, type text, data jsonb[], message_ids uuid[])
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = raw, pg_temp
SET jit = off AS $$
#variable_conflict use_column
DECLARE
  written bigint;
BEGIN
  INSERT INTO messages
    (global_position, stream_id, version, category_key, added_at, message_id, type, data)
  SELECT nextval('positions'), insert_messages.stream_id, currval('positions'), {category},
    clock_timestamp(), w.message_id, insert_messages.type, w.data
  FROM unnest(insert_messages.data, insert_messages.message_ids) AS w (data, message_id);
  GET DIAGNOSTICS written = ROW_COUNT;
  RETURN written;
END;
$$;
"""

COPY = """
COPY raw.messages (global_position, stream_id, version, category_key, added_at, message_id, type,
  data)
FROM STDIN (FORMAT BINARY)"""

COLUMNS = """
SELECT m.message_id, s.stream, m.version, m.global_position, m.type, m.data::text,
  m.metadata::text, m.added_at
FROM raw.messages AS m JOIN raw.streams AS s USING (stream_id)
"""
READ = (
    COLUMNS
    + """
WHERE m.stream_id = (SELECT t.stream_id FROM raw.streams AS t WHERE t.stream = %s)
  AND m.version > %s
ORDER BY m.version LIMIT 1000"""
)
READ_ALL = COLUMNS + "WHERE m.global_position > %s ORDER BY m.global_position LIMIT 1000"
READ_CATEGORY = (
    COLUMNS
    + """
WHERE m.category_key = %s AND m.global_position > %s
ORDER BY m.global_position LIMIT 1000"""
)

CHECKPOINT = """
INSERT INTO raw.checkpoints VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET position = excluded.position"""

VERSION, POSITION, DATA = 2, 3, 5
PAGE = 1000
BLOCK = 100_000


class Raw(Contender):
    name = "raw"
    title = "limit: plain tables"
    is_peer = False
    count = "SELECT count(*) FROM raw.messages"
    find = "SELECT count(*) FROM raw.messages WHERE data ->> 'reference' = %s"
    table = "raw.messages"
    setting = (
        "Prepared INSERT, binary COPY, and paged SELECT of 1,000 rows with the same columns and"
        " indexes; nothing is checked, no order is kept."
    )
    lacks = {"latency": "it wakes nobody; see the echo"}  # noqa: RUF012
    global_order: ClassVar[str | None] = "None: reads by position > last, the naive way."

    def script(self, streams: int) -> str:
        return f"""\
\\set stream random(1, {streams})
INSERT INTO raw.messages
  (global_position, stream_id, version, category_key, added_at, message_id, type, data)
VALUES (nextval('raw.positions'), :stream, currval('raw.positions'),
  {category_key("account-1")}, clock_timestamp(), uuidv7(), '{TYPE}', '{SAMPLE}');
"""

    def fill(self, count: int) -> list[str]:
        return filling("raw", count, STREAMS, "stream_ids", "positions")

    def client(self, conninfo: str) -> Client:
        return RawClient(conninfo)


class Floor(Raw):
    """What a function costs at least that has the work of writing to do."""

    name = "floor"
    title = "floor: a function that only inserts"
    setting = (
        "The same INSERT as the only statement of a PL/pgSQL function with the attributes of"
        " pgstore's: SECURITY DEFINER, a search_path, jit off. Of batches, one INSERT of arrays."
    )
    global_order = None
    lacks = {}  # noqa: RUF012
    only = frozenset({"writes", "writes-slow-disk", "writers", "batches"})
    sql_only = True

    def script(self, streams: int) -> str:
        return f"""\
\\set stream random(1, {streams})
SELECT raw.insert_message(:stream, '{TYPE}', '{SAMPLE}');
"""

    def client(self, conninfo: str) -> Client:
        return FloorClient(conninfo)


class RawClient(Client):
    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self._conn: psycopg.Connection[TupleRow] | None = None
        self._ids: dict[str, int] = {}
        self._position = self._free = 0

    @property
    def conn(self) -> psycopg.Connection[TupleRow]:
        if self._conn is None:
            self._conn = psycopg.connect(self.conninfo, autocommit=True)
        return self._conn

    def install(self) -> None:
        pgstore.install(self.conninfo)
        self.conn.execute(TABLES)

    def write(self, stream: str, fact: Deposited) -> None:
        self.conn.execute(INSERT, self._row(stream, fact), prepare=True)

    def write_several(self, streams: Sequence[str], facts: Sequence[Deposited]) -> None:
        with self.conn.transaction():
            for stream, fact in zip(streams, facts, strict=True):
                self.write(stream, fact)

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        self.copy(self.rows(stream, [encode(fact) for fact in facts]))

    def rows(self, stream: str, ready: Sequence[bytes]) -> bytes:
        """Encoded events as rows of a binary COPY."""
        stream_id, category = self._stream_id(stream), category_key(stream)
        position = self._positions(len(ready))
        rows = bytearray(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        added_at = int((time.time() - 946_684_800) * 1_000_000)
        for payload in ready:
            position += 1
            numbers = (position, stream_id, position, category, added_at)
            rows += struct.pack("!hiqiqiqiqiq", 8, *(x for n in numbers for x in (8, n)))
            rows += struct.pack("!i", 16) + pgstore.new_message_id().bytes
            rows += struct.pack("!i9s", 9, TYPE.encode())
            rows += struct.pack("!iB", len(payload) + 1, 1) + payload
        return bytes(rows + b"\xff\xff")

    def copy(self, rows: bytes) -> None:
        with self.conn.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.write(rows)

    def read(self, stream: str) -> Iterator[Deposited]:
        return map(stored, self.read_bare(stream))

    def read_bare(self, stream: str) -> Iterator[TupleRow]:
        """The same without decoding."""
        version = 0
        while rows := self._rows(READ, (stream, version)):
            version = rows[-1][VERSION]
            yield from rows
            if len(rows) < PAGE:
                return

    def read_all(self) -> Iterator[Deposited]:
        position = 0
        while rows := self._rows(READ_ALL, (position,)):
            position = rows[-1][POSITION]
            for row in rows:
                yield stored(row)

    def create_consumer(
        self, name: str, category: str | None, partitions: int, at_end: bool
    ) -> None:
        (last,) = self._rows("SELECT coalesce(max(global_position), 0) FROM raw.messages", ())[0]
        self.conn.execute(CHECKPOINT, (name, last if at_end else 0))

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        position = self._checkpoint(name)
        while not stop.is_set():
            if rows := self._after(position, category):
                position = rows[-1][POSITION]
                handle([stored(row) for row in rows])
            else:
                time.sleep(0.01)

    def consume_once(self, name: str, stop: Stop, seen: Handle) -> None:
        position = 0
        while not stop.is_set() and (rows := self._rows(READ_ALL, (position,))):
            position = rows[-1][POSITION]
            facts = [stored(row) for row in rows]
            with self.conn.transaction():
                self.conn.execute(
                    UPSERT, ([f.reference for f in facts], [f.amount for f in facts]), prepare=True
                )
                self.conn.execute(CHECKPOINT, (name, position), prepare=True)
            seen(facts)

    def follow(self, handle: Handle, stop: Stop) -> None:
        self.consume("follow", handle, stop, None, 1)

    def shared_by(self, threads: int) -> list[Client]:
        return [RawClient(self.conninfo) for _ in range(threads)]

    @asynccontextmanager
    async def tasks(self, count: int) -> AsyncIterator[Writing]:
        async with pool_for_tasks(self.conninfo) as pool:

            async def write(stream: str, fact: Deposited) -> None:
                async with pool.connection() as conn:
                    await conn.execute(INSERT, self._row(stream, fact), prepare=True)

            yield write

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()

    def _positions(self, count: int) -> int:
        """The position before so many that are ours; most times without asking the server."""
        if self._free < count:
            self._free = max(count, BLOCK)
            query = (
                "SELECT setval('raw.positions', nextval('raw.positions') + %s - 1)"
                " FROM pg_advisory_xact_lock(1)"  # clients take turns
            )
            (last,) = self.conn.execute(query, (self._free,)).fetchone() or (0,)
            self._position = last - self._free
        position = self._position
        self._position += count
        self._free -= count
        return position

    def _after(self, position: int, category: str | None) -> list[TupleRow]:
        if category is None:
            return self._rows(READ_ALL, (position,))
        return self._rows(READ_CATEGORY, (category_key(category), position))

    def _checkpoint(self, name: str) -> int:
        query = "SELECT position FROM raw.checkpoints WHERE name = %s"
        rows = self._rows(query, (name,))
        return int(rows[0][0]) if rows else 0

    def _row(self, stream: str, fact: Deposited) -> tuple[Any, ...]:
        stream_id, message_id = self._stream_id(stream), pgstore.new_message_id()
        return stream_id, category_key(stream), message_id, TYPE, encode(fact).decode()

    def _stream_id(self, stream: str) -> int:
        number = stream.removeprefix("account-")
        if number.isdecimal() and int(number) <= STREAMS:
            return int(number)
        if stream not in self._ids:
            self.conn.execute(
                "INSERT INTO raw.streams (stream_id, category_key, stream, category)"
                " VALUES (nextval('raw.stream_ids'), %s, %s, %s) ON CONFLICT DO NOTHING",
                (category_key(stream), stream, stream.partition("-")[0]),
            )
            query = "SELECT stream_id FROM raw.streams WHERE stream = %s"
            (self._ids[stream],) = self.conn.execute(query, (stream,)).fetchone() or (0,)
        return self._ids[stream]

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[TupleRow]:
        with self.conn.cursor(binary=True) as cursor:
            return cursor.execute(query, parameters, prepare=True).fetchall()


class FloorClient(RawClient):
    def install(self) -> None:
        super().install()
        self.conn.execute(FUNCTIONS.format(category=category_key("account-1")))

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        rows = [encode(fact).decode() for fact in facts], [pgstore.new_message_id() for _ in facts]
        query = "SELECT raw.insert_messages(%s, %s, %s::jsonb[], %s::uuid[])"
        self.conn.execute(query, (self._stream_id(stream), TYPE, *rows), prepare=True)


def stored(row: TupleRow) -> Deposited:
    """The event; beside the row's other values, which whoever reads it needs too."""
    whole: tuple[Any, ...] = (*row, decode(row[DATA]))
    fact: Deposited = whole[-1]
    return fact


def category_key(stream: str) -> int:
    """The store's key of a stream's category, so that rows are of the same size."""
    category = stream.partition("-")[0]
    key = hashlib.md5(category.encode(), usedforsecurity=False).digest()[:8]
    return int.from_bytes(key, signed=True)
