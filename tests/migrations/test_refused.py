"""Installations that are refused, and what they leave: nothing."""

import shutil
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore._core import sql_files
from tests.conftest import Connect
from tests.migrations.conftest import MakeDatabase
from tests.migrations.installers import (
    LATEST,
    ROOT,
    Install,
    PsqlError,
    by_psql,
    by_python,
    catalog,
    code_and_detail,
    tables,
)


def refusal(install: Install, conninfo: str, name: str) -> tuple[str | None, object]:
    """Expect an error; its SQLSTATE and DETAIL."""
    with pytest.raises((psycopg.Error, PsqlError)) as caught:
        install(conninfo, name)
    return code_and_detail(caught.value)


def run(conninfo: str, name: str, text: str) -> None:
    with psycopg.connect(conninfo) as conn:
        conn.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(name)))
        conn.execute(text.encode())


def test_store_that_is_newer_is_refused_and_untouched(
    conninfo: str, schema: str, install: Install
) -> None:
    install(conninfo, schema)
    run(conninfo, schema, "INSERT INTO migrations VALUES (999, now(), '0999_later', 'abc')")
    run(conninfo, schema, "UPDATE migrations SET checksum = 'of other functions' WHERE number = 0")
    run(conninfo, schema, "DROP VIEW all_messages")
    before = catalog(conninfo, schema)
    assert refusal(install, conninfo, schema) == (
        "MS010",
        {"store": schema, "schema_version": 999, "known_version": LATEST.number},
    )
    assert catalog(conninfo, schema) == before


def test_store_that_is_newer_is_refused_as_that_even_if_edited(
    conninfo: str, schema: str, install: Install
) -> None:
    install(conninfo, schema)
    run(conninfo, schema, "UPDATE migrations SET checksum = 'edited' WHERE number = 1")
    run(conninfo, schema, "INSERT INTO migrations VALUES (999, now(), '0999_later', 'abc')")
    assert refusal(install, conninfo, schema)[0] == "MS010"


def test_store_whose_migration_was_edited_is_refused_and_untouched(
    conninfo: str, schema: str, install: Install
) -> None:
    install(conninfo, schema)
    run(conninfo, schema, "UPDATE migrations SET checksum = 'edited' WHERE number = 1")
    before = catalog(conninfo, schema)
    assert refusal(install, conninfo, schema) == (
        "MS011",
        {
            "store": schema,
            "migration": "0001_messages",
            "applied_checksum": "edited",
            "known_checksum": sql_files.checksums()[1],
        },
    )
    assert catalog(conninfo, schema) == before


