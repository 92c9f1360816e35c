"""The two ways to a store that the writing processes take."""

from typing import LiteralString, Protocol
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.abc import Params
from psycopg.rows import TupleRow

import pgstore

Write = tuple[str, list[UUID], int | None]  # a stream, the ids of its messages, expected_version
Place = tuple[int, int]  # version and global position


class Noted(msgspec.Struct):
    """A message that knows its id."""

    message_id: UUID

    def get_message_id(self) -> UUID:
        return self.message_id


class Way(Protocol):
    """A way to the store."""

    def version(self, stream: str) -> int: ...

    def write(self, writes: list[Write]) -> list[Place]:
        """Do these writes in one transaction; the places of their last messages."""

    def close(self) -> None: ...


class BySql:
    """psycopg alone, which connects again if its connection has been lost."""

    def __init__(self, conninfo: str, store: str) -> None:
        self._conninfo = conninfo
        self._store = sql.Identifier(store)
        self._conn: psycopg.Connection[TupleRow] | None = None

    def version(self, stream: str) -> int:
        ((version,),) = self._rows(self._connection(), "SELECT {}.stream_version(%s)", (stream,))
        return int(version)

    def write(self, writes: list[Write]) -> list[Place]:
        conn = self._connection()
        if len(writes) == 1:
            return [self._write(conn, *writes[0])]
        with conn.transaction():
            return [self._write(conn, *write) for write in writes]

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()

    def _write(
        self,
        conn: psycopg.Connection[TupleRow],
        stream: str,
        ids: list[UUID],
        expected_version: int | None,
    ) -> Place:
        if len(ids) == 1:
            rows = self._rows(
                conn,
                "SELECT * FROM {}.write_message(%s, 'T', '{{}}', expected_version => %s::bigint,"
                " message_id => %s)",
                (stream, expected_version, ids[0]),
            )
        else:
            batch = [{"type": "T", "data": {}, "message_id": str(each)} for each in ids]
            rows = self._rows(
                conn,
                "SELECT * FROM {}.write_messages(%s, %s::text::jsonb, %s::bigint)",
                (stream, msgspec.json.encode(batch).decode(), expected_version),
            )
        ((version, position),) = rows
        return version, position

    def _rows(
        self, conn: psycopg.Connection[TupleRow], statement: LiteralString, parameters: Params
    ) -> list[TupleRow]:
        return conn.execute(sql.SQL(statement).format(self._store), parameters).fetchall()

    def _connection(self) -> psycopg.Connection[TupleRow]:
        if self._conn is None or self._conn.closed:
            self._conn = psycopg.connect(self._conninfo, autocommit=True)
        return self._conn


class ByPython:
    """pgstore.MessageStore, with its own pool."""

    def __init__(self, conninfo: str, store: str) -> None:
        self._store: pgstore.MessageStore[Noted] = pgstore.MessageStore(
            conninfo, store=store, messages=Noted
        )

    def version(self, stream: str) -> int:
        return self._store.stream_version(stream)

    def write(self, writes: list[Write]) -> list[Place]:
        if len(writes) == 1:
            return [self._write(*writes[0])]
        with self._store.transaction() as conn:
            return [self._write(*write, conn=conn) for write in writes]

    def close(self) -> None:
        self._store.close()

    def _write(
        self,
        stream: str,
        ids: list[UUID],
        expected_version: int | None,
        conn: psycopg.Connection[TupleRow] | None = None,
    ) -> Place:
        messages = [Noted(each) for each in ids]
        if len(messages) == 1:
            at = self._store.write(
                stream, messages[0], expected_version=expected_version, conn=conn
            )
        else:
            at = self._store.write_many(
                stream, messages, expected_version=expected_version, conn=conn
            )
        return at.version, at.global_position
