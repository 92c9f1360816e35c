"""Subscriptions to tags beside writers: every message with the tags once, and no other."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import psycopg
import pytest

from tests.amounts import amount
from tests.sql.store import Store
from tests.sql.subscriptions import Lease

WRITERS, WORKERS = 6, 2
LEAST = 10  # messages with the tags, of each writer


@pytest.mark.parametrize("partitions", [1, 4])
def test_each_message_with_the_tags_is_handled_once_beside_writers(
    server_conninfo: str, store: str, partitions: int
) -> None:
    run = uuid4().hex[:12]
    wanted = [f"a:{run}", f"b:{run}"]
    written = threading.Event()
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        here = Store(conn, store)
        here.call(
            "create_subscription", run, tags=wanted, partitions=partitions, start_position=None
        )

        def write(seed: int) -> list[int]:
            """Write in transactions that overlap, some long, some rolled back; what has come."""
            choose = random.Random(seed)
            stored: list[int] = []
            until = time.monotonic() + amount(1.5, 15)
            with psycopg.connect(server_conninfo) as own:
                while time.monotonic() < until or len(stored) < LEAST:
                    positions = []
                    for _ in range(choose.randint(1, 3)):
                        tags = choose.choice([wanted, wanted[:1], wanted[1:], ["other"], None])
                        stream = f"{run}-{seed}-{choose.randint(1, 5)}"
                        _, position = here.write(stream, tags=tags, on=own)
                        if tags == wanted:
                            positions.append(position)
                        if not choose.randint(0, 5):
                            time.sleep(0.01)
                    if choose.randint(0, 4):
                        own.commit()
                        stored += positions
                    else:
                        own.rollback()
            return stored

        def work() -> list[tuple[int, int]]:
            """Handle what is handed out; partitions and positions."""
            handled = []
            with psycopg.connect(server_conninfo, autocommit=True) as own:
                seen = Store(own, store)
                while True:
                    last = written.is_set()
                    rows = seen.call("claim_partition", [run], "w", "1 minute")
                    if rows and rows[0][0] is not None:
                        lease = Lease(seen, *rows[0][:3])
                        positions = lease.work(max_count=7)
                        handled += [(lease.partition, each) for each in positions]
                    elif not rows and last:
                        return handled

        with ThreadPoolExecutor(WRITERS + WORKERS) as pool:
            workers = [pool.submit(work) for _ in range(WORKERS)]
            try:
                stored = [each for found in pool.map(write, range(WRITERS)) for each in found]
            finally:
                written.set()
            by_worker = [each.result(timeout=60) for each in workers]
        # A partition that one worker held last is free for the other one only at the end.
        by_worker.append(work())

    handled = [position for found in by_worker for _, position in found]
    assert len(stored) >= LEAST * WRITERS
    assert sorted(handled) == sorted(stored)
    for found in by_worker:
        for partition in range(partitions):
            order = [position for own, position in found if own == partition]
            assert all(before < after for before, after in pairwise(order))
