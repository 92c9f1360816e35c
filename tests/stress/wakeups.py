"""Idle, write, wake: again and again, with several who sleep. None may sleep on."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext

import msgspec
import psycopg
from psycopg.rows import TupleRow

import pgstore
from tests.stress.processes import Process
from tests.stress.sleeper import APPLICATION, make_wrong, sleep

KINDS = ("sync", "sync", "sync", "async")
# Nothing but a ring wakes them: one that was not rung for sleeps until the end. So the time may be
# long enough for a machine that does much else meanwhile.
_LATE = 8.0
_GIVE_UP = 30.0
_NOTE = '{"writer": 0, "number": 0}'

_KILL = """
SELECT count(pg_terminate_backend(v.pid))
FROM (
  SELECT a.pid FROM pg_stat_activity AS a WHERE a.application_name = %s ORDER BY random() LIMIT 1
) AS v
"""


class Wakeups(msgspec.Struct):
    """What some rounds have shown."""

    rounds: int = 0
    late: int = 0  # rounds in which somebody slept on
    killed: int = 0  # sleeping processes
    disconnected: int = 0  # backends of sleeping processes
    slowest: float = 0.0  # seconds, from the first write to the last one awake


class Bedroom:
    """Sleeping processes, and the rounds that wake them."""

    def __init__(
        self, stack: ExitStack, conninfo: str, name: str, writers: int, restless: bool
    ) -> None:
        self._stack = stack
        self._restless = restless
        self._conninfo = conninfo
        self._name = name
        self._conn = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
        self._writers = [
            stack.enter_context(psycopg.connect(conninfo, autocommit=True)) for _ in range(writers)
        ]
        self._threads = stack.enter_context(ThreadPoolExecutor(writers))
        self._sleepers = [self._sleeper(kind) for kind in KINDS]
        self._victim = self._sleeper("sync")
        self._reached: dict[int, int] = {}
        self.found = Wakeups()

    def round(self) -> None:
        """Write a message by each writer at about the same time; see who is awake in time."""
        time.sleep(random.choice((0.0, 0.0, random.uniform(0, 0.01))))
        start = time.monotonic()
        position = max(self._threads.map(self._write, self._writers))
        if not self._awake(position, start + _LATE):
            self.found.late += 1
            self._conn.execute(f"SELECT pg_notify({self._name}.wake_channel(), '')".encode())
            assert self._awake(position, start + _GIVE_UP), "somebody does not listen"
        else:
            self.found.slowest = max(self.found.slowest, time.monotonic() - start)
        self.found.rounds += 1

    def kill(self) -> None:
        """End a process in its sleep, and put another one in its place."""
        self._victim.kill()
        self._victim = self._sleeper("sync")
        self.found.killed += 1

    def disconnect(self) -> None:
        """End the backend of somebody."""
        ((count,),) = self._conn.execute(_KILL, (APPLICATION,)).fetchall()
        self.found.disconnected += count

    def _sleeper(self, kind: str) -> Process:
        return self._stack.enter_context(
            Process(sleep, self._conninfo, self._name, 0, kind, self._restless)
        )

    def _write(self, conn: psycopg.Connection[TupleRow]) -> int:
        """Write a message at once; or be in flight for a while, without a position and with one."""
        write = f"SELECT global_position FROM {self._name}.write_message(%s, 'Noted', %s::jsonb)"
        slow = random.random() < 0.8
        with conn.transaction() if slow else nullcontext():
            if slow:
                # With an id, as after a write to another table, the mark is not taken again later.
                conn.execute(
                    f"SELECT pg_current_xact_id(), {self._name}._announce_write()".encode()
                )
                # Some may fall asleep meanwhile, and have to see that it is in flight.
                time.sleep(random.uniform(0, random.choice((0.006, 0.06))))
            ((position,),) = conn.execute(write.encode(), (f"bed-{random.randrange(100)}", _NOTE))
            if slow:
                time.sleep(random.uniform(0, 0.006))
        return int(position)

    def _awake(self, position: int, until: float) -> bool:
        while self._victim.pipe.poll():
            self._victim.pipe.recv()
        return all(self._reaches(each, position, until) for each in self._sleepers)

    def _reaches(self, sleeper: Process, position: int, until: float) -> bool:
        reached = self._reached.get(sleeper.pid, 0)
        while reached < position and sleeper.pipe.poll(max(0.0, until - time.monotonic())):
            reached = self._reached[sleeper.pid] = sleeper.pipe.recv()
        return reached >= position


def rounds(
    conninfo: str,
    name: str,
    count: int,
    *,
    writers: int,
    restless: bool = True,
    wrong: str | None = None,
    enough: int | None = None,
    seconds: float = 3600.0,
) -> Wakeups:
    """Do so many rounds in a new store; fewer if `enough` were late, or the time is up."""
    pgstore.install(conninfo, store=name)
    if wrong is not None:
        make_wrong(conninfo, name, wrong)
    with ExitStack() as stack:
        bedroom = Bedroom(stack, conninfo, name, writers, restless)
        bedroom.round()  # the first one waits for everybody to be there
        found = bedroom.found = Wakeups()
        end = time.monotonic() + seconds
        for number in range(count):
            if number % 25 == 24:
                bedroom.kill()
            if number % 40 == 39 and wrong is None:
                bedroom.disconnect()
            bedroom.round()
            if (enough is not None and found.late >= enough) or time.monotonic() > end:
                break
    return found
