"""Workers that die, stop for a while, come and go: effects in the same database exactly once."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.rows import TupleRow

import pgstore
from pgstore import LeaseLostError, MessageStore
from tests.amounts import amount
from tests.stress.messages import Noted, compare, create_effects, effects, stored
from tests.stress.processes import Process
from tests.stress.worker import (
    BATCHES,
    SINGLE,
    Job,
    Report,
    open_store,
    subscriptions,
    work,
)
from tests.stress.writer import CATEGORIES, STREAMS, write

LEASE = 1.0
SECONDS = amount(6, 30)
LEAST = 80
ZOMBIES = 3


@pytest.fixture
def conn(server_conninfo: str) -> Iterator[psycopg.Connection[TupleRow]]:
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        yield conn


@pytest.fixture
def store(
    server_conninfo: str, schema: str, conn: psycopg.Connection[TupleRow]
) -> Iterator[MessageStore[Noted]]:
    pgstore.install(server_conninfo, store=schema)
    create_effects(conn, schema)
    with open_store(server_conninfo, schema) as store:
        for each in subscriptions(store):
            each.create()
        yield store


class Crew:
    """Worker processes, each of which may be paused."""

    def __init__(self, stack: ExitStack, job: Job) -> None:
        self._stack = stack
        self._job = job
        self.working: list[Process] = []
        self.paused: list[tuple[float, Process]] = []
        self.ended: list[Process] = []

    def add(self) -> None:
        self.working.append(self._stack.enter_context(Process(work, self._job)))

    def kill(self) -> None:
        self._take().kill()
        self.add()

    def remove(self) -> None:
        if len(self.working) > 2:
            process = self._take()
            process.end()
            self.ended.append(process)

    def pause(self) -> None:
        """Stop one for longer than its lease."""
        process = self._take()
        process.pause()
        self.paused.append((time.monotonic() + LEASE * 1.8, process))
        self.add()

    def wake(self, *, everybody: bool = False) -> None:
        for due in [each for each in self.paused if everybody or each[0] < time.monotonic()]:
            self.paused.remove(due)
            due[1].go_on()
            self.working.append(due[1])

    def reports(self) -> list[Report]:
        """End them all; what those that have not been killed have met."""
        for process in self.working:
            process.end()
        found = [process.last_words(30) for process in self.working + self.ended]
        # One that was ended before it listened has nothing to say.
        return [report for report in found if report is not None]

    def _take(self) -> Process:
        process = random.choice(self.working)
        self.working.remove(process)
        return process


def test_effects_happen_exactly_once_while_workers_die_and_stop_and_come_and_go(
    server_conninfo: str,
    schema: str,
    store: MessageStore[Noted],
    conn: psycopg.Connection[TupleRow],
) -> None:
    job = Job(server_conninfo, schema, lease=LEASE, workers=2, nap=0.003, batch_size=20)
    with ExitStack() as stack:
        crew = Crew(stack, job)
        for _ in range(3):
            crew.add()
        writing = [
            stack.enter_context(Process(write, server_conninfo, schema, n, SECONDS, LEAST))
            for n in range(3)
        ]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(0.4)
            random.choice([crew.kill, crew.pause, crew.pause, crew.remove, crew.add])()
            crew.wake()
        crew.wake(everybody=True)
        for process in writing:
            process.receive(60)

        there = stored(conn, schema)
        for each in subscriptions(store):
            each.wait_until(there[-1][0], timeout=60)
        reports = crew.reports()

    left = [each for each in there if each[1].startswith(f"{CATEGORIES[0]}-")]
    assert compare(effects(conn, schema, SINGLE), there).faultless
    assert compare(effects(conn, schema, BATCHES), left).faultless
    assert len(there) > 500
    assert reports
    assert {error for report in reports for error in report.failed} == set()


def test_acknowledgement_of_a_worker_that_slept_through_its_lease_is_refused(
    server_conninfo: str,
    schema: str,
    store: MessageStore[Noted],
    conn: psycopg.Connection[TupleRow],
) -> None:
    job = Job(server_conninfo, schema, lease=LEASE, workers=1, nap=0.3, tell=True)
    with ExitStack() as stack:
        zombies = []
        for number in range(ZOMBIES):
            zombie = stack.enter_context(Process(work, job))
            position = store.write(STREAMS[-1], Noted(0, number)).global_position
            assert zombie.receive(20) == position  # it has inserted its effect, and naps
            zombie.pause()
            zombies.append(zombie)
            # This one waits for the lease to end, and gets the same message.
            heir = stack.enter_context(Process(work, job))
            assert heir.receive(20) == position
            subscriptions(store)[0].wait_until(position)
            heir.kill()
        for zombie in zombies:
            zombie.go_on()
            assert zombie.receive(20) == "lost"
            zombie.end()
        reports = [zombie.receive(20) for zombie in zombies]

    assert [report.leases_lost for report in reports] == [1] * ZOMBIES
    assert [report.failed for report in reports] == [[]] * ZOMBIES
    assert effects(conn, schema, SINGLE) == stored(conn, schema)


def test_acknowledge_takes_the_effects_of_a_lost_lease_with_it(
    store: MessageStore[Noted], schema: str, conn: psycopg.Connection[TupleRow]
) -> None:
    store.write(STREAMS[-1], Noted(0, 0))
    claim = f"SELECT * FROM {schema}.claim_partition(ARRAY[%s], %s, %s::interval)".encode()
    ((_, partition, stale, _),) = conn.execute(claim, (SINGLE, "first", "1 millisecond"))
    time.sleep(0.01)
    ((_, same, token, _),) = conn.execute(claim, (SINGLE, "second", "1 minute"))
    assert same == partition
    assert token > stale

    acknowledge = f"SELECT {schema}.acknowledge(%s, %s, %s, 1)".encode()
    insert = f"INSERT INTO {schema}.effects (subscription, global_position) VALUES (%s, 1)".encode()

    def handle(token: int) -> None:
        with conn.transaction():
            conn.execute(insert, (SINGLE,))
            conn.execute(acknowledge, (SINGLE, partition, token))

    with pytest.raises(psycopg.Error) as refused:
        handle(stale)
    assert refused.value.sqlstate == LeaseLostError.sqlstate == "MS020"
    handle(token)
    ((count,),) = conn.execute(f"SELECT count(*) FROM {schema}.effects".encode())
    assert count == 1
