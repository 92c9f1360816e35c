"""Delete old messages while others work: `python -m benchmarks.retention`.

A store has many old messages, 8 processes write, and two subscriptions run: one that began at the
end, and one that began at the beginning and crosses what is being deleted. The writers' rate is
taken before, while `apply_retention` is called again and again, with a pause of four times the
call's length, and after. At the end nothing young may be gone, and no subscription may have missed
or repeated any of it.
"""

import argparse
import multiprocessing
import statistics
import sys
import threading
import time
from multiprocessing.synchronize import Event
from typing import Any

import psycopg

import pgstore
from benchmarks.payload import SAMPLE, Deposited, deposited
from pgstore import embedded

STREAMS = 20_000
WRITERS = 8
FORK = multiprocessing.get_context("fork")

FILL = """
INSERT INTO pgstore.streams (stream_id, category_key, stream, category)
SELECT
  nextval('pgstore.stream_id_seq'), pgstore._category_key('account'), 'account-' || n, 'account'
FROM generate_series(1, {streams}) AS n;
INSERT INTO pgstore.messages
  (global_position, stream_id, version, category_key, added_at, message_id, type, data)
SELECT nextval('pgstore.global_position_seq'), 1 + n % {streams}, 1 + n / {streams},
  pgstore._category_key('account'), now() - interval '100 days', pgstore.new_message_id(),
  'Deposited', '{sample}'
FROM generate_series(0, {count} - 1) AS n;
"""


def write(conninfo: str, seed: int, stop: Event, written: Any) -> None:
    with pgstore.MessageStore[Deposited](conninfo, messages=Deposited) as store:
        number = seed
        while not stop.is_set():
            number = (number * 48271 + 11) % 2147483647
            store.write(f"account-{1 + number % STREAMS}", deposited(number))
            with written.get_lock():
                written.value += 1


def subscribe(conninfo: str, name: str, start: Any, stop: Event, young_after: int) -> None:
    """Note the positions of young messages in a table, exactly once each."""
    with pgstore.MessageStore[Deposited](conninfo, messages=Deposited) as store:
        subscription = store.subscription(
            name, category="account", partitions=4, start=start, batch_size=500
        )

        @subscription.batch_handler
        def note(
            batch: list[pgstore.StoredMessage[Deposited]], tx: psycopg.Connection[Any]
        ) -> None:
            young = [each.global_position for each in batch if each.global_position > young_after]
            tx.execute("INSERT INTO seen SELECT %s, unnest(%s::bigint[])", (name, young))

        def end() -> None:
            stop.wait()
            while subscription.position() < store.safe_position():
                time.sleep(0.05)
            store.stop()

        threading.Thread(target=end, daemon=True).start()
        store.run(subscription)


def rate(written: Any, seconds: float) -> float:
    before, start = written.value, time.monotonic()
    time.sleep(seconds)
    return float((written.value - before) / (time.monotonic() - start))


def delete(conn: psycopg.Connection[Any], written: Any) -> tuple[int, float, list[float]]:
    """How many were deleted, the writers' rate meanwhile, and how long each call took."""
    deleted, calls = 0, []
    before, start, more = written.value, time.monotonic(), True
    while more:
        called = time.monotonic()
        row = conn.execute("SELECT deleted, more FROM pgstore.apply_retention(1000)").fetchone()
        assert row is not None
        calls.append(time.monotonic() - called)
        deleted, more = deleted + row[0], row[1]
        time.sleep(4 * calls[-1])
    return deleted, (written.value - before) / (time.monotonic() - start), calls


def run(conninfo: str, count: int, seconds: float) -> bool:
    pgstore.install(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in FILL.format(streams=STREAMS, count=count, sample=SAMPLE).split(";\n")[:2]:
            conn.execute(statement.encode())
        conn.execute("CREATE TABLE seen (name text, position bigint)")
        conn.execute("VACUUM ANALYZE")
        conn.execute(
            "SELECT pgstore.set_retention('account', max_age => '30 days', keep_unhandled => false)"
        )
        stop, ended, written = FORK.Event(), FORK.Event(), FORK.Value("q", 0)
        writers = [
            FORK.Process(target=write, args=(conninfo, seed, stop, written))
            for seed in range(WRITERS)
        ]
        readers = [
            FORK.Process(target=subscribe, args=(conninfo, name, name, ended, count))
            for name in ("beginning", "end")
        ]
        for process in writers + readers:
            process.start()
        rate(written, 3)
        before = rate(written, seconds)
        deleted, during, calls = delete(conn, written)
        after = rate(written, seconds)
        stop.set()
        for process in writers:
            process.join()
        ended.set()
        for process in readers:
            process.join(120)
        found = conn.execute(
            "SELECT (SELECT count(*) FROM pgstore.messages),"
            " (SELECT count(*) FROM pgstore.messages WHERE added_at < now() - interval '50 days'),"
            " (SELECT count(*) FROM seen WHERE name = 'beginning'),"
            " (SELECT count(DISTINCT position) FROM seen WHERE name = 'beginning'),"
            " (SELECT count(*) FROM (SELECT global_position FROM pgstore.messages EXCEPT"
            "  SELECT position FROM seen WHERE name = 'beginning') AS m),"
            " (SELECT count(*) - count(DISTINCT position) FROM seen WHERE name = 'end')"
        ).fetchone()
        wrong = conn.execute(
            "SELECT check_name, wrong, example FROM pgstore.verify_store() WHERE wrong > 0"
        ).fetchall()
    assert found is not None
    young, old, handled, distinct, missed, doubled = found
    print(
        f"deleted {deleted:,} in {len(calls)} calls, each {statistics.median(calls) * 1000:.0f} ms,"
    )
    print(f"at most {max(calls) * 1000:.0f} ms; {WRITERS} writers made")
    print(f"before {before:,.0f}/s, meanwhile {during:,.0f}/s, after {after:,.0f}/s:")
    print(f"{during / statistics.mean((before, after)):.2f} of the mean of before and after")
    print(f"written {written.value:,}, young stored {young:,}, old left {old:,}")
    print(f"handled {handled:,}, of them different {distinct:,}, missed {missed}, twice {doubled}")
    print(f"verify: {wrong or 'nothing wrong'}")
    return (young, old, handled, missed, doubled) == (
        written.value,
        0,
        distinct,
        0,
        0,
    ) and not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=15)
    given = parser.parse_args()
    settings = {"shared_buffers": "1GB", "max_wal_size": "8GB"}
    with embedded.Server(settings=settings) as server:
        return int(not run(server.conninfo, given.messages, given.seconds))


if __name__ == "__main__":
    sys.exit(main())
