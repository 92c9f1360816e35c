"""A store as the tests of its SQL functions see it: called by name, counted, looked into."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

Connection = psycopg.Connection[TupleRow]

# Seconds until a test that hangs is ended.
PATIENCE = 30.0

# What every read function and the view all_messages answer.
COLUMNS = [
    "message_id",
    "stream",
    "version",
    "global_position",
    "type",
    "data",
    "metadata",
    "added_at",
    "tags",
]

# In-flight marks of a session, of positions below 2^38.
MARKS = """
SELECT l.class << 32 | l.key
FROM (
  SELECT
    a.objid::bigint AS key, (a.classid::bigint - STORE._mark_lock_class()) & 4294967295 AS class
  FROM pg_locks AS a
  WHERE a.pid = %s AND a.locktype = 'advisory' AND a.objsubid = 2 AND a.granted
    AND a.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
) AS l
WHERE l.class < 64
"""


class Store:
    """Calls of a store's functions, on `conn` (in autocommit mode) or on another connection."""

    def __init__(self, conn: Connection, name: str) -> None:
        self.conn = conn
        self.name = name

    def query(
        self,
        text: str,
        parameters: Sequence[object] | Mapping[str, object] = (),
        *,
        on: Connection | None = None,
    ) -> psycopg.Cursor[TupleRow]:
        """Run a statement in which STORE stands for the store's schema."""
        return (on or self.conn).execute(
            text.replace("STORE", self.name).encode(), parameters or None
        )

    def call(
        self, function: str, *given: object, on: Connection | None = None, **named: object
    ) -> list[TupleRow]:
        """Call a function; the rows of its answer."""
        arguments = ["%s"] * len(given) + [f"{name} => %s" for name in named]
        text = f"SELECT * FROM STORE.{function}({', '.join(arguments)})"
        return self.query(text, [*given, *named.values()], on=on).fetchall()

    def write(
        self, stream: object, *given: object, on: Connection | None = None, **named: object
    ) -> tuple[int, int]:
        """Call write_message, with a type and data if none are given; version and position."""
        if not given:
            named = {"type": "A", "data": "{}"} | named
        ((version, position),) = self.call("write_message", stream, *given, on=on, **named)
        return version, position

    def stored(self, stream: str) -> list[TupleRow]:
        """Version, type, data and metadata (as text) of the stream's messages, in order."""
        return self.query(
            "SELECT a.version, a.type, a.data::text, a.metadata::text FROM STORE.all_messages AS a"
            " WHERE a.stream = %s ORDER BY a.version",
            [stream],
        ).fetchall()

    def counts(self) -> TupleRow:
        """Rows in messages and in streams."""
        row = self.query(
            "SELECT (SELECT count(*) FROM STORE.messages), (SELECT count(*) FROM STORE.streams)"
        ).fetchone()
        assert row is not None
        return row

    @contextmanager
    def refused(self, sqlstate: str, **detail: object) -> Iterator[None]:
        """Expect an error with this code and at least this DETAIL, and that nothing is stored."""
        before = self.counts()
        with pytest.raises(psycopg.Error) as caught:
            yield
        error = caught.value
        assert error.sqlstate == sqlstate, error
        if detail:
            found = json.loads(error.diag.message_detail or "{}")
            assert {key: found.get(key) for key in detail} == detail
        assert self.counts() == before

    @contextmanager
    def closed(self, place: str) -> Iterator[None]:
        """Have a fence close the store, because it is at another place."""
        self.call("fence_store", place)
        try:
            yield
        finally:
            assert self.call("lift_fence") == [(True,)]

    def wait_until_blocked(self, conn: Connection) -> None:
        """Return when the session waits for a lock."""
        deadline = time.monotonic() + PATIENCE
        waits = "SELECT FROM pg_locks AS l WHERE l.pid = %s AND NOT l.granted"
        while not self.query(waits, [conn.info.backend_pid]).rowcount:
            assert time.monotonic() < deadline, "the session does not wait for a lock"
            time.sleep(0.005)


def last_position(store: Store) -> int:
    ((last,),) = store.query(
        "SELECT pg_sequence_last_value('STORE.global_position_seq')"
    ).fetchall()
    return int(last)


def marks(store: Store, conn: Connection) -> list[int]:
    """The second keys of the session's in-flight marks."""
    return [row[0] for row in store.query(MARKS, [conn.info.backend_pid])]


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def drop(conninfo: str, name: str) -> None:
    with psycopg.connect(conninfo, autocommit=True, options="-c lock_timeout=30s") as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


class Background(threading.Thread):
    """A call in another thread; `result` waits for its answer or raises its error."""

    def __init__(self, function: Callable[[], tuple[int, int]]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._answer: tuple[int, int] | None = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._function()
        except BaseException as error:
            self._error = error

    def result(self) -> tuple[int, int]:
        self.join(PATIENCE)
        assert not self.is_alive(), "the call does not come back"
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer
