"""A process that handles subscriptions exactly once: by `store.run`, until it is told to end."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

import pgstore
from pgstore import MessageStore, RunnerHooks, StoredMessage, Subscription
from tests.stress.messages import INSERT_EFFECT, Noted, seen
from tests.stress.processes import Pipe
from tests.stress.writer import CATEGORIES

APPLICATION = "stress worker"
PARTITIONS = 8
SINGLE, BATCHES = "singly", "in batches"

# Seconds: so short that a fault which counts against messages soon has them parked.
_RETRY = 0.05

OnFailure = Literal["stop", "park"]


class Job(msgspec.Struct, frozen=True):
    """How to work.

    `tell` has every handler call told through the pipe; `pooled` is for a pooler in transaction
    mode.
    """

    conninfo: str
    name: str
    lease: float = 30.0
    workers: int = 3
    nap: float = 0.0
    batch_size: int = 100
    tell: bool = False
    on_failure: OnFailure = "stop"
    pooled: bool = False


class Report(msgspec.Struct):
    """What a worker has met."""

    processed: int = 0
    failed: list[str] = []
    leases_lost: int = 0


class _Hooks(RunnerHooks):
    def __init__(self, report: Report) -> None:
        self._report = report

    def handled(self, subscription: str, partition: int, count: int, seconds: float) -> None:
        self._report.processed += count

    def failed(self, subscription: str, partition: int, error: BaseException, action: str) -> None:
        self._report.failed.append(f"{type(error).__name__}: {error}")


# What the store says of it (MS020): the logger makes text of an error.
_LOST = re.compile("lease .* lost|lost .* lease")


class _LostLeases(logging.Handler):
    """Counts the leases that the runner logs as lost."""

    def __init__(self, report: Report, pipe: Pipe | None) -> None:
        super().__init__()
        self._report = report
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        if _LOST.search(record.getMessage()):
            self._report.leases_lost += 1
            if self._pipe is not None:
                self._pipe.send("lost")


@contextmanager
def open_store(
    conninfo: str, name: str, message: type[Noted] = Noted, *, pooled: bool = False
) -> Iterator[MessageStore[Noted]]:
    """Open a store; `pooled` works through a pooler in transaction mode."""
    conninfo = make_conninfo(conninfo, application_name=APPLICATION)
    messages = {"Noted": message}
    if not pooled:
        with pgstore.MessageStore(conninfo, store=name, messages=messages, create=False) as store:
            yield store
        return
    session = {"autocommit": True, "prepare_threshold": None}
    with (
        ConnectionPool(conninfo, kwargs=session, min_size=1, max_size=10, open=True) as pool,
        pgstore.MessageStore(
            pool, store=name, messages=messages, create=False, wakeup="poll"
        ) as pooled_store,
    ):
        yield pooled_store


def subscriptions(
    store: MessageStore[Noted], size: int = 100, on_failure: OnFailure = "stop"
) -> list[Subscription[Noted]]:
    """One that reads everything message by message, and one that reads a category in batches."""
    return [
        store.subscription(
            name,
            categories=categories,
            partitions=PARTITIONS,
            batch_size=size,
            on_failure=on_failure,
            retry_delay=_RETRY,
        )
        for name, categories in ((SINGLE, None), (BATCHES, CATEGORIES[:1]))
    ]


def work(pipe: Pipe, job: Job) -> None:
    """Insert a row for each message until SIGTERM; then send a report."""
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    logger = logging.getLogger("pgstore")
    report = Report()
    logger.addHandler(_LostLeases(report, pipe if job.tell else None))
    logger.propagate = False
    with open_store(job.conninfo, job.name, pooled=job.pooled) as store:
        _run(store, job, report, pipe)
    pipe.send(report)


def _run(store: MessageStore[Noted], job: Job, report: Report, pipe: Pipe) -> None:
    single, batches = subscriptions(store, job.batch_size, job.on_failure)
    insert = INSERT_EFFECT.replace("{name}", job.name).encode()

    @single.handler
    def note(stored: StoredMessage[Noted], tx: psycopg.Connection[TupleRow]) -> None:
        _insert(tx, insert, SINGLE, stored)
        if job.tell:
            pipe.send(stored.global_position)
        time.sleep(job.nap)

    @batches.batch_handler
    def note_all(stored: list[StoredMessage[Noted]], tx: psycopg.Connection[TupleRow]) -> None:
        for each in stored:
            _insert(tx, insert, BATCHES, each)
        time.sleep(job.nap)

    store.run(single, batches, workers=job.workers, lease=job.lease, hooks=_Hooks(report))


def _insert(
    tx: psycopg.Connection[Any], statement: bytes, subscription: str, stored: StoredMessage[Noted]
) -> None:
    position, stream, version, message_id, writer, number = seen(stored)
    tx.execute(statement, (subscription, position, stream, version, message_id, writer, number))
