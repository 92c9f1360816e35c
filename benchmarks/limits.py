"""Compare the store with the physical limit, in one run: `python -m benchmarks.limits`.

Every figure is a ratio to the same work done without pgstore on the same server with the same
settings (durable), the median of interleaved rounds. The raw table has the store's columns and
indexes.

- writes: write_message by pgbench, prepared statements, against a plain INSERT
- batches: write_many of 1,000 messages from Python against a binary COPY of ready bytes
- reads: a stream of 10,000 read and decoded, against psycopg with msgspec
- memory: peak of reading a stream of 10,000 and one of 1,000,000
"""

import argparse
import random
import re
import statistics
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import msgspec
import psycopg

import pgstore
from pgstore import embedded

STREAMS = 100_000
BATCH = 1_000
NOTE = "a payment of the usual kind, for the usual reasons, by the usual people"


class Deposited(msgspec.Struct):
    """A message of about 200 bytes of JSON."""

    amount: int
    currency: str
    reference: str
    note: str


def deposited() -> Deposited:
    return Deposited(100, "EUR", str(uuid4()), NOTE)


PAYLOAD = msgspec.json.encode(deposited()).decode()

RAW = """
CREATE TABLE bench.raw (LIKE bench.messages INCLUDING ALL);
CREATE SEQUENCE bench.raw_seq;
INSERT INTO bench.streams (stream_id, category_key, stream, category)
SELECT n, bench.category_key('account'), 'account-' || n, 'account'
FROM generate_series(1, %s) AS n;
SELECT setval('bench.stream_id_seq', %s);
VACUUM ANALYZE bench.streams;
"""

SCRIPTS = {
    "insert": f"""\
\\set stream random(1, {STREAMS})
\\set version random(1, 1000000000000)
INSERT INTO bench.raw
  (global_position, stream_id, version, category_key, added_at, message_id, type, data)
VALUES (nextval('bench.raw_seq'), :stream, :version, 1, clock_timestamp(), gen_random_uuid(),
  'Deposited', '{PAYLOAD}');
""",
    "write_message": f"""\
\\set stream random(1, {STREAMS})
SELECT * FROM bench.write_message('account-' || :stream, 'Deposited', '{PAYLOAD}',
  message_id => gen_random_uuid());
""",
}


