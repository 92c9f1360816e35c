"""Stores that are installed once and go from test to test.

To install a store takes far longer than to empty one. A store that a test has given back is emptied
when the next test takes it: its rows are deleted, its sequences begin again. A store that cannot be
as new is left alone, and another one is installed: one to which a session is still
connected, or whose tables, functions or rights have changed.
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from pgstore._core.arguments import aware, describe
from pgstore._core.conninfo import checked
from pgstore._install import install
from pgstore.errors import InvalidArgumentError

# More takes longer to delete than to truncate.
_LARGE = 4 * 1024 * 1024

# Seconds to wait for the sessions of the test before to end, on the server's side.
_PATIENCE = 0.1

# So many stores in use at once are probably stores that tests do not close.
_MANY = 8

# Of a session that stays open for the next test.
_RESET = b"RESET ALL; UNLISTEN *; DISCARD TEMP; SELECT pg_advisory_unlock_all()"

# Rows of the catalog: no change leaves both the place and the transaction as they are.
_STATE = """
SELECT
  (
    SELECT count(*) FROM pg_stat_activity AS a
    WHERE a.application_name = STORE_NAME AND a.datname = current_database()
  ),
  (
    SELECT sum(hashtextextended(concat_ws(' ', r.what, r.ctid, r.xmin), 0))::text
    FROM (
      SELECT 1 AS what, n.ctid, n.xmin FROM pg_namespace AS n WHERE n.nspname = STORE_NAME
      UNION ALL
      SELECT 2, c.ctid, c.xmin FROM pg_class AS c
      WHERE c.relnamespace = to_regnamespace(STORE_NAME)
      UNION ALL
      SELECT 3, p.ctid, p.xmin FROM pg_proc AS p
      WHERE p.pronamespace = to_regnamespace(STORE_NAME)
    ) AS r
  ),
  (
    SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c
    WHERE c.relnamespace = to_regnamespace(STORE_NAME) AND c.relkind = 'r'
  )
"""
_RELATIONS = """
SELECT quote_ident(c.relname) FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace(STORE_NAME) AND c.relkind = '{}'
  AND c.relname <> 'migrations'
