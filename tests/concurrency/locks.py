"""Which locks a call takes that others can wait for, and how to hold one in its way."""

import time
from typing import NamedTuple

import psycopg
from psycopg.rows import TupleRow

from tests.concurrency.sessions import DEADLINE, Session, Step

TABLES = (
    "grants",
    "message_tags",
    "messages",
    "migrations",
    "parked_messages",
    "retention_policies",
    "scheduled_messages",
    "snapshots",
    "store_horizon",
    "stream_changes",
    "streams",
    "subscription_heads",
    "subscription_partitions",
    "subscription_sweeps",
    "subscription_work",
    "subscriptions",
)

_HELD = """
SELECT
  l.locktype, l.mode, l.classid::bigint, l.objid::bigint, l.objsubid, c.relname,
  CASE l.classid::bigint
    WHEN _tag_lock_class()::bigint & 4294967295 THEN 'key of a tag'
    WHEN _gate_lock_class()::bigint & 4294967295 THEN 'key of the publisher'
    ELSE 'key of a stream'
  END AS of
FROM pg_locks AS l
LEFT JOIN pg_class AS c ON c.oid = l.relation AND c.relnamespace = current_schema()::regnamespace
WHERE l.pid = %s AND l.granted
  AND (
    (l.locktype = 'advisory' AND l.mode = 'ExclusiveLock')
    OR (l.locktype = 'advisory' AND l.objsubid = 2
      AND l.classid::bigint = _tag_lock_class()::bigint & 4294967295)
    OR (l.locktype = 'relation' AND c.relname = ANY (%s)
      AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock'))
  )
"""


class Lock(NamedTuple):
    """One lock: an advisory one, a table or a row (by its place); how it was taken."""

    kind: str
    of: str
    place: str = ""

    def take(self) -> str:
        """The statement that takes it, so that whoever comes to it waits."""
        if self.kind == "row":
            return f"SELECT FROM {self.of} WHERE ctid = '{self.place}' FOR UPDATE"
        if self.kind == "table":
            return f"LOCK TABLE {self.of} IN SHARE ROW EXCLUSIVE MODE"
        return f"SELECT pg_advisory_xact_lock({self.place})"

    @property
    def can_be_shared(self) -> bool:
        """Whether some take it in a mode in which others can have it too."""
        return self.kind == "table" or self.of == "key of a tag"

    @property
    def name(self) -> str:
        """Which kind of lock it is, in the words of the table in docs/design.md."""
        if self.kind == "advisory":
            return self.of
        return f"table `{self.of}`" if self.kind == "table" else f"rows of `{self.of}`"


class Held(NamedTuple):
    """What a transaction holds; of tables and tags also whether in a mode that is not shared."""

    locks: frozenset[Lock]
    strong: frozenset[Lock]

    def shared(self, other: "Held") -> list[Lock]:
        """The locks for which one of the two can wait while the other has them."""
        return sorted(
            lock
            for lock in self.locks & other.locks
            if not lock.can_be_shared or lock in self.strong | other.strong
        )


def held_by(session: Session, observer: psycopg.Connection[TupleRow]) -> Held:
    """The locks that a session's transaction holds now."""
    locks, strong, closed = set(), set(), set()
    for kind, mode, classid, key, parts, table, of in observer.execute(
        _HELD, (session.pid, list(TABLES))
    ):
        if kind == "relation":
            lock = Lock("table", table)
            if mode != "RowExclusiveLock":
                strong.add(lock)
            if mode == "AccessExclusiveLock":
                closed.add(table)
        elif parts == 2:
            signed = [n - (n >> 31 << 32) for n in (classid, key)]
            lock = Lock("advisory", of, "{}, {}".format(*signed))
            if lock.can_be_shared and mode == "ExclusiveLock":
                strong.add(lock)
        else:
            whole = classid << 32 | key
            lock = Lock("advisory", "key of the installer", str(whole - (whole >> 63 << 64)))
        locks.add(lock)
    for table in sorted(set(TABLES) - closed):  # of the others nobody else has a row
        locked = observer.execute(
            # Two looks of one statement: the rows that there are, and those that are free.
            f"WITH free AS MATERIALIZED (SELECT ctid FROM {table} FOR UPDATE SKIP LOCKED)"
            f" SELECT ctid::text FROM {table} EXCEPT SELECT ctid::text FROM free"
        )
        locks |= {Lock("row", table, place) for (place,) in locked}
    return Held(frozenset(locks), frozenset(strong))


def settled(session: Session, step: Step, observer: psycopg.Connection[TupleRow]) -> bool:
    """Wait until a step is done, or waits for a lock; whether it waits."""
    end = time.monotonic() + DEADLINE
    while not step.done():
        if session.blockers():
            return True
        assert time.monotonic() < end, f"{session.name} neither waits nor ends"
        time.sleep(0.0005)
    return False
