"""An upgrade of the store brings the interface along; installers and removals that meet."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from uuid import uuid4

import msgspec
import psycopg
import pytest
from psycopg.rows import TupleRow

import pgstore
from pgstore.__main__ import main
from pgstore._core import sql_files
from pgstore._sync import installer
from tests.message_db.test_install import (
    by_python,
    code_of,
    conninfo,
    objects,
    query,
    run_psql,
    write_and_read,
)
from tests.migrations import installers
from tests.migrations.installers import PsqlError

__all__ = ["conninfo"]

# As another release would have left it: with an old function, and without a new one.
OLDER = """
    CREATE OR REPLACE FUNCTION message_store.message_store_version()
    RETURNS varchar LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 'old';
    DROP FUNCTION message_store.get_last_stream_message;
    UPDATE bank.migrations SET checksum = 'other' WHERE number = 0;
"""
CHECKSUM = "SELECT checksum FROM bank.migrations WHERE number = 0"
WAITS = """
    SELECT count(*) FROM pg_locks AS l
    WHERE NOT l.granted AND l.locktype = %s
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
"""


class Opened(msgspec.Struct):
    pass


def run(conninfo: str, *arguments: str) -> None:
    assert main([*arguments, "--conninfo", conninfo, "--store", "bank"]) == 0


def by_library(conninfo: str, capsys: pytest.CaptureFixture[str]) -> None:
    pgstore.install(conninfo, store="bank")


def by_first_use(conninfo: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pgstore.MessageStore[Opened](conninfo, store="bank", messages=Opened) as store:
        store.stream_version("account-1")


def by_psql(conninfo: str, capsys: pytest.CaptureFixture[str]) -> None:
    installers.by_psql(conninfo, "bank")


def by_command(conninfo: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(conninfo, "upgrade")


def by_dry_run(conninfo: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    run(conninfo, "upgrade", "--dry-run")
    query(conninfo, capsys.readouterr().out)


def by_printed(conninfo: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    run(conninfo, "sql", "--message-db", "--from", str(sql_files.migrations()[-1].number))
    query(conninfo, capsys.readouterr().out)


Way = Callable[[str, pytest.CaptureFixture[str]], None]
WAYS: list[Way] = [by_library, by_first_use, by_psql, by_command, by_dry_run, by_printed]


@pytest.mark.parametrize("upgrade", WAYS)
def test_upgrade_brings_the_interface_along_and_keeps_rights(
    conninfo: str, upgrade: Way, capsys: pytest.CaptureFixture[str]
) -> None:
    by_python(conninfo, "bank")
    role = f"role_{uuid4().hex[:12]}"
    query(conninfo, f"CREATE ROLE {role}; GRANT SELECT ON message_store.messages TO {role}")
    try:
        query(conninfo, "SELECT bank.revoke_access('message_store', 'write')")
        before = objects(conninfo)
        grants = query(conninfo, "SELECT role, kind FROM bank.list_grants()")
        query(conninfo, OLDER)
        assert objects(conninfo) != before
        upgrade(conninfo, capsys)
        assert objects(conninfo) == before
        assert query(conninfo, "SELECT role, kind FROM bank.list_grants()") == grants
    finally:
        query(conninfo, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_printed_interface_is_the_one_that_is_installed(
    conninfo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(conninfo, "sql", "--message-db")
    query(conninfo, capsys.readouterr().out)
    before = objects(conninfo)
    assert write_and_read(conninfo) == [("account-1", 0)]
    by_python(conninfo, "bank")
    assert objects(conninfo) == before


def test_script_without_the_interface_is_refused_where_it_stands(
    conninfo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    by_python(conninfo, "bank")
    query(conninfo, OLDER)
    before = objects(conninfo)
    capsys.readouterr()
    run(conninfo, "sql", "--from", str(sql_files.migrations()[-1].number))
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        query(conninfo, capsys.readouterr().out)
    assert (objects(conninfo), query(conninfo, CHECKSUM)) == (before, [("other",)])


def test_other_stores_leave_the_interface_alone(conninfo: str) -> None:
    by_python(conninfo, "bank")
    query(conninfo, OLDER)
    before = objects(conninfo)
    pgstore.install(conninfo, store="shop")
    installers.by_psql(conninfo, "shop")
    assert objects(conninfo) == before


def test_plain_installation_gives_the_interface_nothing(conninfo: str) -> None:
    """One is what a dropped store has left; one has lost its role."""
    by_python(conninfo, "bank")
    query(conninfo, "DROP SCHEMA bank CASCADE")
    left = objects(conninfo)
    pgstore.install(conninfo, store="bank")
    assert objects(conninfo) == left
    by_python(conninfo, "bank")
    kept = f"role_{uuid4().hex[:12]}"
    query(conninfo, f"ALTER ROLE message_store RENAME TO {kept}")
    try:
        pgstore.install(conninfo, store="bank")
        assert query(conninfo, "SELECT FROM pg_roles WHERE rolname = 'message_store'") == []
    finally:
        query(conninfo, f"ALTER ROLE {kept} RENAME TO message_store")


def test_interface_of_another_owner_does_not_hold_up_an_upgrade(conninfo: str) -> None:
    pgstore.install(conninfo, store="bank")
    query(
        conninfo,
        "CREATE SCHEMA message_store AUTHORIZATION message_store; SET ROLE message_store;"
        "CREATE FUNCTION message_store._store() RETURNS text LANGUAGE sql"
        " SET search_path = bank, pg_temp AS 'SELECT 1::text';"
        "CREATE VIEW message_store.messages AS SELECT 1",
    )
    before = objects(conninfo)
    pgstore.install(conninfo, store="bank")
    assert objects(conninfo) == before


# Several sessions


@contextmanager
def holding(conninfo: str, statement: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A session that holds what the others wait for, until it commits."""
    with psycopg.connect(conninfo) as conn:
        conn.execute(statement.encode())
        yield conn


