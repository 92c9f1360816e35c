"""Readers of the whole store while 16 writers keep messages in flight, out of order.

The safe position is computed here as `docs/design.md` tells: first the sequence's last value, then
the lowest bound of an in-flight mark, then, with a later snapshot, the messages up to there.
"""

import time
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

from tests.amounts import amount
from tests.concurrency.writer import Job
from tests.concurrency.writers import Writers

SECONDS = amount(2, 20)
LEAST = 500  # messages

_LAST_POSITION = "SELECT pg_sequence_last_value('{store}.global_position_seq')"
_LOWEST_BOUND = """
SELECT min(l.objid::bigint)
FROM pg_locks AS l
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid::bigint = {store}._mark_lock_class()::bigint & 4294967295
"""
_MESSAGES = """
SELECT m.global_position FROM {store}.messages AS m
WHERE m.global_position > %s AND (%s::bigint IS NULL OR m.global_position <= %s)
ORDER BY m.global_position
"""


class Reader:
    """Follows the store, and remembers the last position that it has seen."""

    def __init__(self, conn: psycopg.Connection[TupleRow], store: str, *, safe: bool) -> None:
        self._conn = conn
        self._store = store
        self._safe = safe
        self.seen: list[int] = []
        self.last = 0

    def look(self) -> None:
        limit = self._safe_position() if self._safe else None
        rows = self._rows(_MESSAGES, self.last, limit, limit)
        self.seen += [position for (position,) in rows]
        self.last = max(self.last, limit or 0, *self.seen[-1:])

    def _safe_position(self) -> int:
        ((last,),) = self._rows(_LAST_POSITION)
        ((bound,),) = self._rows(_LOWEST_BOUND)
        return int(last if bound is None else min(last, bound))

    def _rows(self, statement: str, *parameters: object) -> list[TupleRow]:
        text = statement.replace("{store}", self._store)
        return self._conn.execute(text, parameters).fetchall()


def test_reader_that_stops_at_the_safe_position_misses_nothing(
    server_conninfo: str, store: str, writers: Writers
) -> None:
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        safe, naive = Reader(conn, store, safe=True), Reader(conn, store, safe=False)
        stored: list[int] = []
        for _ in range(30):  # until the same run would have lost messages
            writers.start(make_jobs(server_conninfo, store))
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                safe.look()
                naive.look()
            errors = [report.errors for report in writers.reports()]
            safe.look()
            naive.look()
            rows = conn.execute(f"SELECT global_position FROM {store}.messages ORDER BY 1")
            stored = [position for (position,) in rows]
            assert {code for each in errors for code in each} <= {"40P01"}
            assert safe.seen == stored
            if len(naive.seen) < len(stored) > LEAST:
                break

    assert len(stored) > LEAST
    assert len(naive.seen) < len(stored)


def make_jobs(conninfo: str, store: str) -> list[Job]:
    run = uuid4().hex[:12]
    streams = [f"{run}-{n}" for n in range(200)]
    return [
        Job(
            conninfo=conninfo,
            store=store,
            streams=streams,
            seconds=SECONDS,
            seed=seed,
            kind="flight",
        )
        for seed in range(16)
    ]
