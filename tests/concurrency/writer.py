"""A process that writes: a job a line on standard input, a report a line on standard output.

Run by `writers.Writers` as `python -m tests.concurrency.writer`.
"""

import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec
import psycopg

from tests.concurrency.ways import ByPython, BySql, Way, Write

T = TypeVar("T")

# What a writer tries again with the same ids: rolled back, or lost with its backend (None: the
# driver's own error). Everything else is the store's last word.
AGAIN = ("40001", "40P01", "57P01", None)
_LAST_TRY = 60.0


class Job(msgspec.Struct):
    """What to write: where, how, and for how long.

    Kind `versions` counts every message; `flight` keeps transactions open, rolls back, and uses
    savepoints.
    """

    conninfo: str
    store: str
    streams: list[str]
    seconds: float
    seed: int
    kind: str = "versions"
    through: str = "sql"  # or "python"
    expect: bool = False


class Accepted(msgspec.Struct):
    """A message that the store has accepted; the position is told for the last of a batch."""

    message_id: UUID
    stream: str
    version: int
    global_position: int | None


class Report(msgspec.Struct):
    """What came of a job; errors are counted by SQLSTATE, `lost` for a lost connection."""

    accepted: list[Accepted] = []
    errors: dict[str, int] = {}


class Noted(msgspec.Struct):
    """A message that knows its id."""

    message_id: UUID

    def get_message_id(self) -> UUID:
        return self.message_id


class VersionWriter:
    """Writes until the time is up; each write is tried until its outcome is known."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._chance = random.Random(job.seed)
        self._way: Way = (BySql if job.through == "sql" else ByPython)(job.conninfo, job.store)
        self._errors: Counter[str] = Counter()

    def run(self) -> Report:
        accepted: list[Accepted] = []
        end = time.monotonic() + self._job.seconds
        while time.monotonic() < end:
            writes = self._choose()
            places = self._certain(partial(self._way.write, writes))
            for (stream, ids, _), (version, position) in zip(writes, places or (), strict=False):
                for back, each in enumerate(reversed(ids)):
                    place = None if back else position
                    accepted.append(Accepted(each, stream, version - back, place))
        self._way.close()
        return Report(accepted, dict(self._errors))

    def _choose(self) -> list[Write]:
        """A message, sometimes a batch, sometimes two streams in one transaction."""
        count = self._chance.choice((1, 1, 1, 2, 5))
        stream, other = self._chance.sample(self._job.streams, 2)
        if self._job.expect:
            version = self._certain(partial(self._way.version, stream))
            return [(stream, [uuid4() for _ in range(count)], version)]
        writes: list[Write] = [(stream, [uuid4() for _ in range(count)], None)]
        if self._chance.random() < 0.1:
            writes.append((other, [uuid4()], None))
        return writes

    def _certain(self, action: Callable[[], T]) -> T | None:
        """The action's result; None if the store refused it."""
        last_try = time.monotonic() + _LAST_TRY
        while True:
            try:
                return action()
            except psycopg.Error as error:
                self._errors[error.sqlstate or "lost"] += 1
                if error.sqlstate not in AGAIN:
                    return None
                if time.monotonic() > last_try:
                    raise


def write_in_flight(job: Job) -> Report:
    """Keep messages in flight for a while, out of order, and let some of them never arrive."""
    chance = random.Random(job.seed)
    write = f"SELECT {job.store}.write_message(%s, 'T', '{{}}')"
    errors: Counter[str] = Counter()
    end = time.monotonic() + job.seconds
    with psycopg.connect(job.conninfo, autocommit=True) as conn:
        while time.monotonic() < end:
            try:
                with conn.transaction(force_rollback=chance.random() < 0.1):
                    for stream in chance.sample(job.streams, chance.choice((1, 1, 2, 3))):
                        if chance.random() < 0.3:
                            with conn.transaction(force_rollback=True):
                                conn.execute(write, (stream,))
                        if chance.random() < 0.9:
                            conn.execute(write, (stream,))
                        time.sleep(chance.choice((0, 0, 0, 0.001, 0.01)))
            except psycopg.Error as error:
                errors[error.sqlstate or "lost"] += 1
    return Report([], dict(errors))


def main() -> None:
    # A lost connection is part of the job, not worth a warning of the pool.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    decoder = msgspec.json.Decoder(Job)
    for line in sys.stdin:
        job = decoder.decode(line)
        report = write_in_flight(job) if job.kind == "flight" else VersionWriter(job).run()
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