"""


class FreshStore:
    """A store that no other test uses: as after its installation.

    `name` and `conninfo`, or `pool`, are for `MessageStore(pool, store=name, messages=…)`. By the
    `application_name` in `conninfo` the sessions of the test are known, so keep that.
    """

    def __init__(self, conninfo: str, name: str) -> None:
        self.conninfo = make_conninfo(conninfo, application_name=name)
        self.name = name
        self._pool: ConnectionPool[psycopg.Connection[TupleRow]] | None = None
        self._objects: object = None
        self._size = 0
        self._emptying = self._truncating = ""

    @property
    def pool(self) -> "ConnectionPool[psycopg.Connection[TupleRow]]":
        """A pool whose sessions stay open for the next test.

        A session has to load the functions of the store, which takes longer than most tests do.
        """
        if self._pool is None:
            options = {"autocommit": True, "client_encoding": "utf8"}
            self._pool = ConnectionPool(
                self.conninfo, min_size=1, max_size=10, kwargs=options, open=False
            )
            # With its connection: asked before it is there, the pool would open another.
            self._pool.open(wait=True)
        return self._pool

    def set_times(self, first: datetime, *, step: timedelta = timedelta(seconds=1)) -> None:
        """Change when the messages were added: the first one at a time, each other a step later.

        A message gets its time from the server's clock. This changes the stored times of all
        messages that are there, so that reading them gives the same in each run.
        """
        if not isinstance(step, timedelta):
            raise InvalidArgumentError(f"step must be a timedelta, not {describe(step)}")
        table = sql.Identifier(self.name, "messages")
        statement = sql.SQL(
            "UPDATE {} AS m SET added_at = %s + %s * (n.number - 1) FROM (SELECT o.global_position,"
            " row_number() OVER (ORDER BY o.global_position) AS number FROM {} AS o) AS n"
            " WHERE m.global_position = n.global_position RETURNING {}(m.added_at)"
        ).format(table, table, sql.Identifier(self.name, "_time_fits"))
        try:
            with self.pool.connection() as conn, conn.transaction():
                if not all(row[0] for row in conn.execute(statement, (aware(first), step))):
                    raise psycopg.errors.DatetimeFieldOverflow  # as the server does, further out
        except (psycopg.errors.DatetimeFieldOverflow, psycopg.errors.IntervalFieldOverflow):
            raise InvalidArgumentError(
                f"no message can have a time outside the years 1 to 9999: {first}, step {step}"
            ) from None

    def _in_use(self, sessions: int) -> bool:
        """Tell whether a test still has one of so many sessions."""
        idle = 0 if self._pool is None else self._pool.get_stats().get("pool_available", 0)
        return sessions != idle

    def _reset_sessions(self) -> None:
        """Make the sessions of the pool as new, apart from the functions that they have loaded."""
        if self._pool is None:
            return
        taken = [self._pool.getconn() for _ in range(self._pool.get_stats()["pool_available"])]
        for conn in taken:
            conn.autocommit = True
            conn.execute(_RESET)
            self._pool.putconn(conn)


class FreshStores:
    """Gives stores, each of which is as new, in a database where it may create schemas.

    Belongs to one thread.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = checked(conninfo)
        self._conn = psycopg.connect(self._conninfo, autocommit=True)
        self._conn.execute("SET lock_timeout = '2s'; SET client_min_messages = warning")
        self._stores: list[FreshStore] = []
        self._free: list[FreshStore] = []

    def close(self) -> None:
        """Drop the stores; sessions that are still connected to one are ended."""
        for store in self._stores:
            if store._pool is not None:
                store._pool.close()
            ended = "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a"
            self._conn.execute(f"{ended} WHERE a.application_name = %s", [store.name])
            with suppress(psycopg.errors.LockNotAvailable):
                self._query(store, "DROP SCHEMA IF EXISTS STORE CASCADE")
        self._conn.close()

    @contextmanager
    def taken(self) -> Iterator[FreshStore]:
        """Give a store that nobody else has until the end of the block."""
        store = self._next()
        try:
            yield store
        finally:
            self._free.append(store)

    def _next(self) -> FreshStore:
        until = time.monotonic() + _PATIENCE
        while self._free:
            if (store := self._emptied()) is not None:
                return store
            if time.monotonic() > until:
                break
            time.sleep(0.001)
        if len(self._free) == _MANY:
            warnings.warn(
                f"{_MANY} stores are still in use after their tests: close each store at the end of"
                " its test, so that it can be used again",
                stacklevel=2,
            )
        return self._install()

    def _emptied(self) -> FreshStore | None:
        """The first store that can be as new, if there is one."""
        for store in list(self._free):
            ((sessions, objects, size),) = self._query(store, _STATE)
            if store._in_use(sessions):
                continue
            self._free.remove(store)
            if objects != store._objects:
                continue
            with suppress(psycopg.errors.LockNotAvailable):
                large = size > store._size + _LARGE
                self._query(store, store._truncating if large else store._emptying)
                if large:
                    self._look_at(store)
                store._reset_sessions()
                return store
        return None

    def _install(self) -> FreshStore:
        store = FreshStore(self._conninfo, f"test_{uuid4().hex[:12]}")
        self._stores.append(store)
        install(self._conninfo, store=store.name)
        tables, sequences = (
            [f"STORE.{each}" for (each,) in self._query(store, _RELATIONS.format(kind))]
            for kind in "rS"
        )
        restarted = ""
        for each in sequences:
            ((value, called),) = self._query(store, f"SELECT last_value, is_called FROM {each}")
            restarted += f"; SELECT setval('{each}', {value}, {called})"
        deleted = "; ".join(f"DELETE FROM {table}" for table in tables)
        store._emptying = f"LOCK TABLE {', '.join(tables)}; {deleted}{restarted}"
        store._truncating = f"TRUNCATE {', '.join(tables)}{restarted}"
        self._look_at(store)
        return store

    def _look_at(self, store: FreshStore) -> None:
        """Remember how an empty store is."""
        ((_, store._objects, store._size),) = self._query(store, _STATE)

    def _query(self, store: FreshStore, text: str) -> list[TupleRow]:
        """Run statements about a store, whose name needs no quotes; the rows of the first one."""
        text = text.replace("STORE_NAME", f"'{store.name}'").replace("STORE", store.name)
        cursor = self._conn.execute(text.encode())
        return cursor.fetchall() if cursor.description else []
