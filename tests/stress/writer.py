"""A process that writes: out of order, in pieces, and not always to the end."""

import logging
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from pgstore import MessagePosition, MessageStore, OptimisticConcurrencyError
from tests.stress.messages import Noted, Seen
from tests.stress.processes import Pipe

CATEGORIES = ("left", "right")
STREAMS = [f"{category}-{n}" for category in CATEGORIES for n in range(100)]
APPLICATION = "stress writer"

# Seconds longer than it was told, at most.
_PATIENCE = 30.0
_NAPS = (0.0, 0.0, 0.0, 0.001, 0.01)

# Of a process whose threads write in groups.
_THREADS = 16


def write(
    pipe: Pipe, conninfo: str, name: str, writer: int, seconds: float, least: int, forged: str = ""
) -> None:
    """Write until the time is up and so many transactions are committed; sends their counts.

    `forged` is the setting that remembers a transaction's mark, if the sessions forge it.
    """
    # A lost connection is part of the work, not worth a warning.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    pipe.send(Writer(conninfo, name, writer, forged).run(seconds, least))


class Writer:
    """Transactions on several streams, with savepoints, pauses and roll-backs."""

    def __init__(self, conninfo: str, name: str, writer: int, forged: str = "") -> None:
        options = "-c deadlock_timeout=20ms" + (f" -c {forged}=1" if forged else "")
        self._conninfo = make_conninfo(conninfo, application_name=APPLICATION, options=options)
        self._chance = random.Random(writer)
        self._writer = writer
        self._number = 0
        self._one = f"SELECT {name}.write_message(%s, 'Noted', %s::jsonb)".encode()
        self._many = f"SELECT {name}.write_messages(%s, %s::jsonb)".encode()

    def run(self, seconds: float, least: int) -> dict[str, int]:
        counts: Counter[str] = Counter()
        conn: psycopg.Connection[TupleRow] | None = None
        end = time.monotonic() + seconds
        while time.monotonic() < end or (
            counts["committed"] < least and time.monotonic() < end + _PATIENCE
        ):
            try:
                if conn is None or conn.closed:
                    conn = self._connect()
                back = self._chance.random() < 0.1
                with conn.transaction(force_rollback=back):
                    self._transaction(conn)
                counts["rolled back" if back else "committed"] += 1
            except psycopg.Error as error:
                counts[error.sqlstate or "lost"] += 1
        if conn is not None:
            conn.close()
        return dict(counts)

    def _connect(self) -> psycopg.Connection[TupleRow]:
        return psycopg.connect(self._conninfo, autocommit=True)

    def _transaction(self, conn: psycopg.Connection[TupleRow]) -> None:
        for stream in self._chance.sample(STREAMS, self._chance.choice((1, 1, 2, 3))):
            if self._chance.random() < 0.3:
                with conn.transaction(force_rollback=True):
                    self._write(conn, stream)
            self._write(conn, stream)
            time.sleep(self._chance.choice(_NAPS))

    def _write(self, conn: psycopg.Connection[TupleRow], stream: str) -> None:
        if self._chance.random() < 0.8:
            conn.execute(self._one, (stream, self._next()))
            return
        batch = ",".join(f'{{"type": "Noted", "data": {self._next()}}}' for _ in range(3))
        conn.execute(self._many, (stream, f"[{batch}]"))

    def _next(self) -> str:
        self._number += 1
        return msgspec.json.encode(Noted(self._writer, self._number)).decode()


def write_grouped(pipe: Pipe, conninfo: str, name: str, writer: int, seconds: float) -> None:
    """Write by threads of one store that groups their writes; sends what they were answered."""
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    pipe.send(GroupedWriter(conninfo, name, writer).run(seconds))


class Answers(msgspec.Struct):
    """What the threads of a process were answered."""

    written: list[Seen] = []  # the ids are not known
    refused: list[int] = []  # numbers of messages that are not stored
    unknown: int = 0  # messages that may be stored


class GroupedWriter:
    """Threads that write to few streams, some with an expected version."""

    def __init__(self, conninfo: str, name: str, writer: int) -> None:
        self._conninfo = make_conninfo(conninfo, application_name=APPLICATION)
        self._name = name
        self._writer = writer
        self._numbers = iter(range(1_000_000_000))
        self._lock = threading.Lock()
        self._answers = Answers()

    def run(self, seconds: float) -> Answers:
        end = time.monotonic() + seconds
        with (
            MessageStore[Noted](
                self._conninfo, store=self._name, messages=Noted, create=False, group_writes=True
            ) as store,
            ThreadPoolExecutor(_THREADS) as threads,
        ):
            for thread in [threads.submit(self._thread, store, n, end) for n in range(_THREADS)]:
                thread.result()
        return self._answers

    def _thread(self, store: MessageStore[Noted], thread: int, end: float) -> None:
        chance = random.Random(self._writer * _THREADS + thread)
        while time.monotonic() < end:
            stream = chance.choice(STREAMS[::10])
            with self._lock:
                number = next(self._numbers)
            try:
                expected = store.stream_version(stream) if chance.random() < 0.3 else None
                place = store.write(stream, Noted(self._writer, number), expected_version=expected)
            except OptimisticConcurrencyError:
                self._answers.refused.append(number)
            except psycopg.OperationalError:
                self._answers.unknown += 1
            else:
                self._note(place, number)
            time.sleep(chance.choice(_NAPS))

    def _note(self, place: MessagePosition, number: int) -> None:
        self._answers.written.append(
            (place.global_position, place.stream, place.version, "", self._writer, number)
        )
