"""Stores that are installed once and go from test to test.

An installation takes ten times as long as what most tests do in a store. A store that a test gives
back is as it was: its rows are deleted, and its sequences begin again. If anything else differs
from what was installed, the store is dropped: objects, rights, settings, comments, migrations, and
the planner's statistics.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

from tests.released import make_store

# Columns by which rows of the catalog belong to a schema or to a relation.
_OF_A_SCHEMA = {
    "pg_namespace": "oid",
    "pg_class": "relnamespace",
    "pg_proc": "pronamespace",
    "pg_type": "typnamespace",
    "pg_constraint": "connamespace",
    "pg_statistic_ext": "stxnamespace",
    "pg_default_acl": "defaclnamespace",
}
_OF_A_RELATION = {
    "pg_attribute": "attrelid",
    "pg_attrdef": "adrelid",
    "pg_description": "objoid",
    "pg_index": "indrelid",
    "pg_inherits": "inhparent",
    "pg_policy": "polrelid",
    "pg_publication_rel": "prrelid",
    "pg_rewrite": "ev_class",
    "pg_sequence": "seqrelid",
    "pg_statistic": "starelid",
    "pg_trigger": "tgrelid",
}
# Where a row is and which transaction wrote it: no change leaves both as they are.
_ROW = "SELECT '{0}', t.ctid::text, t.xmin::text FROM {0} AS t "
_CATALOG = " UNION ALL ".join(
    [
        *(
            _ROW.format(each) + f"WHERE t.{of} = to_regnamespace('STORE')"
            for each, of in _OF_A_SCHEMA.items()
        ),
        *(
            _ROW.format(each) + f"JOIN pg_class AS c ON c.oid = t.{of}"
            " WHERE c.relnamespace = to_regnamespace('STORE')"
            for each, of in _OF_A_RELATION.items()
        ),
        _ROW.format("pg_description")
        + "JOIN pg_proc AS p ON p.oid = t.objoid WHERE p.pronamespace = to_regnamespace('STORE')",
        # These change in place.
        "SELECT c.relname, c.relpages::text, c.reltuples::text FROM pg_class AS c"
        " WHERE c.relnamespace = to_regnamespace('STORE')",
    ]
)

# Of sessions that have ended for their client, and not yet for the server.
_LOCKS = """
SELECT l.pid FROM pg_locks AS l
WHERE l.locktype = 'advisory' AND l.objsubid = 2
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND (
    (l.classid::bigint - STORE._mark_lock_class()) & 4294967295 < 65
    OR l.classid::bigint IN (
      STORE._stream_lock_class()::bigint & 4294967295,
      STORE._bell_lock_class()::bigint & 4294967295,
      STORE._gate_lock_class()::bigint & 4294967295,
      STORE._tag_lock_class()::bigint & 4294967295
    )
  )
"""

_RELATIONS = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('STORE') AND c.relkind = '{}'
"""

_RESET = "pg_stat_reset_single_table_counters"

# More takes longer to delete than a store to install.
_LARGE = 1024 * 1024


class Stores:
    """The stores of a database that no test has, and how each was when it was installed."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._conn = psycopg.connect(conninfo, autocommit=True, options="-c lock_timeout=30s")
        self._free: list[str] = []
        self._installed: dict[str, set[TupleRow]] = {}
        self._emptying: dict[str, str] = {}

    def close(self) -> None:
        """Drop those that are free."""
        for name in self._free:
            self._query(name, "DROP SCHEMA STORE CASCADE")
        self._conn.close()

    @contextmanager
    def taken(self) -> Iterator[str]:
        """Give the name of a store, as new."""
        name = self._free.pop() if self._free else self._install()
        try:
            yield name
        finally:
            if self._empty(name):
                self._free.append(name)
            else:
                self._query(name, "DROP SCHEMA IF EXISTS STORE CASCADE")

    def _install(self) -> str:
        name = f"store_{uuid4().hex[:12]}"
        make_store(self._conninfo, name)
        self._installed[name] = self._objects(name)
        tables, sequences = (
            [f"STORE.{each}" for (each,) in self._query(name, _RELATIONS.format(kind))]
            for kind in "rS"
        )
        tables.remove("STORE.migrations")
        statements = [f"LOCK TABLE {', '.join(tables)}"]
        statements += [f"DELETE FROM {table}" for table in tables]
        statements += [f"SELECT {_RESET}('{table}'::regclass)" for table in tables]
        for each in sequences:
            ((value, is_called),) = self._query(name, f"SELECT last_value, is_called FROM {each}")
            statements.append(f"SELECT setval('{each}', {value}, {is_called})")
        self._emptying[name] = "; ".join(statements)
        return name

    def _empty(self, name: str) -> bool:
        """Make a store as new; False if more than its rows has changed."""
        if self._objects(name) != self._installed[name]:
            return False
        ((size,),) = self._query(name, "SELECT pg_total_relation_size('STORE.messages')")
        if size > _LARGE:
            return False
        self._query(name, self._emptying[name])
        until = time.monotonic() + 1
        while self._query(name, _LOCKS):
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def _objects(self, name: str) -> set[TupleRow]:
        """What a store has besides the rows of its tables."""
        found = set(self._query(name, _CATALOG))
        if any(row[0] == "migrations" for row in found):
            found.update(self._query(name, _ROW.format("STORE.migrations")))
        return found

    def _query(self, name: str, text: str) -> list[TupleRow]:
        """Run statements in which STORE stands for a store's schema; the rows of the first."""
        cursor = self._conn.execute(text.replace("STORE", name).encode())
        return cursor.fetchall() if cursor.description else []
