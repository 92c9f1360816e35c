"""Processes stand still (SIGSTOP) for a while: workers beyond their lease, and server processes."""

import os
import random
import signal
import threading
import time
from contextlib import ExitStack, suppress

import psycopg

import pgstore
from tests.faults.counts import Counts, Rounds, check_projection, check_writes
from tests.faults.programs import Kept
from tests.faults.servers import Durable
from tests.faults.traffic import Traffic
from tests.stress.messages import create_effects, effects, stored
from tests.stress.processes import Process
from tests.stress.worker import SINGLE, Job, open_store, subscriptions, work
from tests.stress.writer import STREAMS

_LEASE = 1.0
_PATIENCE = 30.0
_STANDSTILL = 1.0
# Seconds; readers look by themselves every ten.
_HELD_UP = 25.0

_BACKENDS = """
SELECT a.pid FROM pg_stat_activity AS a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND random() < 0.3
"""

_LISTENERS = """
SELECT a.pid FROM pg_stat_activity AS a
WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  AND a.query ~ '(horizon|fall_asleep|wake_up)\\('
"""

# As many as take one in each of the parts of the server's table of locks.
_LOCKS = "SELECT pg_advisory_lock(n), pg_advisory_unlock(n) FROM generate_series(1, 200) AS n"
_ANSWER = 5.0


def zombies(server: Durable, rounds: Rounds) -> Counts:
    """Stop a worker within a handler until another has taken over; then let it acknowledge."""
    counts, acknowledged = Counts(), set()
    job = Job(server.conninfo, "zombies", _LEASE, workers=1, nap=0.2, tell=True, on_failure="park")
    pgstore.install(server.conninfo, store="zombies")
    with (
        psycopg.connect(server.conninfo, autocommit=True) as conn,
        open_store(server.conninfo, "zombies", Kept) as store,
    ):
        create_effects(conn, "zombies")
        single, _ = subscriptions(store, on_failure="park")
        for number in rounds:
            with ExitStack() as stack:
                zombie = stack.enter_context(Process(work, job))
                position = store.write(STREAMS[-1], Kept(0, number)).global_position
                acknowledged.add((0, number))
                assert zombie.receive(_PATIENCE) == position  # it has inserted its effect
                zombie.pause()
                heir = stack.enter_context(Process(work, job))
                assert heir.receive(_PATIENCE) == position
                single.wait_until(position)
                zombie.go_on()
                zombie.end()
                refused = zombie.receive(_PATIENCE) == "lost"
                counts.accepted += not refused
                heir.end()
                if refused:
                    zombie.receive(_PATIENCE)
                heir.receive(_PATIENCE)
        there = stored(conn, "zombies")
        check_writes(counts, acknowledged, there)
        check_projection(counts, effects(conn, "zombies", SINGLE), there)
        counts.parked = len(single.parked())
    counts.noted["acknowledgements refused"] = rounds.made - counts.accepted
    return counts


def frozen(server: Durable, rounds: Rounds) -> Counts:
    """Stop a third of the server's sessions for a second."""
    with Traffic(server.conninfo, "frozen") as traffic:
        count = 0
        for _ in rounds:
            traffic.wait_until_back()
            time.sleep(random.uniform(0.0, 0.2))
            with psycopg.connect(server.conninfo, autocommit=True) as conn:
                chosen = [pid for (pid,) in conn.execute(_BACKENDS)]
            _signal(chosen, signal.SIGSTOP)
            try:
                time.sleep(_STANDSTILL)
            finally:
                _signal(chosen, signal.SIGCONT)
            count += len(chosen)
        traffic.wait_until_back()
        traffic.counts.noted["sessions stopped"] = count
        return traffic.finish()


def frozen_waker(server: Durable, rounds: Rounds) -> Counts:
    """Stop the sessions that listen for new messages, until all readers have got some anyway."""
    with (
        psycopg.connect(server.conninfo, autocommit=True) as conn,
        Traffic(server.conninfo, "frozen_waker") as traffic,
    ):
        slowest, stood_still = 0.0, 0
        for _ in rounds:
            traffic.wait_until_back()
            chosen = _listeners(server)
            _signal(chosen, signal.SIGSTOP)
            start = time.monotonic()
            try:
                time.sleep(_STANDSTILL)  # what readers have then was written before or meanwhile
                position = max(each.last for each in traffic.readers)
                while any(each.last < position for each in traffic.readers):
                    if time.monotonic() > start + _HELD_UP:
                        if _stands_still(conn):
                            stood_still += 1
                        else:
                            traffic.counts.ended += 1
                        break
                    time.sleep(0.05)
            finally:
                _signal(chosen, signal.SIGCONT)
            if (took := time.monotonic() - start) < _HELD_UP:
                slowest = max(slowest, took)
        traffic.wait_until_back()
        traffic.counts.noted["seconds until they had them"] = round(slowest)
        if stood_still:
            traffic.counts.noted["times the server stood still for all"] = stood_still
        return traffic.finish()


def _stands_still(conn: psycopg.Connection) -> bool:
    """Whether a stopped session holds a lock of the server's own, so that nobody gets any lock."""
    probe = threading.Thread(target=lambda: conn.execute(_LOCKS).fetchall(), daemon=True)
    probe.start()
    probe.join(_ANSWER)
    return probe.is_alive()


def _listeners(server: Durable) -> list[int]:
    """The sessions that listen, as soon as there are any."""
    end = time.monotonic() + _PATIENCE
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        while not (chosen := [pid for (pid,) in conn.execute(_LISTENERS)]):
            assert time.monotonic() < end, "nobody listens"
            time.sleep(0.01)
    return chosen


def _signal(processes: list[int], number: int) -> None:
    for each in processes:
        with suppress(ProcessLookupError):
            os.kill(each, number)
