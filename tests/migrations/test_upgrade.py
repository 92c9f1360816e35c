"""An installation over an older one: functions come anew, tables and messages stay."""

import psycopg
import pytest
from psycopg import sql

import pgstore
from pgstore._core import sql_files
from tests.migrations.installers import Install, by_python, catalog, write


@pytest.fixture
def outdated(conninfo: str, schema: str) -> str:
    """A store whose functions are not those of the files, with a message in it."""
    by_python(conninfo, schema)
    with psycopg.connect(conninfo) as conn:
        write(conn, schema)
        conn.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        conn.execute(
            "CREATE OR REPLACE FUNCTION schema_version() RETURNS bigint LANGUAGE sql RETURN 0"
        )
        conn.execute("GRANT EXECUTE ON FUNCTION schema_version() TO PUBLIC")
        conn.execute("COMMENT ON COLUMN all_messages.type IS 'of before'")
        conn.execute("UPDATE migrations SET applied_at = '2001-01-01'")
        conn.execute("UPDATE migrations SET checksum = 'of before' WHERE number = 0")
    return schema


def test_functions_of_another_checksum_are_applied_again(
    conninfo: str, outdated: str, install: Install
) -> None:
    install(conninfo, outdated)
    by_python(conninfo, outdated + "_fresh")
    try:
        fresh = catalog(conninfo, outdated + "_fresh")
    finally:
        with psycopg.connect(conninfo) as conn:
            conn.execute(
                sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(outdated + "_fresh"))
            )
    found = catalog(conninfo, outdated)
    for kind in ("relations", "columns", "constraints", "types", "migrations"):
        assert found[kind] == fresh[kind]
    assert [row[0] for row in found["functions"]] == [row[0] for row in fresh["functions"]]
    assert [row[2:] for row in found["functions"]] == [row[2:] for row in fresh["functions"]]
    with psycopg.connect(conninfo) as conn:
        version = sql.SQL("SELECT {}.schema_version()").format(sql.Identifier(outdated))
        assert conn.execute(version).fetchone() == (sql_files.migrations()[-1].number,)
        assert write(conn, outdated) == (2, 2)


def test_only_what_changed_gets_a_new_time(conninfo: str, outdated: str, install: Install) -> None:
    install(conninfo, outdated)
    with psycopg.connect(conninfo) as conn:
        times = sql.SQL("SELECT m.number FROM {}.migrations AS m WHERE m.applied_at > '2002-01-01'")
        rows = conn.execute(times.format(sql.Identifier(outdated))).fetchall()
    assert rows == [(0,)]


def test_store_of_other_functions_is_brought_up_to_date_on_first_use(
    conninfo: str, outdated: str
) -> None:
    with pgstore.MessageStore[pgstore.RawMessage](
        conninfo, store=outdated, messages=pgstore.RawMessage
    ) as store:
        assert store.stream_version("a-1") == 1
    assert ("schema_version()", False) in [
        (row[0].rpartition(".")[2], "RETURN 0" in row[1])
        for row in catalog(conninfo, outdated)["functions"]
    ]
