import subprocess
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore._sync import installer
from tests.conftest import Connect
from tests.migrations.conftest import MakeDatabase
from tests.migrations.installers import (
    COMMANDS,
    LATEST,
    PSQL,
    ROOT,
    Install,
    by_psql,
    by_python,
    catalog,
    code_and_detail,
    environment,
    tables,
    write,
)

ODD_NAMES = [
    'My "odd" % schéma',
    "ä" * 31 + "x",
    "it's",
    "back\\slash",
    "a$$b",
    "$manifest$",
    "$do$",
    "Upper-Case.dot, comma",
    "%s %(x)s %I",
    " ",
    "select",
    "line\nbreak",
    '"',
    "{}",
    ":schema",
]


def identifier(name: str) -> sql.Identifier:
    return sql.Identifier(name)


def test_psql_and_python_install_the_same(make_database: MakeDatabase) -> None:
    one, other = make_database(), make_database()
    by_psql(one, "bank")
    by_python(other, "bank")
    of_psql, of_python = catalog(one, "bank"), catalog(other, "bank")
    for kind, rows in of_psql.items():
        assert rows == of_python[kind], kind
    assert {kind for kind, rows in of_psql.items() if not rows} == set()


@pytest.mark.parametrize("again", COMMANDS)
def test_install_again_changes_nothing(
    conninfo: str, schema: str, install: Install, again: str
) -> None:
    install(conninfo, schema)
    before = catalog(conninfo, schema)
    with psycopg.connect(conninfo) as conn:
        write(conn, schema)
    {"psql": by_psql, "python": by_python}[again](conninfo, schema)
    after = catalog(conninfo, schema)
    assert {kind for kind in before if before[kind] != after[kind]} == {"sequences"}
    with psycopg.connect(conninfo) as conn:
        assert write(conn, schema) == (2, 2)


def test_install_by_ten_processes_at_once(conninfo: str, schema: str) -> None:
    commands = [command(conninfo, schema) for command in COMMANDS.values() for _ in range(5)]
    started = [
        subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    ended = [process.communicate(timeout=60) for process in started]
    assert [errors for _, errors in ended] == [""] * 10
    assert [process.returncode for process in started] == [0] * 10
    with psycopg.connect(conninfo) as conn:
        assert write(conn, schema) == (1, 1)
    by_python(conninfo, schema + "_alone")
    try:
        alone = catalog(conninfo, schema + "_alone")
    finally:
        with psycopg.connect(conninfo) as conn:
            conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(identifier(schema + "_alone")))
    together = catalog(conninfo, schema)
    for kind in ("relations", "columns", "constraints", "types", "migrations"):
        assert together[kind] == alone[kind]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_install_takes_any_name_of_a_schema(
    conninfo: str, connect: Connect, install: Install, name: str
) -> None:
    conn = connect()
    try:
        install(conninfo, name)
        install(conninfo, name)
        assert write(conn, name) == (1, 1)
        with pgstore.MessageStore[pgstore.RawMessage](
            conninfo, store=name, messages=pgstore.RawMessage, create=False
        ) as store:
            assert [message.stream for message in store.raw.read("a-1")] == ["a-1"]
        assert "read_stream" in {
            row[0].split("(")[0] for row in catalog(conninfo, name)["functions"]
        }
    finally:
        conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(identifier(name)))


def test_install_takes_pgstore_as_default_name(make_database: MakeDatabase) -> None:
    conninfo = make_database()
    command = [str(PSQL), "-X", "-q", "-d", conninfo, "-f", str(ROOT / "sql" / "install.sql")]
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    assert pgstore.install(conninfo) == LATEST.number
    with psycopg.connect(conninfo) as conn:
        assert write(conn, "pgstore") == (1, 1)


def test_install_from_any_folder(
    conninfo: str, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    by_psql(conninfo, schema)
    assert "messages" in tables(conninfo, schema)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252"])
def test_install_through_a_connection_of_another_encoding(
    conninfo: str, schema: str, install: Install, encoding: str
) -> None:
    by_python(conninfo, schema)
    expected = catalog(conninfo, schema)
    with psycopg.connect(conninfo) as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(identifier(schema)))
    install(make_conninfo(conninfo, client_encoding=encoding), schema)
    found = catalog(conninfo, schema)
    assert [kind for kind in expected if found[kind] != expected[kind]] == []


