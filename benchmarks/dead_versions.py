"""Measure three ways to publish a position: `python -m benchmarks.dead_versions`.

A snapshot is held meanwhile, as a standby with `hot_standby_feedback` holds one for a long query.
So the server keeps all dead versions: of a row that stays the same, or of one whose key rises. A
sequence has none. Each change is a transaction of its own, in a loop within the server.
"""

import argparse
import sys

import psycopg

from pgstore import embedded

WAYS = {
    "row with a constant key": (
        "CREATE TABLE constant (id integer PRIMARY KEY, position bigint);"
        " INSERT INTO constant VALUES (1, 0)",
        "UPDATE constant SET position = position + 1 WHERE id = 1",
        "SELECT c.position FROM constant AS c WHERE c.id = 1",
        "pg_total_relation_size('constant')",
    ),
    "row with a rising key": (
        "CREATE TABLE rising (position bigint PRIMARY KEY); INSERT INTO rising VALUES (0)",
        "UPDATE rising SET position = position + 1"
        " WHERE position = (SELECT r.position FROM rising AS r ORDER BY r.position DESC LIMIT 1)",
        "SELECT r.position FROM rising AS r ORDER BY r.position DESC LIMIT 1",
        "pg_total_relation_size('rising')",
    ),
    "sequence that is set": (
        "CREATE SEQUENCE told",
        "PERFORM setval('told', 1 + (SELECT s.last_value FROM told AS s))",
        "SELECT s.last_value FROM told AS s",
        "pg_relation_size('told')",
    ),
}
CHANGES = (10_000, 60_000)
LOOKS = 1_000
LOOP = "DO $$ BEGIN FOR n IN 1..{count} LOOP {change}; COMMIT; END LOOP; END $$"
LOOK = """
DO $$
DECLARE
  begun timestamptz := clock_timestamp();
  found bigint;
BEGIN
  FOR n IN 1..{count} LOOP
    EXECUTE {look};
  END LOOP;
  PERFORM set_config('benchmark.took', (clock_timestamp() - begun)::text, false);
END
$$
"""

Connection = psycopg.Connection[tuple[object, ...]]


def took(conn: Connection, look: str) -> float:
    """Microseconds of a look, in a loop within the server."""
    literal = psycopg.sql.Literal(look).as_string()
    conn.execute(LOOK.format(count=LOOKS, look=literal).encode())
    (row,) = conn.execute(
        "SELECT 1e6 * extract(epoch FROM current_setting('benchmark.took')::interval)"
    )
    return float(str(row[0])) / LOOKS


def blocks(conn: Connection, look: str) -> int:
    """Pages that a look reads."""
    ((plan,),) = conn.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {look}".encode())
    root = plan[0]["Plan"]  # type: ignore[index]
    return int(root["Shared Hit Blocks"]) + int(root["Shared Read Blocks"])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--changes", type=int, nargs="+", default=CHANGES)
    arguments = parser.parse_args()
    settings = {"synchronous_commit": "off", "autovacuum": "off"}
    with (
        embedded.Server(settings=settings) as server,
        psycopg.connect(server.conninfo, autocommit=True) as conn,
        psycopg.connect(server.conninfo) as holding,
    ):
        for made, *_ in WAYS.values():
            conn.execute(made.encode())
        holding.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holding.execute("SELECT count(*) FROM constant, rising")
        for name, (_, change, look, size) in WAYS.items():
            done = 0
            for changes in arguments.changes:
                conn.execute(LOOP.format(count=changes - done, change=change).encode())
                done = changes
                ((bytes_of_it,),) = conn.execute(f"SELECT {size}".encode())
                print(
                    f"{name}, {changes:,} changes: a look {took(conn, look):,.0f} µs,"
                    f" {blocks(conn, look)} blocks; {int(str(bytes_of_it)) / 1e6:.1f} MB",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