class Bench:
    """A server, a store and a raw table beside it."""

    def __init__(self, server: embedded.Server, rounds: int, seconds: int) -> None:
        self.server = server
        self.rounds = rounds
        self.seconds = seconds
        self.conn = psycopg.connect(server.dsn, autocommit=True)
        self.store = pgstore.MessageStore[Deposited](server.dsn, name="bench", messages=Deposited)
        self.store.stream_version("none")  # installs it
        for statement in RAW.split(";\n"):
            if statement.strip():
                count = statement.count("%s")
                self.conn.execute(statement, (STREAMS,) * count or None)

    def writes(self, clients: int) -> float:
        with TemporaryDirectory() as folder:
            rates: dict[str, list[float]] = {name: [] for name in SCRIPTS}
            for name, script in SCRIPTS.items():
                (Path(folder) / name).write_text(script)
            for _ in range(self.rounds):
                for name, found in rates.items():
                    found.append(self._pgbench(Path(folder) / name, clients))
        return report(f"single writes, {clients} clients, messages/s", rates, higher=True)

    def _pgbench(self, script: Path, clients: int) -> float:
        done = subprocess.run(
            [
                self.server.bin / "pgbench",
                *("-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2))),
                *("-T", str(self.seconds), "-f", str(script), self.server.dsn),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        found = re.search(r"tps = ([\d.]+)", done.stdout)
        assert found, done.stdout
        return float(found.group(1))

    def batches(self) -> float:
        messages = [deposited() for _ in range(BATCH)]
        ready = [msgspec.json.encode(message) for message in messages]
        times = self._timed(
            {
                "binary COPY": lambda: self._copy(ready),
                "write_many": lambda: self.store.write_many(f"batch-{uuid4()}", messages),
            },
            self.rounds * 10,
        )
        return report(f"batches of {BATCH}, ms", times, higher=False)

    def _copy(self, ready: list[bytes]) -> None:
        position = random.randrange(10**12, 10**18, BATCH)
        rows = bytearray(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for version, payload in enumerate(ready, 1):
            numbers = (position + version, position, version, 1, 0)
            rows += struct.pack("!h", 8) + b"".join(struct.pack("!iq", 8, n) for n in numbers)
            rows += struct.pack("!i", 16) + uuid4().bytes + struct.pack("!i9s", 9, b"Deposited")
            rows += struct.pack("!iB", len(payload) + 1, 1) + payload
        rows += b"\xff\xff"
        columns = "global_position, stream_id, version, category_key, added_at, message_id, type"
        with self.conn.transaction(), self.conn.cursor() as cursor:  # noqa: SIM117
            with cursor.copy(
                f"COPY bench.raw ({columns}, data) FROM STDIN (FORMAT BINARY)"
            ) as copy:
                copy.write(bytes(rows))

    def reads(self) -> float:
        self._fill("read-1", 10_000)
        decode = msgspec.json.Decoder(Deposited).decode
        statement = """
            SELECT m.message_id, s.stream, m.version, m.global_position, m.type, m.data::text,
              m.metadata::text, m.added_at
            FROM bench.messages AS m JOIN bench.streams AS s USING (stream_id)
            WHERE s.stream = 'read-1' ORDER BY m.version"""

        def plain() -> int:
            with self.conn.cursor(binary=True) as cursor:
                rows = cursor.execute(statement, prepare=True)
                return len([(*row, decode(row[5])) for row in rows])

        times = self._timed(
            {"psycopg + msgspec": plain, "read": lambda: len(list(self.store.read("read-1")))},
            self.rounds * 5,
        )
        return report("read and decode a stream of 10,000, ms", times, higher=False)

    def memory(self) -> float:
        self._fill("read-2", 1_000_000)
        peaks = []
        for stream in ("read-1", "read-2"):
            tracemalloc.start()
            for _ in self.store.read(stream):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        print(f"peak memory of a read, 10,000 and 1,000,000 messages: {peaks} bytes")
        return peaks[1] / peaks[0]

    def _fill(self, stream: str, count: int) -> None:
        while (version := self.store.stream_version(stream)) < count:
            messages = [deposited() for _ in range(min(10_000, count - version))]
            self.store.write_many(stream, messages, expected_version=version)

    def _timed(self, work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {name: [] for name in work}
        for turn in range(rounds + 3):
            for name, run in work.items():
                start = time.perf_counter()
                run()
                if turn >= 3:  # the first ones warm up
                    times[name].append((time.perf_counter() - start) * 1000)
        return times


def report(title: str, figures: dict[str, list[float]], *, higher: bool) -> float:
    """Print medians, and pgstore's share of the limit: the median of the rounds' ratios."""
    limit, ours = figures.values()
    ratio = statistics.median(b / a if higher else a / b for a, b in zip(limit, ours, strict=True))
    medians = ", ".join(f"{name} {statistics.median(each):,.1f}" for name, each in figures.items())
    print(f"{title}: {medians}: {ratio:.2f} of the limit", flush=True)
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each pgbench run")
    arguments = parser.parse_args()
    settings = {"shared_buffers": "512MB", "max_wal_size": "8GB", "max_connections": "100"}
    with embedded.Server(settings=settings) as server:
        bench = Bench(server, arguments.rounds, arguments.seconds)
        bench.writes(1)
        bench.writes(16)
        bench.batches()
        bench.reads()
        growth = bench.memory()
        print(f"memory of a read, 1,000,000 against 10,000 messages: {growth:.2f}")
        bench.store.close()
        bench.conn.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
