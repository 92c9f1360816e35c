"""The server is killed, or shut down at once, under everything that uses it."""

import random
import time
from collections.abc import Callable
from functools import partial

import psycopg

import pgstore
from tests.faults.counts import Counts, Rounds, check_reader, check_writes
from tests.faults.programs import Kept, RolledBack, until_answered
from tests.faults.racing import Racing
from tests.faults.servers import Durable
from tests.faults.traffic import Traffic
from tests.stress.messages import Noted, Seen, seen, stored
from tests.stress.worker import open_store

_ROLLED_BACK, _WRITTEN = 40, 5
# Seconds without a server, in one round of twenty.
_LONG = 12.0


def crash(server: Durable, rounds: Rounds) -> Counts:
    """Kill the postmaster with signal 9 under writers, readers and workers."""
    return _taken_down(server, rounds, "crash", server.crash)


def shutdown(server: Durable, rounds: Rounds) -> Counts:
    """Shut the server down immediately under writers, readers and workers."""
    return _taken_down(server, rounds, "shutdown", server.shut_down)


def crash_racers(server: Durable, rounds: Rounds) -> Counts:
    """Kill the postmaster with signal 9 under racers for the last places of rules."""
    return _taken_down(server, rounds, "crash_racers", server.crash, Racing)


def _taken_down(
    server: Durable,
    rounds: Rounds,
    name: str,
    take_down: Callable[[], None],
    programs: type[Traffic | Racing] = Traffic,
) -> Counts:
    with programs(server.conninfo, name) as running:
        for number in rounds:
            running.wait_until_back()
            time.sleep(random.uniform(0.1, 0.5))
            take_down()
            time.sleep(_LONG if number % 20 == 19 else random.uniform(0.0, 1.0))
            server.start_again()
        running.wait_until_back()
        return running.finish()


def positions(server: Durable, rounds: Rounds) -> Counts:
    """Roll 40 messages back, let `follow` look, kill the server, resume at `follower.position`."""
    counts, acknowledged, followed = Counts(), set(), list[Seen]()
    position = number = 0
    pgstore.install(server.conninfo, store="positions")
    for _ in rounds:
        with open_store(server.conninfo, "positions") as store:
            try:
                with store.transaction() as tx:
                    store.write_many("left-2", [Noted(0, 0)] * _ROLLED_BACK, conn=tx)
                    raise RolledBack
            except RolledBack:
                pass
            follower = store.follow(after_position=position, timeout=0.02)
            followed += map(seen, follower)
            position = follower.position
            server.crash()
        server.start_again()
        with open_store(server.conninfo, "positions", Kept) as store:
            for _ in range(_WRITTEN):
                number += 1
                until_answered(partial(store.write, "left-1", Kept(1, number)))
                acknowledged.add((1, number))
            follower = store.follow(after_position=position, timeout=0.02)
            try:
                followed += map(seen, follower)
            except psycopg.Error:
                counts.ended += 1
            position = follower.position
    with psycopg.connect(server.conninfo) as conn:
        there = stored(conn, "positions")
    check_writes(counts, acknowledged, there)
    check_reader(counts, followed, there)
    return counts
