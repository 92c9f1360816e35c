"""Measure the price of a projection in the writer's transaction: `python -m benchmarks.inline`.

Writers write single messages to streams of their own, in four ways in turn, each for a moment:
alone, in a transaction, in one that changes a row of the stream's own, and in one that changes a
row that all streams share. The server flushes each commit to the disk.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psycopg

import pgstore
from pgstore import embedded

WRITERS = (1, 8)
WAYS = ("write", "transaction", "row of the stream", "row of all")
TABLES = """
CREATE TABLE totals (name text PRIMARY KEY, total bigint NOT NULL) WITH (fillfactor = 50)
"""
ADD = """
INSERT INTO totals AS t VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET total = t.total + excluded.total
"""


class Added(msgspec.Struct):
    amount: int


def writers(store: pgstore.MessageStore[Added]) -> dict[str, Callable[[str], None]]:
    """What writes one message to a stream, by the way."""

    def alone(stream: str) -> None:
        store.write(stream, Added(1))

    def in_transaction(stream: str) -> None:
        with store.transaction() as conn:
            store.write(stream, Added(1), conn=conn)

    def inline(name: str, *, shared: bool) -> Callable[[str], None]:
        totals = store.subscription(name)

        @totals.handler
        def add(stored: pgstore.StoredMessage[Added], tx: psycopg.Connection) -> None:
            tx.execute(ADD, ["all" if shared else stored.stream, stored.message.amount])

        def write(stream: str) -> None:
            with store.transaction() as conn:
                written = store.write(stream, Added(1), conn=conn)
                version = written.version
                totals.apply(store.read(stream, from_version=version, conn=conn), conn)

        return write

    ways = (alone, in_transaction, inline("own", shared=False), inline("all", shared=True))
    return dict(zip(WAYS, ways, strict=True))


def rate(write: Callable[[str], None], count: int, seconds: float) -> float:
    """Messages a second of so many writers."""

    def work(number: int) -> int:
        written, until = 0, time.monotonic() + seconds
        while time.monotonic() < until:
            write(f"a-{number}")
            written += 1
        return written

    with ThreadPoolExecutor(count) as threads:
        return sum(threads.map(work, range(count))) / seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    with embedded.Server() as server:
        with psycopg.connect(server.conninfo) as conn:
            conn.execute(TABLES)
        with pgstore.MessageStore[Added](server.conninfo, messages=Added) as store:
            ways = writers(store)
            for count in WRITERS:
                found: dict[str, list[float]] = {way: [] for way in WAYS}
                for _ in range(given.rounds):
                    for way in WAYS:
                        found[way].append(rate(ways[way], count, given.seconds))
                for way in WAYS:
                    pairs = zip(found[way], found["write"], strict=True)
                    ratio = statistics.median(one / other for one, other in pairs)
                    median = statistics.median(found[way])
                    print(f"{count} writers, {way}: {median:.0f}/s, {ratio:.2f} of write")
    return 0


if __name__ == "__main__":
    sys.exit(main())
