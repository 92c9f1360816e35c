"""A store that a fence closes is restored as closed, and installed over by nobody."""

import psycopg
import pytest

from pgstore import transfer
from tests.migrations.conftest import MakeDatabase
from tests.migrations.installers import (
    Install,
    PsqlError,
    by_python,
    catalog,
    code_and_detail,
    copy,
    write,
)

PLACE = "host='o''dd \\\\ %s' dbname=\"x\""


def call(conninfo: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def refused(conninfo: str) -> str | None:
    """The place that a writer is told."""
    with psycopg.connect(conninfo) as conn:
        try:
            write(conn, "bank")
        except psycopg.Error as error:
            sqlstate, detail = code_and_detail(error)
            assert sqlstate == "MS030"
            assert isinstance(detail, dict)
            return str(detail["conninfo"])
    return None


def closed_store(conninfo: str) -> None:
    by_python(conninfo, "bank")
    with psycopg.connect(conninfo) as conn:
        write(conn, "bank")
        conn.execute("SELECT bank.fence_store(%s)", [PLACE])


def wrong(conninfo: str) -> list[str]:
    with psycopg.connect(conninfo) as conn:
        return [check.check for check in transfer.verify(conn, store="bank") if check.wrong]


def differing(source: str, target: str) -> list[str]:
    """Kinds of objects; their rows do not count."""
    before, after = catalog(source, "bank"), catalog(target, "bank")
    of_rows = {"sequences", "migrations"}
    return [kind for kind in before.keys() - of_rows if before[kind] != after[kind]]


@pytest.mark.parametrize("options", [[], ["--schema-only"]], ids=["all", "without rows"])
def test_restored_store_is_closed_until_its_fence_is_lifted(
    make_database: MakeDatabase, options: list[str]
) -> None:
    source, target = make_database(), make_database()
    closed_store(source)
    copy(source, target, *options)
    assert refused(target) == PLACE
    assert differing(source, target) == []
    assert call(target, "SELECT bank.lift_fence()") == [(True,)]
    call(source, "SELECT bank.lift_fence()")
    assert differing(source, target) == []
    assert refused(target) is None
    if not options:
        assert wrong(target) == []


def test_closed_store_is_not_upgraded_and_stays_closed(
    make_database: MakeDatabase, install: Install
) -> None:
    """Also in its functions, which an installer replaces before it notes what it did."""
    conninfo = make_database()
    closed_store(conninfo)
    call(conninfo, "ALTER TABLE bank.migrations DISABLE TRIGGER store_is_closed")
    call(conninfo, "UPDATE bank.migrations SET checksum = 'other' WHERE number = 0 RETURNING 1")
    call(conninfo, "ALTER TABLE bank.migrations ENABLE TRIGGER store_is_closed")
    before = catalog(conninfo, "bank")
    with pytest.raises((psycopg.Error, PsqlError)) as caught:
        install(conninfo, "bank")
    assert code_and_detail(caught.value) == ("MS030", {"store": "bank", "conninfo": PLACE})
    assert catalog(conninfo, "bank") == before
    assert refused(conninfo) == PLACE
    call(conninfo, "SELECT bank.lift_fence()")
    install(conninfo, "bank")
    assert refused(conninfo) is None
    assert wrong(conninfo) == []
