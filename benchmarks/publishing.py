"""Measure what a publisher costs writers: `python -m benchmarks.publishing`.

Four writers store single messages in streams of their own. In every other round `pgstore publish`
runs beside them. Each commit waits for the disk, as in production; `--no-fsync` leaves that out.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import psycopg

import pgstore
from benchmarks.payload import SAMPLE, TYPE
from pgstore import embedded

WRITERS = 4
ROUNDS = 24
SECONDS = 2.0
WRITE = f"SELECT pgstore.write_message(%s, '{TYPE}', '{SAMPLE}')"


@contextmanager
def publisher(conninfo: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-m", "pgstore", "publish", "--conninfo", conninfo],
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with psycopg.connect(conninfo, autocommit=True) as conn:
                while not published(conn):
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()


def published(conn: psycopg.Connection) -> bool:
    """Whether somebody has published within the last second."""
    (row,) = conn.execute("SELECT coalesce(pgstore.horizon_age() < '1 second', false)")
    return bool(row[0])


def rate(conninfo: str) -> float:
    """Messages a second of all writers together."""
    end = time.monotonic() + SECONDS
    written = [0] * WRITERS

    def write(number: int) -> None:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            while time.monotonic() < end:
                conn.execute(WRITE.encode(), [f"publishing-{number}"])
                written[number] += 1

    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(written) / SECONDS


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-fsync", action="store_true")
    arguments = parser.parse_args()
    settings = {"fsync": "off"} if arguments.no_fsync else {}
    with embedded.Server(settings=settings) as server:
        pgstore.install(server.conninfo)
        with_one: list[float] = []
        without: list[float] = []
        for number in range(2 * arguments.rounds):
            beside = number % 2 == 0
            with publisher(server.conninfo) if beside else nullcontext():
                (with_one if beside else without).append(rate(server.conninfo))
    ratios = [one / other for one, other in zip(with_one, without, strict=True)]
    print(f"beside a publisher: {statistics.median(with_one):,.0f} messages/s")
    print(f"without: {statistics.median(without):,.0f} messages/s")
    low, *_, high = statistics.quantiles(ratios, n=4)
    print(f"ratio: {statistics.median(ratios):.2f}, half of them {low:.2f} to {high:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
