# Generated from pgstore/testing/_async/resetting.py by `python tools/unasync.py`.

"""A store that its application keeps, as new for the next test."""

from typing import Any

from psycopg import Cursor, sql
from psycopg.rows import tuple_row

from pgstore._sync.store import MessageStore

# Their rows are of the installation, of its upgrades, and of the administrator who gives rights.
_KEPT = ["migrations", "grants", "gate_waits"]

_TABLES = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relkind = 'r'
  AND c.relname <> ALL (%s)
"""
_PATIENCE = "10s"
_LIMIT = "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)"


def reset(store: MessageStore[Any]) -> None:
    """Delete what tests have put into a store; see `pgstore.testing.reset`."""
    database = store._database
    name = database.source.name
    with database.transaction() as conn:
        cursor = Cursor(conn, row_factory=tuple_row)  # a pool of the user's may have another
        cursor.execute(_TABLES, (name, _KEPT))
        tables = [sql.Identifier(name, table) for (table,) in cursor.fetchall()]
        cursor.execute(_LIMIT, (_PATIENCE,))
        ((limit, _),) = cursor.fetchall()
        # A message that is written between two deletions would stay without its stream.
        cursor.execute(sql.SQL("LOCK TABLE {}").format(sql.SQL(", ").join(tables)))
        for table in tables:  # TRUNCATE takes longer for a few rows
            cursor.execute(sql.SQL("DELETE FROM {}").format(table))
        cursor.execute(_LIMIT, (limit,))
    database.source.resets += 1
