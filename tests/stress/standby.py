"""Writers on a primary, publishers that are killed, and readers on its standby.

`python -m tests.stress.standby --seconds 30` prints what a run has shown.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import psycopg
from psycopg.rows import TupleRow

import pgstore
from tests.standbys import pair, until
from tests.stress.processes import Pipe, Process

WRITERS = 8
SETTINGS = {
    "max_connections": "60",
    "max_prepared_transactions": "20",
    "hot_standby_feedback": "on",
}
_PAGE = 500
_KILLED_EVERY = 1.2
_SAFE, _DRAWN = "(horizon()).safe_position", "_drawn_position()"
# Of a writer: the first is one message, as most are.
_WRITE = "SELECT global_position FROM {}.write_message(%s, 'T', '{{\"a\": 1}}')"
_READ = "SELECT global_position, added_at, clock_timestamp() FROM {}.read_all(%s, %s)"
_NAIVE = (
    "SELECT global_position, added_at, clock_timestamp() FROM {}.all_messages"
    " WHERE global_position > %s ORDER BY global_position LIMIT %s"
)

Connection = psycopg.Connection[TupleRow]
Look = Callable[[int], list[TupleRow]]


class Verdict(msgspec.Struct, frozen=True):
    """What a reader got of what is stored, and milliseconds from the write of a message to it."""

    read: int
    missed: int
    doubled: int
    unordered: int
    p50: float
    p99: float

    @property
    def faultless(self) -> bool:
        return self.missed == self.doubled == self.unordered == 0


class Outcome(msgspec.Struct, frozen=True):
    """What a run has shown: of each reader its verdict."""

    messages: int
    rolled_back: int
    prepared: int
    publishers_killed: int
    verdicts: dict[str, Verdict]


def stress(seconds: float, *, wrong: bool = False, kill: bool = True) -> Outcome:
    """Write for so long, and compare what readers on the standby saw with what is stored.

    `wrong`: what is published is the last position, not the safe one. `kill`: kill the publisher
    that is at work, again and again.
    """
    name = "shop"
    with pair(**SETTINGS) as (primary, standby), ExitStack() as stack:
        pgstore.install(primary.conninfo, store=name)
        conn = stack.enter_context(psycopg.connect(primary.conninfo, autocommit=True))
        if wrong:
            make_wrong(conn, name)
        stack.enter_context(_old_snapshot(primary.conninfo, name))
        publishers = stack.enter_context(Publishers(primary.conninfo, name, kill))
        there = stack.enter_context(psycopg.connect(standby.conninfo, autocommit=True))
        row = f"SELECT FROM {name}.store_horizon".encode()
        until(lambda: there.execute(row).rowcount)
        stack.enter_context(_old_snapshot(standby.conninfo, name))
        stop = threading.Event()
        readers = [Reader(each, standby.conninfo, name, stop) for each in READERS]
        writers = [
            stack.enter_context(Process(write, primary.conninfo, name, number, seconds))
            for number in range(WRITERS)
        ]
        counts = [writer.receive(seconds + 60) for writer in writers]
        publishers.end_killing()
        last = _last(conn, name)
        until(lambda: all(reader.position >= last or not reader.alive for reader in readers), 60)
        stop.set()
        stored = {
            position
            for (position,) in conn.execute(
                f"SELECT global_position FROM {name}.all_messages".encode()
            )
        }
        return Outcome(
            len(stored),
            sum(rolled_back for rolled_back, _ in counts),
            sum(prepared for _, prepared in counts),
            publishers.killed,
            {reader.name: reader.verdict(stored) for reader in readers},
        )


def make_wrong(conn: Connection, name: str) -> None:
    """Have the last position published that was drawn."""
    conn.execute(f"SET search_path = {name}, pg_temp".encode())
    ((text,),) = conn.execute("SELECT pg_get_functiondef('publish_horizon'::regproc)")
    assert _SAFE in text
    conn.execute(text.replace(_SAFE, _DRAWN).encode())
    conn.execute("RESET search_path")


def _last(conn: Connection, name: str) -> int:
    ((last,),) = conn.execute(f"SELECT {name}.safe_position()".encode())
    return int(last)


def write(pipe: Pipe, conninfo: str, name: str, number: int, seconds: float) -> None:
    """Write for so long; send how many transactions were rolled back, and prepared."""
    chance = random.Random(number)
    statement = _WRITE.format(name).encode()
    rolled_back = prepared = 0
    end = time.monotonic() + seconds
    with psycopg.connect(conninfo) as conn:
        for turn in range(1_000_000):
            if time.monotonic() > end:
                break
            two_phases = chance.random() < 0.05
            if two_phases:
                conn.execute("SET LOCAL pgstore.notify = off")
            for _ in range(1 if chance.random() < 0.5 else chance.randint(2, 5)):
                stream = f"cat{chance.randint(0, 5)}-{number}-{chance.randint(0, 200)}"
                conn.execute(statement, (stream,))
                if chance.random() < 0.1:
                    time.sleep(chance.random() * 0.03)
            if chance.random() < 0.1:
                conn.execute("SAVEPOINT a")
                conn.execute(statement, (f"cat1-{number}-savepoint",))
                if chance.random() < 0.5:
                    conn.execute("ROLLBACK TO a")
            if chance.random() < 0.1:
                conn.rollback()
                rolled_back += 1
            elif two_phases:
                _commit_in_two_phases(conn, f"{name} {number} {turn}", chance.random() * 0.05)
                prepared += 1
            else:
                conn.commit()
    pipe.send((rolled_back, prepared))


def _commit_in_two_phases(conn: Connection, gid: str, pause: float) -> None:
    conn.execute(f"PREPARE TRANSACTION '{gid}'".encode())
    conn.commit()
    time.sleep(pause)
    conn.autocommit = True
    conn.execute(f"COMMIT PREPARED '{gid}'".encode())
    conn.autocommit = False


def publish(pipe: Pipe, conninfo: str, name: str) -> None:
    """Publish, as a process that runs nothing else."""
    with pgstore.MessageStore[pgstore.RawMessage](
        conninfo, messages=pgstore.RawMessage, store=name, create=False
    ) as store:
        store.run(publish=True)


class Publishers:
    """Two processes that publish; the one at work is killed, and another one started."""

    def __init__(self, conninfo: str, name: str, kill: bool) -> None:
        self.killed = 0
        self._conninfo = conninfo
        self._name = name
        self._stop = threading.Event()
        self._processes = [self._begun() for _ in range(2)]
        self._thread = threading.Thread(target=self._kill if kill else self._stop.wait)

    def _begun(self) -> Process:
        return Process(publish, self._conninfo, self._name)

    def _kill(self) -> None:
        query = f"SELECT publisher FROM {self._name}.store_horizon".encode()
        with psycopg.connect(self._conninfo, autocommit=True) as conn:
            while not self._stop.wait(_KILLED_EVERY) or self.killed == 0:
                for (publisher,) in conn.execute(query):
                    at_work = publisher.split(":")[1]
                    for process in [p for p in self._processes if str(p.pid) == at_work]:
                        self._processes.remove(process)
                        process.kill()
                        self._processes.append(self._begun())
                        self.killed += 1

    def end_killing(self) -> None:
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> "Publishers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_killing()
        for process in self._processes:
            process.kill()


@contextmanager
def _old_snapshot(conninfo: str, name: str) -> Iterator[None]:
    """Hold a snapshot meanwhile, for which the server keeps all dead versions."""
    with psycopg.connect(conninfo) as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        conn.execute(f"SELECT {name}.schema_version()".encode())
        yield
        conn.rollback()


class Reader:
    """A thread that reads on, and notes each position and how late it came."""

    def __init__(self, name: str, conninfo: str, store: str, stop: threading.Event) -> None:
        self.name = name
        self.position = 0
        self._seen: list[int] = []
        self._late: list[float] = []
        self._conninfo, self._store, self._stop = conninfo, store, stop
        self._thread = threading.Thread(target=READERS[name], args=(self,))
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def note(self, position: int, late: float) -> None:
        self._seen.append(position)
        self._late.append(late)
        self.position = position

    def verdict(self, stored: set[int]) -> Verdict:
        self._thread.join()
        late = sorted(self._late) or [0.0]
        return Verdict(
            len(self._seen),
            len(stored - set(self._seen)),
            len(self._seen) - len(set(self._seen)),
            sum(a > b for a, b in zip(self._seen, self._seen[1:], strict=False)),
            round(late[len(late) // 2] * 1000, 1),
            round(late[int(len(late) * 0.99)] * 1000, 1),
        )

    def read(self, statement: str, isolation: str = "READ COMMITTED") -> None:
        """Page after page, each in a transaction of its own."""
        query = statement.format(self._store).encode()
        with psycopg.connect(self._conninfo) as conn:
            while not self._stop.is_set():
                conn.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
                rows = conn.execute(query, (self.position, _PAGE)).fetchall()
                conn.rollback()
                for position, added_at, now in rows:
                    self.note(position, (now - added_at).total_seconds())
                if not rows:
                    time.sleep(0.005)

    def follow(self) -> None:
        with pgstore.MessageStore[pgstore.RawMessage](
            self._conninfo, messages=pgstore.RawMessage, store=self._store, create=False
        ) as store:
            while not self._stop.is_set():
                with store.follow(after_position=self.position, timeout=0.2) as following:
                    for each in following:
                        late = time.time() - each.added_at.timestamp()
                        self.note(each.global_position, late)


READERS: dict[str, Callable[[Reader], None]] = {
    "read_all": lambda reader: reader.read(_READ),
    "repeatable read": lambda reader: reader.read(_READ, "REPEATABLE READ"),
    "follow": Reader.follow,
    "naive": lambda reader: reader.read(_NAIVE),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--kill", action="store_true", help="kill publishers meanwhile")
    chosen = parser.parse_args()
    outcome = stress(chosen.seconds, kill=chosen.kill)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(outcome)).decode() + "\n")


if __name__ == "__main__":
    main()
