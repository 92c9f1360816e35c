"""Everything at once: writers out of order, killed backends, and every kind of reader."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import msgspec
import psycopg
from psycopg.rows import TupleRow

import pgstore
from tests.stress.messages import Seen, Verdict, compare, create_effects, effects, stored
from tests.stress.processes import Process
from tests.stress.readers import Readers
from tests.stress.worker import (
    APPLICATION,
    BATCHES,
    SINGLE,
    Job,
    Report,
    open_store,
    subscriptions,
    work,
)
from tests.stress.writer import APPLICATION as WRITER
from tests.stress.writer import CATEGORIES, Answers, write, write_grouped

_WORKERS = 3
_LEAST = 20
_PATIENCE = 60.0
_KILLED_EVERY = 0.8  # seconds, for one writer

_KILL = """
SELECT count(pg_terminate_backend(v.pid))
FROM (
  SELECT a.pid FROM pg_stat_activity AS a WHERE a.application_name = %s ORDER BY random() LIMIT 1
) AS v
"""


# Writers that are in flight without a gate: readers that find all gates free pass them.
WRONG = {
    "no gate at the first write": "_enter_flight",
    "no gate where a mark is known": "_take_mark",
}
_GATE = "pg_backend_pid() % 4"
_NO_GATE = "4"


class Grouped(msgspec.Struct, frozen=True):
    """What the writers of groups were answered, beside what is stored."""

    written: int
    refused: int
    unknown: int
    misplaced: int  # answered, and stored elsewhere, otherwise, or not at all
    doubled: int
    stored_though_refused: int

    @property
    def faultless(self) -> bool:
        return self.misplaced == self.doubled == self.stored_though_refused == 0


class Outcome(msgspec.Struct):
    """What a run has shown."""

    messages: int
    seconds: float
    transactions: dict[str, int]  # committed, rolled back, and by error
    killed: dict[str, int]  # backends, by application
    prepared_seconds: float
    naive_missed: int
    verdicts: dict[str, Verdict]  # by reader
    workers: list[Report]
    grouped: Grouped
    looks: int  # at the horizon, where the server counts calls of functions


def stress(
    conninfo: str,
    name: str,
    seconds: float,
    writers: int,
    *,
    wrong: str | None = None,
    forged: bool = False,
    grouped: int = 0,
) -> Outcome:
    """Write for so long to a new store, and compare what its readers saw with what is stored.

    `wrong` is one of `WRONG`. Writers have `forged` the setting that remembers their mark. Beside
    them so many processes write in groups, by threads.
    """
    pgstore.install(conninfo, store=name)
    if wrong is not None:
        make_wrong(conninfo, name, wrong)
    with ExitStack() as stack:
        conn = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
        create_effects(conn, name)
        setting = _setting(conn, name) if forged else ""
        with open_store(conninfo, name) as store:
            for each in subscriptions(store):
                each.create()
        readers = stack.enter_context(Readers(conninfo, name))
        workers = [
            stack.enter_context(Process(work, Job(conninfo, name, lease=2.0)))
            for _ in range(_WORKERS)
        ]
        every = _KILLED_EVERY / (writers + grouped)
        killed = stack.enter_context(backends_killed(conninfo, every))
        writing = [
            stack.enter_context(Process(write, conninfo, name, n, seconds, _LEAST, setting))
            for n in range(writers)
        ]
        grouping = [
            stack.enter_context(Process(write_grouped, conninfo, name, writers + n, seconds))
            for n in range(grouped)
        ]
        start = time.monotonic()
        time.sleep(seconds * 0.2)
        prepared = _prepared_transaction(conninfo, name, seconds * 0.1)
        transactions: Counter[str] = Counter()
        for process in writing:
            transactions.update(process.receive(seconds + _PATIENCE))
        answers = [process.receive(seconds + _PATIENCE) for process in grouping]
        took = time.monotonic() - start

        there = stored(conn, name)
        readers.finish(there)
        _catch_up(conninfo, name, there[-1][0])
        return Outcome(
            messages=len(there),
            seconds=took,
            transactions=dict(transactions),
            killed=dict(killed),
            prepared_seconds=prepared,
            naive_missed=len(
                {each[0] for each in there} - {each[0] for each in readers.naive.seen}
            ),
            verdicts=_verdicts(conn, name, readers, there),
            workers=[_ended(process) for process in workers],
            grouped=_compared(answers, there, writers),
            looks=_looks(conn, name),
        )


def _compared(answers: list[Answers], there: list[Seen], first: int) -> Grouped:
    """Compare what writers of groups were answered with what they have stored."""
    stored = Counter((*each[:3], "", *each[4:]) for each in there if each[4] >= first)
    messages = Counter(each[4:] for each in stored.elements())
    written = [each for answer in answers for each in answer.written]
    refused = [(first + n, each) for n, answer in enumerate(answers) for each in answer.refused]
    return Grouped(
        written=len(written),
        refused=len(refused),
        unknown=sum(answer.unknown for answer in answers),
        misplaced=sum(each not in stored for each in written),
        doubled=sum(count - 1 for count in messages.values()),
        stored_though_refused=sum(each in messages for each in refused),
    )


def _looks(conn: psycopg.Connection[TupleRow], name: str) -> int:
    rows = conn.execute(
        "SELECT calls FROM pg_stat_user_functions WHERE schemaname = %s AND funcname = 'horizon'",
        (name,),
    ).fetchall()
    return rows[0][0] if rows else 0


def _setting(conn: psycopg.Connection[TupleRow], name: str) -> str:
    ((setting,),) = conn.execute(f"SELECT {name}._mark_setting()".encode())
    return str(setting)


def make_wrong(conninfo: str, name: str, wrong: str) -> None:
    """Have one of the functions that enter a gate take another key instead."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"SET search_path = {name}, pg_temp".encode())
        ((text,),) = conn.execute("SELECT pg_get_functiondef(%s::regproc)", (WRONG[wrong],))
        assert _GATE in text
        conn.execute(text.replace(_GATE, _NO_GATE).encode())