def wait_for(conninfo: str, kind: str, count: int) -> None:
    """Wait until so many sessions wait for locks of a kind."""
    give_up = monotonic() + 30
    with psycopg.connect(conninfo, autocommit=True) as conn:
        while conn.execute(WAITS, [kind]).fetchone() != (count,):
            assert monotonic() < give_up


def remove(conninfo: str) -> psycopg.Error | None:
    # Also where the database's default would show it what was there before its wait.
    options = "-c default_transaction_isolation=serializable"
    with psycopg.connect(conninfo, autocommit=True, options=options) as conn:
        try:
            installer.remove_interface(conn)
        except psycopg.Error as error:
            return error
    return None


KEY = "SELECT pg_advisory_xact_lock(hashtextextended('pgstore:install:bank' COLLATE \"C\", 0))"


def test_second_of_two_removals_finds_nothing(conninfo: str) -> None:
    by_python(conninfo, "bank")
    with ThreadPoolExecutor(2) as pool, holding(conninfo, KEY) as gate:
        removals = [pool.submit(remove, conninfo) for _ in range(2)]
        wait_for(conninfo, "advisory", 2)
        gate.commit()
        (error,) = [each for removal in removals if (each := removal.result())]
    # As one after the other: the error of the script, not of a DROP.
    assert (error.sqlstate, error.diag.source_function) == ("3F000", "exec_stmt_raise")
    assert objects(conninfo) == []
    assert query(conninfo, "SELECT kind FROM bank.list_grants()") == []


def test_removal_does_not_take_the_interface_that_was_moved_meanwhile(conninfo: str) -> None:
    by_python(conninfo, "bank")
    pgstore.install(conninfo, store="shop")
    with ThreadPoolExecutor(1) as pool, holding(conninfo, KEY) as gate:
        removal = pool.submit(remove, conninfo)
        wait_for(conninfo, "advisory", 1)
        # Another session has both keys, and moves it.
        gate.execute(sql_files.interface_removal().encode())
        gate.execute("SELECT set_config('pgstore.schema', 'shop', true)")
        gate.execute(sql_files.interface_sql().encode())
        gate.commit()
        error = removal.result()
    assert error is not None
    assert code_of(error) == "55000"
    assert write_and_read(conninfo) == [("account-1", 0)]
    assert query(conninfo, "SELECT count(*) FROM shop.all_messages") == [(1,)]


VIEWS = ["message_store.stream_summary", "message_store.messages", "bank.all_messages"]
HELD = """
    SELECT l.relation::regclass::text FROM pg_locks AS l
    WHERE l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
      AND l.relation = ANY (%s::regclass[])
"""


@pytest.mark.parametrize("place", range(3))
def test_upgrade_locks_a_view_before_those_that_it_reads(conninfo: str, place: int) -> None:
    """As a query of it does: otherwise the two would deadlock."""
    by_python(conninfo, "bank")
    query(conninfo, OLDER)
    with (
        ThreadPoolExecutor(1) as pool,
        holding(conninfo, f"COMMENT ON VIEW {VIEWS[place]} IS ''") as gate,
    ):
        gate.execute("SET LOCAL client_min_messages = error")
        upgrade = pool.submit(pgstore.install, conninfo, store="bank")
        wait_for(conninfo, "relation", 1)
        with psycopg.connect(conninfo) as conn:
            held = {name for (name,) in conn.execute(HELD, [VIEWS[place:]]).fetchall()}
        gate.commit()
        upgrade.result()
    assert held == set()


def test_upgrade_that_cannot_have_the_interface_changes_nothing(conninfo: str) -> None:
    by_python(conninfo, "bank")
    query(conninfo, OLDER)
    before = objects(conninfo)
    with holding(conninfo, "SELECT FROM message_store.stream_summary"):
        with pytest.raises(psycopg.errors.LockNotAvailable):
            pgstore.install(conninfo, store="bank")
        with pytest.raises(PsqlError) as caught:
            run_psql(conninfo, "install", schema="bank")
    assert caught.value.sqlstate == "55P03"
    assert (objects(conninfo), query(conninfo, CHECKSUM)) == (before, [("other",)])
