"""Databases with many tagged messages, made by SQL: as if the messages had been written."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

import pgstore
from benchmarks.conditions.ways import EARLIER, PLACES, STREAMS
from benchmarks.contenders.raw import TABLES
from benchmarks.payload import SAMPLE, TYPE
from benchmarks.server import Server

# A message has a tag that 10 messages have, and one that few or many have.
FILL = """
INSERT INTO pgstore.streams (stream_id, category_key, stream, category)
SELECT n, pgstore._category_key('account'), 'account-' || n, 'account'
FROM generate_series(1, {streams}) AS n;
INSERT INTO pgstore.messages (global_position, stream_id, version, category_key, added_at,
  message_id, type, data, tags)
SELECT n, 1 + (n - 1) % {streams}, 1 + (n - 1) / {streams}, pgstore._category_key('account'),
  clock_timestamp(), uuidv7(), '{type}', '{data}',
  ARRAY['course:' || n / 10, 'student:' || n % {students}]
FROM generate_series(1, {count}) AS n;
INSERT INTO pgstore.message_tags (tag_key, global_position)
SELECT pgstore._tag_key(t.tag), m.global_position
FROM pgstore.messages AS m CROSS JOIN unnest(m.tags) AS t (tag);
SELECT setval('pgstore.stream_id_seq', {streams}), setval('pgstore.global_position_seq', {count});
"""
COLUMNS = "global_position, stream_id, version, category_key, added_at, message_id, type, data"
COPY = f"""
INSERT INTO {{schema}}.messages ({COLUMNS}) SELECT {COLUMNS} FROM pgstore.messages;
SELECT setval('{{schema}}.{{positions}}', {{count}});
"""
COPY_STREAMS = f"""
INSERT INTO {EARLIER}.streams (stream_id, category_key, stream, category)
SELECT stream_id, category_key, stream, category FROM pgstore.streams;
SELECT setval('{EARLIER}.stream_id_seq', {STREAMS});
"""
INSTALL = f"import pgstore, sys; pgstore.install(sys.argv[1], store='{EARLIER}')"

STORED = {
    "pgstore": ("pgstore.messages", "global_position"),
    EARLIER: (f"{EARLIER}.messages", "global_position"),
    "raw": ("raw.messages", "global_position"),
    "eventsourcing": ("dcb_events_tt_main", "id"),
}
OVERBOOKED = """
SELECT count(*)
FROM (
  SELECT t.tag
  FROM {table} AS m CROSS JOIN unnest(m.tags) AS t (tag)
  WHERE m.{position} > {count} AND t.tag LIKE 'course:%-%'
  GROUP BY t.tag
  HAVING count(*) > {places}
) AS t
"""


def new_database(server: Server, count: int, before: Path | None) -> str:
    """Make a database with our stores, empty; how to reach it over TCP."""
    name = f"conditions_{count}"
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    address = server.over_tcp(name)
    pgstore.install(address)
    if before is not None:
        install_earlier(address, before)
    return address


def fill(address: str, count: int, before: Path | None) -> None:
    """Store so many messages in each of our stores."""
    students = max(1, count // 10)
    with psycopg.connect(address, autocommit=True) as conn:
        filled = {"streams": STREAMS, "type": TYPE, "data": SAMPLE, "students": students}
        conn.execute(FILL.format(count=count, **filled).encode())
        conn.execute(TABLES.encode())
        conn.execute(COPY.format(schema="raw", positions="positions", count=count).encode())
        if before is not None:
            conn.execute(COPY_STREAMS.encode())
            positions = "global_position_seq"
            conn.execute(COPY.format(schema=EARLIER, positions=positions, count=count).encode())


def install_earlier(address: str, checkout: Path) -> None:
    """Install the store of another checkout beside ours, by its own package."""
    subprocess.run(
        [sys.executable, "-c", INSTALL, address],
        check=True,
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
    )


def settle(address: str) -> None:
    """Bring the statistics up to date, and have nothing left to flush."""
    with psycopg.connect(address, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")
        conn.execute("CHECKPOINT")


def drop(server: Server, address: str) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        name = sql.Identifier(str(conninfo_to_dict(address)["dbname"]))
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def wrong(address: str, store: str, filled: int, written: int) -> str | None:
    """What is wrong with what a store holds after clients have written so many messages to it."""
    table, position = STORED[store]
    with psycopg.connect(address, autocommit=True) as conn:
        (found,) = conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)
        if found != filled + written:
            return f"{found - filled} stored of {written} written"
        if store in (EARLIER, "raw"):
            return None
        query = OVERBOOKED.format(table=table, position=position, count=filled, places=PLACES)
        (overbooked,) = conn.execute(query.encode()).fetchone() or (0,)
    return f"{overbooked} tags have more than {PLACES} messages" if overbooked else None
