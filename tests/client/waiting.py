"""Look at a store's sessions from outside, and end them."""

import time
from typing import Any, LiteralString

import psycopg
from psycopg import sql

_PATIENCE = 30.0


class Watch:
    """The sessions with an application name, seen through a connection of the test's."""

    def __init__(self, conn: psycopg.Connection[Any], name: str) -> None:
        self.name = name
        self._conn = conn

    def kill(self) -> int:
        """End the sessions; return their number when they have ended."""
        rows = self._conn.execute(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = %s",
            (self.name,),
        )
        killed = [pid for pid, _ in rows]
        self._wait_until_gone("pid = ANY (%s)", killed)
        return len(killed)

    def is_blocked(self) -> bool:
        """Tell whether one of the sessions waits for a lock."""
        waiting = self._conn.execute(
            "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE application_name = %s AND NOT granted",
            (self.name,),
        )
        return waiting.rowcount > 0

    def count(self) -> int:
        """The number of the sessions."""
        return self._count("SELECT FROM pg_stat_activity WHERE application_name = %s")

    def asleep(self) -> int:
        """The number of those that a writer would ring for: they hold shared advisory locks."""
        return self._count(
            "SELECT DISTINCT pid FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE application_name = %s AND locktype = 'advisory' AND mode = 'ShareLock'"
            " AND state = 'idle'"
        )

    def asked_asleep(self) -> int:
        """The number of those that are asleep, and have looked at the horizon since."""
        return self._count(
            "SELECT DISTINCT pid FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE application_name = %s AND locktype = 'advisory' AND mode = 'ShareLock'"
            " AND state = 'idle' AND query LIKE '%%.horizon()%%'"
        )

    def is_asleep(self) -> bool:
        return self.asleep() > 0

    def last_query(self, pid: int) -> str:
        """What the session of a process runs, or has run last."""
        rows = self._conn.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", (pid,))
        ((query,),) = rows.fetchall()
        return str(query)

    def is_checking(self) -> bool:
        """Tell whether one of the sessions finds out if notifications come to it."""
        query = (
            "SELECT FROM pg_stat_activity WHERE application_name = %s AND query LIKE 'LISTEN %%'"
        )
        return self._count(query) > 0

    def drop(self, schema: str) -> None:
        self._conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))

    def _count(self, query: LiteralString) -> int:
        return self._conn.execute(query, (self.name,)).rowcount

    def wait_until_gone(self) -> None:
        """Wait until there is no such session."""
        self._wait_until_gone("application_name = %s", self.name)

    def _wait_until_gone(self, condition: LiteralString, parameter: object) -> None:
        deadline = time.monotonic() + _PATIENCE
        query = f"SELECT FROM pg_stat_activity WHERE {condition}"
        while self._conn.execute(query, (parameter,)).rowcount > 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
