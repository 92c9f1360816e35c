"""Export and import 1,000,000 messages, in one run: `python -m benchmarks.transfer`.

The messages have about 200 bytes of JSON each and are of 100,000 streams, in the worst order: the
messages that stand together are all of different streams (`--burst 10` puts 10 of a stream after
one another). They are exported, and imported into an empty store, in turns with a plain COPY of the
same rows, in a format that is COPY's own, into a table with the columns and indexes of `messages`.
The figures are medians of the rounds; the import's ratio is to COPY, of the same round.

Then an import is killed half-way and run again, and a file with one altered byte is refused.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg.rows import TupleRow

import pgstore
from pgstore import embedded, transfer

NOTE = "a payment of the usual kind, for the usual reasons, by the usual people"

FILL = """
INSERT INTO old.streams (stream_id, category_key, stream, category)
SELECT n, old._category_key('account'), 'account-' || n, 'account'
FROM generate_series(1, {streams}) AS n;
INSERT INTO old.messages (
  global_position, stream_id, version, category_key, added_at, message_id, type, data, metadata
)
SELECT
  n, stream_id, row_number() OVER (PARTITION BY stream_id ORDER BY n), old._category_key('account'),
  timestamptz '2026-01-01' + n * interval '0.1 s', gen_random_uuid(), 'Deposited',
  jsonb_build_object(
    'amount', n, 'currency', 'EUR', 'reference', gen_random_uuid(), 'note', '{note}'
  ),
  CASE WHEN n % 2 = 0 THEN jsonb '{{"user": "Ada"}}' END
FROM (
  SELECT n, 1 + (n / {burst} * 7919) % {streams} AS stream_id
  FROM generate_series(bigint '1', {messages}) AS n
) AS g
ORDER BY n;
SELECT setval('old.global_position_seq', {messages}), setval('old.stream_id_seq', {streams});
VACUUM ANALYZE old.messages;
VACUUM ANALYZE old.streams
"""

CHECKSUM = """
SELECT md5(string_agg(md5(a::text), '' ORDER BY a.global_position)) FROM {}.all_messages AS a
"""

IMPORT = """
import sys, psycopg
from pgstore import transfer
conninfo, path = sys.argv[1:]
with psycopg.connect(conninfo, autocommit=True) as conn:
    print(transfer.import_from(conn, transfer.FileSource(path), store="new"))
"""


class Bench:
    """A server with a store of messages, and a folder for files."""

    def __init__(self, server: embedded.Server, folder: Path, messages: int) -> None:
        self.conninfo = server.conninfo
        self.file = folder / "messages.jsonl"
        self.rows = folder / "messages.copy"
        self.messages = messages
        self.conn: psycopg.Connection[TupleRow] = psycopg.connect(server.conninfo, autocommit=True)
        pgstore.install(self.conninfo, store="old")

    def fill(self, streams: int, burst: int) -> None:
        text = FILL.format(messages=self.messages, streams=streams, burst=burst, note=NOTE)
        for statement in text.split(";\n"):
            self.conn.execute(statement.encode())
        with self.rows.open("wb") as file, self.conn.cursor() as cursor:  # noqa: SIM117
            with cursor.copy("COPY old.messages TO STDOUT") as copy:
                for block in copy:
                    file.write(block)

    def export(self) -> None:
        transfer.export_file(self.conn, self.file, store="old", overwrite=True)

    def copy(self) -> None:
        with self.rows.open("rb") as file, self.conn.cursor() as cursor:  # noqa: SIM117
            with cursor.copy("COPY plain FROM STDIN") as copy:
                while block := file.read(1 << 18):
                    copy.write(block)

    def take(self) -> None:
        done = transfer.import_from(self.conn, transfer.FileSource(self.file), store="new")
        assert done.imported == self.messages, done

    def empty(self) -> None:
        """Make the targets anew, and get what was written before out of the way."""
        self.conn.execute("DROP TABLE IF EXISTS plain")
        self.conn.execute("DROP SCHEMA IF EXISTS new CASCADE")
        self.conn.execute("CREATE TABLE plain (LIKE old.messages INCLUDING ALL)")
        pgstore.install(self.conninfo, store="new")
        self.conn.execute("CHECKPOINT")

    def compare(self) -> None:
        """Verify the imported store, and compare its content with the exported one's."""
        started = time.perf_counter()
        checks = transfer.verify(self.conn, store="new")
        assert not any(check.wrong for check in checks), checks
        print(f"verify: {len(checks)} checks, nothing wrong, {seconds(started)}")
        old, new = (
            self.conn.execute(CHECKSUM.format(name).encode()).fetchone() for name in ("old", "new")
        )
        assert old == new, (old, new)
        print(f"content of both stores: {old[0] if old else None}", flush=True)

    def kill(self) -> None:
        """Kill an import when half of it is done, and run it again."""
        self.empty()
        process = subprocess.Popen([sys.executable, "-c", IMPORT, self.conninfo, self.file])
        while (count := self.count()) < self.messages / 2 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"killed when {count:,} were there")
        started = time.perf_counter()
        done = transfer.import_from(self.conn, transfer.FileSource(self.file), store="new")
        print(f"run again: {done}, {seconds(started)}")
        self.compare()

    def count(self) -> int:
        row = self.conn.execute("SELECT max(global_position) FROM new.messages").fetchone()
        return (row and row[0]) or 0

    def damage(self) -> None:
        """Alter a byte of the last messages: the file is refused, and nothing is written."""
        self.empty()
        with self.file.open("rb+") as file:
            file.seek(-1000, os.SEEK_END)
            place = file.tell() + file.read().rindex(b"usual")
            file.seek(place)
            file.write(b"U")
        try:
            self.take()
        except transfer.FileRefusedError as error:
            print(f"one byte altered: {error}; {self.count()} messages imported")
        else:
            raise AssertionError("an altered file was imported")


def seconds(started: float) -> str:
    return f"{time.perf_counter() - started:.1f} s"


def timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--burst", type=int, default=1, help="messages of a stream in a row")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    settings = {"shared_buffers": "512MB", "max_wal_size": "8GB"}
    with embedded.Server(settings=settings) as server, TemporaryDirectory() as folder:
        bench = Bench(server, Path(folder), given.messages)
        bench.fill(given.streams, given.burst)
        figures: dict[str, list[float]] = {"export": [], "COPY": [], "import": []}
        for _ in range(given.rounds):
            bench.empty()
            for name, work in zip(figures, (bench.export, bench.copy, bench.take), strict=True):
                figures[name].append(timed(work))
        for name, found in figures.items():
            median = statistics.median(found)
            rate = given.messages / median
            print(f"{name}: {median:.1f} s, {rate:,.0f} messages/s")
        ratios = [b / a for a, b in zip(figures["COPY"], figures["import"], strict=True)]
        print(f"import: {statistics.median(ratios):.2f} times COPY", flush=True)
        bench.compare()
        bench.kill()
        bench.damage()
        bench.conn.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