# None hides another: an installation takes long, so several are tried at once.
@pytest.mark.parametrize(
    "settings",
    [
        (
            "default_transaction_isolation=serializable",
            "search_path=nowhere",
            "standard_conforming_strings=off",
            "extra_float_digits=0",
            "plpgsql.variable_conflict=use_variable",
            "quote_all_identifiers=on",
        ),
        ("search_path=pg_temp,public", "check_function_bodies=off", "client_min_messages=error"),
    ],
)
def test_install_does_not_depend_on_settings(
    conninfo: str, schema: str, install: Install, settings: tuple[str, ...]
) -> None:
    other = make_conninfo(conninfo, options=" ".join(f"-c {each}" for each in settings))
    install(other, schema)
    with psycopg.connect(conninfo) as conn:
        assert write(conn, schema) == (1, 1)
    for again in (conninfo, other):
        install(again, schema)


def test_repeated_files_wait_for_a_lock_as_long_as_they_say(
    conninfo: str, schema: str, connect: Connect, install: Install
) -> None:
    """Not as long as the migrations before them, which change tables."""
    install(conninfo, schema)
    conn = connect()
    store = identifier(schema)
    conn.execute(sql.SQL("DELETE FROM {}.migrations WHERE number = 5").format(store))
    other = connect(autocommit=False)
    other.execute(sql.SQL("LOCK TABLE {}.streams IN ACCESS EXCLUSIVE MODE").format(store))
    begun = time.monotonic()
    with pytest.raises(Exception) as caught:  # noqa: PT011 — which one tells its SQLSTATE
        install(conninfo, schema)
    assert code_and_detail(caught.value)[0] == "55P03"
    assert time.monotonic() - begun < 9
    other.rollback()
    install(conninfo, schema)


def test_install_leaves_no_setting_behind(conninfo: str, schema: str, connect: Connect) -> None:
    conn = connect(options="-c search_path=public -c lock_timeout=3s -c client_encoding=LATIN1")
    conn.execute("LOAD 'plpgsql'")  # its settings come with it
    settings = "SELECT s.name, s.setting FROM pg_settings AS s ORDER BY s.name"
    own = (
        "SELECT current_setting('pgstore.schema', true), current_setting('pgstore.manifest', true)"
    )
    before = conn.execute(settings).fetchall()
    installer.install(conn, schema)
    assert conn.execute(settings).fetchall() == before
    assert conn.execute(own).fetchall() == [("", "")]
    assert conn.info.encoding == "iso8859-1"


def test_install_by_psql_leaves_no_setting_behind(conninfo: str, schema: str) -> None:
    shows = ("search_path", "lock_timeout", "client_min_messages", "client_encoding")
    done = subprocess.run(
        [
            *(str(PSQL), "-X", "-q", "-A", "-t", "-d", conninfo, "-v", f"schema={schema}"),
            *("-c", "SET search_path TO public", "-f", str(ROOT / "sql" / "install.sql")),
            *(word for name in shows for word in ("-c", f"SHOW {name}")),
            *("-c", "SELECT current_setting('pgstore.schema', true) || '.'"),
        ],
        env=environment(PGCLIENTENCODING="LATIN1"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-5:] == ["public", "0", "notice", "LATIN1", "."]


def test_install_by_psql_works_with_autocommit_off(
    conninfo: str, schema: str, tmp_path: Path
) -> None:
    """As in somebody's own psqlrc."""
    entry = tmp_path / "entry.sql"
    install_sql = str(ROOT / "sql" / "install.sql").replace("'", "''")
    entry.write_text(f"\\set AUTOCOMMIT off\n\\set ON_ERROR_ROLLBACK on\n\\i '{install_sql}'\n")
    command = [str(PSQL), "-X", "-q", "-d", conninfo, "-v", f"schema={schema}", "-f", str(entry)]
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    with psycopg.connect(conninfo) as conn:
        assert write(conn, schema) == (1, 1)
