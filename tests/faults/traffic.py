"""Writers, readers and workers on one store, which go on while something is done to the server."""

from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Self

import psycopg

import pgstore
from tests.faults.counts import Counts, check_projection, check_reader, check_writes
from tests.faults.programs import (
    AsyncFollowing,
    Continuing,
    Following,
    Kept,
    Looking,
    Program,
    Reader,
    Writer,
    until_answered,
    wait_for_all,
)
from tests.stress.messages import create_effects, effects, stored
from tests.stress.processes import Process
from tests.stress.worker import BATCHES, SINGLE, Job, open_store, subscriptions, work
from tests.stress.writer import CATEGORIES

_WRITERS = 3
_WORKERS = 2
_PATIENCE = 60.0

_PARKED = "SELECT p.parked FROM {name}.count_parked() AS p"


class Traffic:
    """Everything at once on a new store; `counts` says what came of it, after `finish`.

    The programs connect by `conninfo`. What checks them connects by `direct`, where that is another
    way.
    """

    def __init__(
        self, conninfo: str, name: str, *, direct: str | None = None, pooled: bool = False
    ) -> None:
        self.counts = Counts()
        self._conninfo = conninfo
        self._direct = direct or conninfo
        self._name = name
        self._pooled = pooled
        self._job = Job(
            conninfo, name, lease=2.0, workers=2, batch_size=20, on_failure="park", pooled=pooled
        )
        self._warm = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        pgstore.install(self._direct, store=self._name)
        with psycopg.connect(self._direct, autocommit=True) as conn:
            create_effects(conn, self._name)
        with open_store(self._direct, self._name) as store:
            for each in subscriptions(store, on_failure="park"):
                each.create()
        enter = self._stack.enter_context
        writing = enter(open_store(self._conninfo, self._name, Kept, pooled=self._pooled))
        reading = enter(open_store(self._conninfo, self._name, pooled=self._pooled))
        self.writers = [Writer(writing, number) for number in range(1, _WRITERS + 1)]
        self.readers: list[Reader] = [Following(reading), Continuing(reading), Looking(reading)]
        if not self._pooled:
            self.readers.append(AsyncFollowing(self._conninfo, self._name))
        self._workers = [self._worker() for _ in range(_WORKERS)]
        programs: list[Program] = [*self.writers, *self.readers]
        for program in programs:
            program.start()
            self._stack.callback(program.stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def wait_until_back(self) -> None:
        """Wait until every writer has had another answer, and replace workers that have ended."""
        took = wait_for_all(lambda: [len(each.acknowledged) for each in self.writers])
        if self._warm:  # the first answers are not the first after something
            self.counts.slowest = max(self.counts.slowest, took)
        self._warm = True
        for number, process in enumerate(self._workers):
            if not process.alive:
                self.counts.ended += 1
                self._workers[number] = self._worker()

    def finish(self) -> Counts:
        """End the writers, let all others catch up, and compare."""
        for writer in self.writers:
            writer.finish()
        with psycopg.connect(self._direct, autocommit=True) as conn:
            there = stored(conn, self._name)
            check_writes(
                self.counts, set().union(*(each.acknowledged for each in self.writers)), there
            )
            for reader in self.readers:
                reader.finish_at(there[-1][0], _PATIENCE)
                check_reader(self.counts, reader.seen, there)
                self.counts.ended += reader.ended
            self._finish_workers(there[-1][0])
            left = [each for each in there if each[1].startswith(f"{CATEGORIES[0]}-")]
            check_projection(self.counts, effects(conn, self._name, SINGLE), there)
            check_projection(self.counts, effects(conn, self._name, BATCHES), left)
            for (parked,) in conn.execute(_PARKED.replace("{name}", self._name).encode()):
                self.counts.parked += parked
        return self.counts

    def _worker(self) -> Process:
        return self._stack.enter_context(Process(work, self._job))

    def _finish_workers(self, position: int) -> None:
        with open_store(self._direct, self._name) as store:
            for each in subscriptions(store, on_failure="park"):
                with suppress(TimeoutError):  # what is missing is counted
                    until_answered(partial(each.wait_until, position, timeout=_PATIENCE))
        failed = 0
        for process in self._workers:
            if process.alive:
                process.end()
                failed += len(process.receive(_PATIENCE).failed)
            else:
                self.counts.ended += 1
        self.counts.noted["failures counted"] = failed
