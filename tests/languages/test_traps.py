"""What goes wrong with a driver, and what helps: each as docs/guides/languages.md says."""

import json
import os
import re
import subprocess
from concurrent.futures import Future
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.languages.conftest import Database
from tests.languages.drivers import Command
from tests.pgbouncer import pgbouncer, program
from tests.skips import skip

# By language: the command, and what each trap answers.
TRAPS: dict[str, tuple[Command, dict[str, str]]] = {
    "node": (
        ("node", "traps.mjs"),
        {
            "pg: an array as jsonb": "22P02",
            "pg: JSON.stringify of an array": "works",
            "pg: a string as jsonb": "22P02",
            "pg: JSON.stringify of a string": "works",
            "postgres.js: JSON.stringify of an object": "string",
            "postgres.js: an object": "object",
            "postgres.js: an array": "array",
            "postgres.js: sql.json of an array": "array",
            "pg: int8": "string",
            "postgres.js: int8": "string",
        },
    ),
    "java": (
        ("java", "-cp", "classes:jars/*", "Traps"),
        {
            "JDBC: a string as jsonb": "42883",
            "JDBC: ?::jsonb": "works",
            "JDBC: stringtype=unspecified": "works",
            "JDBC: execute": "works",
            "JDBC: executeUpdate of a function": "0100E",
            "JDBC: execute of a function": "works",
        },
    ),
    "go": (
        ("bin/traps",),
        {
            "pgx: a row without a message into a string": "error",
            "pgx: a row without a message into a NullString": "works",
            "pgx: read_page_json into a struct": "works",
            "pgx: load_stream into a string": "error",
            "pgx: load_stream into Null types": "works",
            "pq: load_stream into a string": "error",
            "pq: load_stream into Null types": "works",
            "pq: a row without a message into a string": "error",
            "pq: a row without a message into a NullString": "works",
            "pq: read_page_json into bytes": "works",
        },
    ),
    "rust": (
        ("target/debug/traps",),
        {
            "tokio-postgres: i32 as bigint": "refused by the driver",
            "tokio-postgres: i64 as bigint": "works",
            "tokio-postgres: a text as jsonb": "refused by the driver",
            "tokio-postgres: a Value as jsonb": "works",
        },
    ),
    "php": (
        ("php", "-d", "error_reporting=-1", "traps.php"),
        {
            "PDO: false in execute()": "22P02",
            "PDO: 'false' in execute()": "works",
            "PDO: PARAM_BOOL": "works",
        },
    ),
    "python": (
        ("venv/bin/python", "traps.py"),
        {
            "psycopg2: %s as jsonb[]": "42883",
            "psycopg2: %s::jsonb[]": "works",
            "SQLAlchemy: :data::jsonb": "42601",
            "SQLAlchemy: CAST(:data AS jsonb)": "works",
            "asyncpg: a text as interval": "DataError",
            "asyncpg: a timedelta as interval": "works",
            "asyncpg: claim_batch_json, in seconds": "works",
        },
    ),
}


def told(command: Command, folder: Path, environment: dict[str, str]) -> dict[str, str]:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["trap"]: line["answer"] for line in lines}


@pytest.mark.parametrize("language", TRAPS)
def test_trap_is_one_and_what_helps_helps(
    language: str, builds: dict[str, Future[Path]], database: Database
) -> None:
    if language not in builds:
        skip(language)
    command, expected = TRAPS[language]
    assert told(command, builds[language].result(), database.environment) == expected


def test_named_statement_is_lost_behind_a_pooler(
    builds: dict[str, Future[Path]], database: Database
) -> None:
    if "node" not in builds:
        skip("node")
    with pgbouncer(database.conninfo, "transaction") as through:
        given = conninfo_to_dict(through)
        place = {"PGHOST": str(given["host"]), "PGPORT": str(given["port"])}
        environment = database.environment | place
        found = told(("node", "pooler.mjs"), builds["node"].result(), environment)
    about = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True)
    release = re.search(r"PgBouncer (\d+)\.(\d+)", about.stdout)
    assert release is not None
    # From 1.21 on it prepares the statement in the other session too, if max_prepared_statements
    # is not 0, which is the default until 1.24.
    keeps = (int(release[1]), int(release[2])) >= (1, 24)
    prepared = "works, then works" if keeps else "works, then 26000"
    assert found == {
        "pg, named": prepared,
        "pg, without a name": "works, then works",
        # It prepares the statement again after that error.
        "postgres.js": "works, then works",
        "postgres.js, prepare: false": "works, then works",
    }
