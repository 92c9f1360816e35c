"""plpgsql_check looks into the bodies of the functions, which no linter of text can."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from tests.server import running_server
from tests.skips import skip

STORE = "checked"

AVAILABLE = "SELECT FROM pg_available_extensions AS e WHERE e.name = 'plpgsql_check'"

# Known of functions of Message DB's interface: name and message.
VOLATILE = "routine is marked as VOLATILE, should be STABLE"
INJECTION = "text type variable is not sanitized"
KNOWN = {
    # They see what their own statement has written: tests/message_db/test_side_by_side.py.
    *(("stream_version", VOLATILE), ("get_last_stream_message", VOLATILE)),
    # A condition is SQL of the caller by Message DB's contract. It runs with the caller's rights:
    # tests/message_db/test_rights.py.
    *(("get_category_messages", INJECTION), ("get_stream_messages", INJECTION)),
}

FINDINGS = """
SELECT p.proname, f.lineno, f.level, f.message, f.detail
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
CROSS JOIN plpgsql_check_function_tb(
  p.oid::regprocedure,
  CASE p.prorettype WHEN 'trigger'::regtype THEN 'checked.messages'::regclass ELSE 0 END,
  fatal_errors => false,
  performance_warnings => true,
  security_warnings => true
) AS f
WHERE p.pronamespace IN (%s::regnamespace, 'message_store'::regnamespace)
"""


def debian_binaries() -> Path | None:
    """Return the newest Debian server that has the extension."""
    controls = Path("/usr/share/postgresql").glob("*/extension/plpgsql_check.control")
    versions = sorted((control.parts[-3] for control in controls), key=float)
    folders = [Path("/usr/lib/postgresql", version, "bin") for version in versions]
    return next((folder for folder in reversed(folders) if (folder / "postgres").exists()), None)


@pytest.fixture
def checking_server(server_conninfo: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Answer a server that has the extension: the session's, or another one."""
    with psycopg.connect(server_conninfo) as conn:
        if conn.execute(AVAILABLE).rowcount:
            yield server_conninfo
            return
    binaries = debian_binaries()
    if binaries is None:
        skip("plpgsql_check")
    monkeypatch.setenv("PGSTORE_TEST_BIN", str(binaries))
    monkeypatch.delenv("PGSTORE_TEST_CONNINFO", raising=False)
    with running_server() as conninfo:
        yield conninfo


@pytest.fixture
def connection(checking_server: str) -> Iterator[psycopg.Connection]:
    """Connect to a database that holds a store and the extension, apart from each other."""
    name = f"plpgsql_check_{uuid4().hex}"
    database = sql.Identifier(name)
    with psycopg.connect(checking_server, autocommit=True) as server, ExitStack() as stack:
        server.execute(sql.SQL("CREATE DATABASE {}").format(database))
        stack.callback(server.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
        conninfo = make_conninfo(checking_server, dbname=name)
        pgstore.install(conninfo, store=STORE, message_db=True)
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute("CREATE EXTENSION plpgsql_check")
            yield conn


def test_plpgsql_check_finds_nothing(connection: psycopg.Connection) -> None:
    found = connection.execute(FINDINGS, [STORE]).fetchall()
    assert [each for each in found if (each[0], each[3]) not in KNOWN] == []
    assert {(each[0], each[3]) for each in found} == KNOWN