@contextmanager
def backends_killed(conninfo: str, every: float) -> Iterator[Counter[str]]:
    """Terminate a writer's backend every so many seconds; every tenth time one of a worker too."""
    killed: Counter[str] = Counter()
    stop = threading.Event()

    def kill() -> None:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            for turn in range(1_000_000):
                if stop.wait(every):
                    return
                for name in (WRITER, APPLICATION) if turn % 10 == 9 else (WRITER,):
                    ((count,),) = conn.execute(_KILL, (name,)).fetchall()
                    killed[name] += count

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def _prepared_transaction(conninfo: str, name: str, seconds: float) -> float:
    """Keep a prepared transaction with messages for so long; then commit it."""
    gid = f"stress-{uuid4().hex}"
    write_one = f"SELECT {name}.write_message(%s, 'Noted', %s::jsonb)".encode()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("BEGIN")
        conn.execute("SET LOCAL pgstore.notify = 'off'")
        for number, category in enumerate(CATEGORIES):
            note = f'{{"writer": -1, "number": {number}}}'
            conn.execute(write_one, (f"{category}-prepared", note))
        conn.execute(f"PREPARE TRANSACTION '{gid}'".encode())
    try:
        time.sleep(seconds)
    finally:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute(f"COMMIT PREPARED '{gid}'".encode())
    return seconds


def _catch_up(conninfo: str, name: str, position: int) -> None:
    with open_store(conninfo, name) as store:
        for each in subscriptions(store):
            each.wait_until(position, timeout=_PATIENCE)


def _ended(process: Process) -> Report:
    process.end()
    report = process.receive(_PATIENCE)
    assert isinstance(report, Report)
    return report


def _verdicts(
    conn: psycopg.Connection[TupleRow], name: str, readers: Readers, there: list[Seen]
) -> dict[str, Verdict]:
    of_category = {
        category: [each for each in there if each[1].startswith(f"{category}-")]
        for category in CATEGORIES
    }
    found = {reader.name: compare(reader.seen, there) for reader in readers.of_all}
    for category, reader in readers.of_category.items():
        found[reader.name] = compare(reader.seen, of_category[category])
    found["subscription, singly"] = compare(effects(conn, name, SINGLE), there)
    found["subscription, in batches"] = compare(
        effects(conn, name, BATCHES), of_category[CATEGORIES[0]]
    )
    return found