def test_refusals_reach_python_as_the_errors_of_their_codes(conninfo: str, schema: str) -> None:
    by_python(conninfo, schema)
    run(conninfo, schema, "UPDATE migrations SET checksum = 'edited' WHERE number = 1")
    with pytest.raises(pgstore.MigrationEditedError):
        pgstore.install(conninfo, store=schema)
    run(conninfo, schema, "INSERT INTO migrations VALUES (999, now(), '0999_later', 'abc')")
    with pytest.raises(pgstore.StoreTooNewError):
        pgstore.install(conninfo, store=schema)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_database_that_is_not_utf8_is_refused(
    make_database: MakeDatabase, install: Install, encoding: str
) -> None:
    conninfo = make_database(f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    assert refusal(install, conninfo, "bank") == ("MS012", {"server_encoding": encoding})
    assert tables(conninfo, "bank") == []
    with psycopg.connect(conninfo) as conn:
        assert not conn.execute("SELECT FROM pg_namespace WHERE nspname = 'bank'").rowcount


@pytest.mark.parametrize("name", ["x" * 64, "ä" * 32, "pg_bank", "pg_catalog"])
def test_name_that_no_schema_can_have_is_refused_by_psql(conninfo: str, name: str) -> None:
    assert refusal(by_psql, conninfo, name) == ("22023", {"argument": "schema", "schema": name})
    with pytest.raises(pgstore.InvalidArgumentError):
        by_python(conninfo, name)


def test_empty_name_is_refused_by_psql(conninfo: str) -> None:
    assert refusal(by_psql, conninfo, "") == ("22023", {"argument": "schema", "schema": ""})


@pytest.mark.parametrize("rights", ["no schema", "none", "USAGE"])
def test_role_without_rights_is_refused(
    conninfo: str, schema: str, role: str, install: Install, rights: str
) -> None:
    """Were it not, everything would go to pg_temp, which the role may use."""
    if rights != "no schema":
        with psycopg.connect(conninfo) as conn:
            conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            if rights == "USAGE":
                conn.execute(
                    sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(
                        sql.Identifier(schema), sql.Identifier(role)
                    )
                )
    assert refusal(install, make_conninfo(conninfo, user=role), schema) == ("42501", None)
    assert tables(conninfo, schema) == []


def test_role_without_rights_on_a_store_cannot_install_it_again(
    conninfo: str, schema: str, role: str, install: Install
) -> None:
    install(conninfo, schema)
    before = catalog(conninfo, schema)
    assert refusal(install, make_conninfo(conninfo, user=role), schema)[0] == "42501"
    assert catalog(conninfo, schema) == before


def test_install_that_cannot_have_a_lock_changes_nothing(
    conninfo: str, schema: str, connect: Connect, install: Install
) -> None:
    """An upgrade that replaces functions, stopped by somebody who reads the view."""
    install(conninfo, schema)
    run(conninfo, schema, "UPDATE migrations SET checksum = 'of others' WHERE number = 0")
    run(conninfo, schema, "COMMENT ON FUNCTION write_message IS 'of before'")
    before = catalog(conninfo, schema)
    reader = connect(autocommit=False)
    view = sql.SQL("SELECT FROM {}.all_messages").format(sql.Identifier(schema))
    reader.execute(view)
    assert refusal(install, make_conninfo(conninfo, options="-c statement_timeout=500"), schema)[
        0
    ] in (
        "57014",
        "55P03",
    )
    assert catalog(conninfo, schema) == before
    reader.rollback()
    install(conninfo, schema)
    assert catalog(conninfo, schema) != before


def test_schema_that_is_not_a_store_is_refused_and_untouched(
    conninfo: str, schema: str, role: str, install: Install
) -> None:
    """Whoever shares a schema with a store would lose rights on what is theirs."""
    with psycopg.connect(conninfo) as conn:
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    run(conninfo, schema, "CREATE FUNCTION theirs() RETURNS text LANGUAGE sql RETURN 'theirs'")
    assert refusal(install, conninfo, schema)[0] == "42P06"
    assert tables(conninfo, schema) == ["theirs"]
    run(conninfo, schema, "DROP FUNCTION theirs")
    install(conninfo, schema)
    assert "messages" in tables(conninfo, schema)


def test_schema_of_another_role_is_refused(
    conninfo: str, schema: str, role: str, install: Install
) -> None:
    """Its owner could plant triggers and functions that run with the installer's rights."""
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                sql.Identifier(schema), sql.Identifier(role)
            )
        )
    assert refusal(install, conninfo, schema)[0] == "42501"
    assert tables(conninfo, schema) == []


@pytest.mark.parametrize("place", ["migrations/0001_messages.sql", "grants.sql", "record.sql"])
def test_install_by_psql_that_fails_in_a_file_leaves_nothing(
    conninfo: str, schema: str, tmp_path: Path, place: str
) -> None:
    files = tmp_path / "sql"
    shutil.copytree(ROOT / "sql", files)
    with (files / place).open("a") as file:
        file.write("SELECT 1 / 0;\n")
    with pytest.raises(PsqlError) as caught:
        by_psql(conninfo, schema, files)
    assert caught.value.sqlstate == "22012"
    assert tables(conninfo, schema) == []


def test_install_by_python_that_fails_in_a_file_leaves_nothing(
    conninfo: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = sql_files.repeated_sql() + "SELECT 1 / 0;\n"
    monkeypatch.setattr(sql_files, "repeated_sql", lambda: text)
    assert refusal(by_python, conninfo, schema)[0] == "22012"
    assert tables(conninfo, schema) == []
