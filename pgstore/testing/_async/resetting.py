"""A store that its application keeps, as new for the next test."""

from typing import Any

from psycopg import AsyncCursor, sql
from psycopg.rows import tuple_row

from pgstore._async.store import AsyncMessageStore

# Their rows are of the installation, of its upgrades, and of the administrator who gives rights.
_KEPT = ["migrations", "grants", "gate_waits"]

_TABLES = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace(quote_ident(%s)) AND c.relkind = 'r'
  AND c.relname <> ALL (%s)
"""
_PATIENCE = "10s"
_LIMIT = "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, true)"


async def async_reset(store: AsyncMessageStore[Any]) -> None:
    """Delete what tests have put into a store; see `pgstore.testing.reset`."""
    database = store._database
    name = database.source.name
    async with database.transaction() as conn:
        cursor = AsyncCursor(conn, row_factory=tuple_row)  # a pool of the user's may have another
        await cursor.execute(_TABLES, (name, _KEPT))
        tables = [sql.Identifier(name, table) for (table,) in await cursor.fetchall()]
        await cursor.execute(_LIMIT, (_PATIENCE,))
        ((limit, _),) = await cursor.fetchall()
        # A message that is written between two deletions would stay without its stream.
        await cursor.execute(sql.SQL("LOCK TABLE {}").format(sql.SQL(", ").join(tables)))
        for table in tables:  # TRUNCATE takes longer for a few rows
            await cursor.execute(sql.SQL("DELETE FROM {}").format(table))
        await cursor.execute(_LIMIT, (limit,))
    database.source.resets += 1
