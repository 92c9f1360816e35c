"""Each driver's program does what it says, as the store and the tables have it afterwards."""

import json
import os
import subprocess
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.languages.conftest import Database
from tests.languages.drivers import DRIVERS, OPERATIONS, Driver
from tests.skips import skip

NOTE = 'It\'s "5 €"'
STORED: list[TupleRow] = [
    ("account-1", 1, "Opened", {"owner": "Ann"}, None),
    ("account-1", 2, "Deposited", {"amount": 10}, None),
    ("account-1", 3, "Withdrawn", {"amount": 5}, None),
    ("account-1", 4, "Deposited", {"amount": 20}, None),
    ("account-1", 5, "Noted", {"text": NOTE}, None),
    ("booking-1", 1, "Booked", {"seat": 7}, ["seat-7"]),
    ("account-2", 1, "Opened", {"owner": "Bo"}, None),
]
BELLS = """
SELECT count(*) FROM pg_locks AS l
WHERE l.locktype = 'advisory' AND l.objsubid = 2
  AND l.classid = (bank._bell_lock_class()::bigint & 4294967295)::oid
"""


def answers(driver: Driver, folder: Path, database: Database) -> dict[str, dict[str, Any]]:
    """Run a program; its lines by their operations."""
    done = subprocess.run(
        driver.run,
        cwd=folder,
        env=os.environ | database.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("ERROR:")) == (0, driver.errors), done.stderr
    assert driver.errors or done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line.pop("operation"): line for line in lines}


def expected(rows: list[TupleRow]) -> dict[str, dict[str, Any]]:
    """What a program answers on a store that has these rows."""
    place = {(row[0], row[1]): {"version": row[1], "global_position": row[5]} for row in rows}
    account = [row for row in rows if row[0] == "account-1"]
    detail = {"stream": "account-1", "expected_version": 1, "actual_version": 2}
    new = rows[-1]
    return {
        "write": place["account-1", 1],
        "expected version": {"version": 2, "sqlstate": "MS001", "detail": detail},
        "retry": {"first": place["account-1", 3], "again": place["account-1", 3]},
        "batch": place["account-1", 5],
        "condition": place["booking-1", 1] | {"sqlstate": "MS009"},
        "read stream": {
            "messages": [{"version": row[1], "type": row[2], "data": row[3]} for row in account]
        },
        "follow": {"positions": [row[5] for row in rows[:-1]]},
        "consume": {"handled": [row[5] for row in account], "lost": "MS020"},
        "listen": {"notified": True, "messages": [(new[5], new[6])]},
    }


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.program)
def test_program_does_what_it_says(
    driver: Driver, builds: dict[str, Future[Path]], database: Database
) -> None:
    if driver.language not in builds:
        skip(driver.language)
    told = answers(driver, builds[driver.language].result(), database)
    if driver.program.startswith("psql"):
        assert told.pop("notification") == {}
    assert list(told) == OPERATIONS
    told["listen"]["messages"] = [
        (message["global_position"], message["message_id"])
        for message in told["listen"]["messages"]
    ]
    with psycopg.connect(database.conninfo) as conn:
        rows = conn.execute(
            "SELECT stream, version, type, data, tags, global_position, message_id::text"
            " FROM bank.all_messages ORDER BY global_position"
        ).fetchall()
        assert [row[:5] for row in rows] == STORED
        assert told == expected(rows)
        # The handler of one message ran twice, and has had its effect once.
        assert conn.execute("SELECT last_value FROM attempts").fetchall() == [(2,)]
        mails = conn.execute(
            "SELECT global_position, message_id::text FROM mails ORDER BY global_position"
        )
        assert mails.fetchall() == [row[5:] for row in rows if row[0] == "account-1"]
        assert conn.execute("SELECT bank.subscription_position('mails')").fetchall() == [
            (rows[-2][5],)
        ]
        assert conn.execute(BELLS).fetchall() == [(0,)]


# What a driver gets of a claim whose messages the filters leave out, and a server that then fails.
FAILING = """
CREATE OR REPLACE FUNCTION bank.claim_batch_json(
  subscriptions text[], worker text, lease_seconds double precision DEFAULT 30,
  max_count bigint DEFAULT 100
) RETURNS json LANGUAGE sql AS $$
  SELECT '{"state": "claimed", "subscription": "mails", "partition": 0, "token": 1,
    "checkpoint": 7, "parked": false, "messages": []}'::json
$$;
CREATE OR REPLACE FUNCTION bank.claim_batch(
  subscriptions text[], worker text, lease interval DEFAULT '30 seconds',
  max_count bigint DEFAULT 100,
  OUT subscription text, OUT partition bigint, OUT token bigint, OUT message_id uuid,
  OUT stream text, OUT version bigint, OUT global_position bigint, OUT type text, OUT data jsonb,
  OUT metadata jsonb, OUT added_at timestamptz, OUT checkpoint bigint, OUT parked boolean,
  OUT tags text[]
) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT 'mails', 0::bigint, 1::bigint, NULL::uuid, NULL, NULL::bigint, NULL::bigint, NULL,
    NULL::jsonb, NULL::jsonb, NULL::timestamptz, 7::bigint, false, NULL::text[]
$$;
CREATE OR REPLACE FUNCTION bank.acknowledge(
  subscription text, partition bigint, token bigint, checkpoint bigint,
  release boolean DEFAULT false
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100';
END
$$;
"""


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.program)
def test_program_tells_why_a_claim_without_messages_was_not_acknowledged(
    driver: Driver, builds: dict[str, Future[Path]], database: Database
) -> None:
    if driver.language not in builds:
        skip(driver.language)
    with psycopg.connect(database.conninfo) as conn:
        conn.execute(FAILING.encode())
    done = subprocess.run(
        driver.run,
        cwd=builds[driver.language].result(),
        env=os.environ | database.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "the disk is full" in done.stderr
    # psql goes on after an error.
    assert (done.returncode != 0) is (driver.language != "psql")
    with psycopg.connect(database.conninfo) as conn:
        failed = "SELECT count(failed_position) FROM bank.subscription_partitions"
        assert conn.execute(failed).fetchall() == [(0,)]
