"""Measure what the gates save readers and cost writers: `python -m benchmarks.gates`.

Two stores are on one server: one as it is, and one in which readers look at `pg_locks` each time
and writers enter no gate. Loops within the server call both in turn. `max_connections` is 100 and
1,000, because `pg_locks` walks over the slots of all sessions that there may be. Writers commit
without waiting for the disk, which would hide their cost; they write to streams of their own. The
figures are processor time of the server's processes: other programs change it little. Linux only.
"""

import argparse
import re
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

import pgstore
from benchmarks.payload import SAMPLE, TYPE
from pgstore import embedded

STORES = ("gates", "marks")
CONNECTIONS = (100, 1000)
CLIENTS = (1, 8)
CALLS, WRITES = 200, 100

LOOK = "PERFORM h.safe_position FROM STORE.horizon() AS h;"
WRITE = (
    f"PERFORM w.version FROM STORE.write_message('a-NUMBER', '{TYPE}', '{SAMPLE}') AS w; COMMIT;"
)
LOOP = "DO $$ BEGIN FOR n IN 1..{count} LOOP {call} END LOOP; END $$"

Connection = psycopg.Connection[TupleRow]


def without_gates(conn: Connection) -> None:
    """Make the store `marks` as stores were before they had gates."""
    ((text,),) = conn.execute("SELECT pg_get_functiondef('marks._enter_flight'::regproc)")
    text, found = re.subn(r" OR \(pg_advisory_xact_lock_shared\(marks\._gate.*?IS NULL\)", "", text)
    assert found == 1
    conn.execute(text.encode())
    conn.execute("ALTER SEQUENCE marks.gate_trust_seq RESTART")
    conn.execute(
        "CREATE OR REPLACE FUNCTION marks._trust_gates() RETURNS void LANGUAGE plpgsql AS"
        " $$ BEGIN END $$"
    )


def took(conn: Connection, call: str, count: int) -> float:
    """Microseconds of processor time that a call takes the server, in a loop within it."""
    before = processor_time(conn)
    conn.execute(LOOP.format(call=call, count=count).encode())
    return (processor_time(conn) - before) / count / 1000


def processor_time(conn: Connection) -> int:
    """Nanoseconds that the server's process of a connection has run."""
    return int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0])


def compare(conns: list[Connection], call: str, count: int, rounds: int) -> None:
    """Print the medians of both stores, and of the ratios of each round."""
    found: dict[str, list[float]] = {name: [] for name in STORES}
    with ThreadPoolExecutor(len(conns)) as threads:
        for number in range(rounds):
            for name in STORES if number % 2 else reversed(STORES):
                each = [
                    threads.submit(
                        took, conn, call.replace("STORE", name).replace("NUMBER", str(n)), count
                    )
                    for n, conn in enumerate(conns)
                ]
                found[name].append(statistics.mean(future.result() for future in each))
    ratios = [one / other for one, other in zip(found["gates"], found["marks"], strict=True)]
    medians = ", ".join(f"{name} {statistics.median(found[name]):.1f} µs" for name in STORES)
    print(f"{medians}, ratio {statistics.median(ratios):.3f}", flush=True)


def run(conninfo: str, rounds: int) -> None:
    for name in STORES:
        pgstore.install(conninfo, store=name)
    conns = [psycopg.connect(conninfo, autocommit=True) for _ in range(max(CLIENTS) + 1)]
    without_gates(conns[0])
    for conn in conns:
        conn.execute("SET synchronous_commit = off")
    print("  horizon(), nobody writes: ", end="")
    compare(conns[:1], LOOK, CALLS, rounds)
    writer = conns.pop()
    writer.execute("BEGIN")
    for name in STORES:
        writer.execute(f"SELECT {name}.write_message('b-1', 'T', '1')".encode())
    print("  horizon(), a writer is in flight: ", end="")
    compare(conns[:1], LOOK, CALLS, rounds)
    writer.execute("ROLLBACK")
    for count in CLIENTS:
        print(f"  write_message(), {count} at once: ", end="")
        compare(conns[:count], WRITE, WRITES, rounds)
    for conn in [*conns, writer]:
        conn.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    for connections in CONNECTIONS:
        print(f"max_connections {connections}:")
        with embedded.Server(settings={"max_connections": str(connections)}) as server:
            run(server.conninfo, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
