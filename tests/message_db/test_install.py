"""Installing Message DB's interface, again, elsewhere and over something else; and removing it."""

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

import pgstore
from pgstore import embedded
from pgstore.__main__ import main
from pgstore._core import sql_files
from tests.message_db.conftest import as_client, database, install_message_db
from tests.migrations.installers import PsqlError, copy, environment
from tests.released import install_released

Connection = psycopg.Connection[TupleRow]

# All that is in the schema, with its rights, as each installation makes it.
OBJECTS = """
    SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text,
      obj_description(p.oid, 'pg_proc')
    FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('message_store')
    UNION ALL
    SELECT c.oid::regclass::text, pg_get_viewdef(c.oid), c.relacl::text,
      obj_description(c.oid, 'pg_class')
    FROM pg_class AS c
    WHERE c.relnamespace = to_regnamespace('message_store') AND c.relkind <> 'i'
    UNION ALL
    SELECT n.nspname, NULL, n.nspacl::text, obj_description(n.oid, 'pg_namespace')
    FROM pg_namespace AS n WHERE n.nspname = 'message_store'
    ORDER BY 1
"""
HOSTILE = [
    'a"b',
    "Bank",
    "a b",
    "x, pg_temp",
    '", pg_temp',
    "ü; DROP SCHEMA public",
    "select",
    "$$",
]


@pytest.fixture
def conninfo(server_conninfo: str) -> Iterator[str]:
    """A database for the test alone: a database has one schema message_store."""
    with database(server_conninfo) as made:
        yield made


def by_python(conninfo: str, store: str) -> None:
    pgstore.install(conninfo, store=store, message_db=True)


def run_psql(conninfo: str, name: str, **variables: str) -> None:
    given = [word for each in variables.items() for word in ("-v", "=".join(each))]
    done = subprocess.run(
        [
            *(str(embedded.Server().psql), "-X", "-q", "-v", "VERBOSITY=verbose", *given),
            *("-d", conninfo, "-f", str(sql_files.ROOT / "message_db" / f"{name}.sql")),
        ],
        env=environment(PGCLIENTENCODING="UTF8"), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if done.returncode != 0:
        raise PsqlError(done.stderr)


def by_psql(conninfo: str, store: str) -> None:
    run_psql(conninfo, "install", schema=store)


def by_command(conninfo: str, store: str) -> None:
    assert main(["install", "--message-db", "--conninfo", conninfo, "--store", store]) == 0


INSTALLERS: dict[str, Callable[[str, str], None]] = {
    "python": by_python, "psql": by_psql, "command": by_command,
}  # fmt: skip
installers = pytest.mark.parametrize("install", INSTALLERS.values(), ids=INSTALLERS.keys())


def query(conninfo: str, text: str) -> list[TupleRow]:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        cursor = conn.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def objects(conninfo: str) -> list[TupleRow]:
    return query(conninfo, OBJECTS)


def write_and_read(conninfo: str, stream: str = "account-1") -> list[TupleRow]:
    with as_client(conninfo) as conn:
        conn.execute("SELECT write_message(%s, %s, 'Opened', '{}')", [str(uuid4()), stream])
        return conn.execute(
            "SELECT stream_name, position FROM get_category_messages(category(%s))", [stream]
        ).fetchall()


def code_of(error: BaseException) -> str | None:
    assert isinstance(error, psycopg.Error | PsqlError), error
    return error.sqlstate


def test_every_way_installs_the_same_and_repeats_it(server_conninfo: str) -> None:
    made = {}
    for name, install in INSTALLERS.items():
        with database(server_conninfo) as conninfo:
            install(conninfo, "bank")
            made[name] = objects(conninfo)
            assert write_and_read(conninfo) == [("account-1", 0)]
            for again in INSTALLERS.values():
                again(conninfo, "bank")
                assert objects(conninfo) == made[name]
            assert write_and_read(conninfo) == [("account-1", 0), ("account-1", 1)]
    assert made["python"] == made["psql"] == made["command"] != []


def test_several_installers_at_once(conninfo: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: by_python(conninfo, "bank"), range(4)))
    assert write_and_read(conninfo) == [("account-1", 0)]


@pytest.mark.parametrize("name", HOSTILE)
def test_store_of_any_name_can_be_used_and_left(conninfo: str, name: str) -> None:
    by_python(conninfo, name)
    by_psql(conninfo, name)
    assert write_and_read(conninfo) == [("account-1", 0)]
    with as_client(conninfo) as conn:
        conn.execute("SET message_store.sql_condition = on")
        assert conn.execute("SELECT message_store._store()").fetchone() == (name,)
        assert (
            conn.execute(
                "SELECT FROM get_stream_messages('account-1', condition => 'position = 0')"
            ).rowcount
            == 1
        )
    with pytest.raises(psycopg.Error) as caught:
        by_python(conninfo, "other")
    detail = json.loads(caught.value.diag.message_detail or "")
    assert detail == {"store": "other", "over": name}
    run_psql(conninfo, "remove")
    assert objects(conninfo) == []
    by_python(conninfo, "other")


@installers
def test_interface_over_another_store_stays_there(
    conninfo: str, install: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    by_python(conninfo, "bank")
    pgstore.install(conninfo, store="shop")
    before = objects(conninfo)
    if install is by_command:
        assert main(["install", "--message-db", "--conninfo", conninfo, "--store", "shop"]) == 1
        assert "bank" in capsys.readouterr().err
    else:
        with pytest.raises((psycopg.Error, PsqlError)) as caught:
            install(conninfo, "shop")
        assert code_of(caught.value) == "55000"
    assert objects(conninfo) == before
    # Unless that one is gone.
    query(conninfo, "DROP SCHEMA bank CASCADE")
    install(conninfo, "shop")
    assert write_and_read(conninfo) == [("account-1", 0)]
    assert query(conninfo, "SELECT count(*) FROM shop.all_messages") == [(1,)]


@installers
def test_message_db_itself_is_refused_and_stays_as_it_is(
    conninfo: str, install: Callable[[str, str], None]
) -> None:
    install_message_db(conninfo)
    write_and_read(conninfo)
    before = objects(conninfo)
    if install is by_command:
        assert main(["install", "--message-db", "--conninfo", conninfo, "--store", "bank"]) == 1
    else:
        with pytest.raises((psycopg.Error, PsqlError)) as caught:
            install(conninfo, "bank")
        assert code_of(caught.value) == "42P06"
    assert objects(conninfo) == before
    assert write_and_read(conninfo) == [("account-1", 0), ("account-1", 1)]
    with pytest.raises(PsqlError) as refused:
        run_psql(conninfo, "remove")
    assert refused.value.sqlstate == "3F000"
    assert main(["uninstall", "--message-db", "--yes", "--conninfo", conninfo]) == 4
    assert objects(conninfo) == before


def test_store_of_the_name_message_store_is_refused(conninfo: str) -> None:
    with pytest.raises(psycopg.errors.DuplicateSchema):
        by_python(conninfo, "message_store")
    assert objects(conninfo) == []


def test_empty_schema_is_taken_and_that_of_another_role_is_not(conninfo: str) -> None:
    query(conninfo, "CREATE SCHEMA message_store")
    by_python(conninfo, "bank")
    assert write_and_read(conninfo) == [("account-1", 0)]
    run_psql(conninfo, "remove")
    query(conninfo, "CREATE SCHEMA message_store AUTHORIZATION message_store")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        by_python(conninfo, "bank")


def test_owner_needs_no_superuser_but_the_role(conninfo: str) -> None:
    role = f"owner_{uuid4().hex[:12]}"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        conn.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
                sql.Identifier(conn.info.dbname), sql.Identifier(role)
            )
        )
        if not conn.execute("SELECT FROM pg_roles WHERE rolname = 'message_store'").rowcount:
            conn.execute("CREATE ROLE message_store LOGIN")
        conn.execute("ALTER ROLE message_store RENAME TO message_store_kept")
    owned = psycopg.conninfo.make_conninfo(conninfo, user=role)
    try:
        try:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                by_python(owned, "bank")
        finally:
            query(conninfo, "ALTER ROLE message_store_kept RENAME TO message_store")
        assert objects(conninfo) == []
        by_python(owned, "bank")
        assert write_and_read(conninfo) == [("account-1", 0)]
        # Another role with its rights on the database has none on the schema.
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            by_python(conninfo, "bank")
        run_psql(owned, "remove")
        assert objects(conninfo) == []
    finally:
        query(conninfo, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_default_privileges_and_later_installations_give_nothing(conninfo: str) -> None:
    role = f"role_{uuid4().hex[:12]}"
    query(
        conninfo,
        f"CREATE ROLE {role};"
        f"ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO {role};"
        f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role};"
        f"ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO {role}",
    )
    try:
        by_python(conninfo, "bank")
        assert [row for row in objects(conninfo) if role in (row[2] or "")] == []
        # What an administrator has decided since, stays.
        query(conninfo, "SELECT bank.revoke_access('message_store', 'write')")
        query(conninfo, "SELECT bank.grant_access('message_store', 'write', '{account}')")
        by_python(conninfo, "bank")
        grants = "SELECT role, kind, categories FROM bank.list_grants() ORDER BY kind"
        assert query(conninfo, grants) == [
            ("message_store", "read", None),
            ("message_store", "write", ["account"]),
        ]
    finally:
        query(conninfo, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_remove_leaves_the_store_and_takes_the_rights(conninfo: str) -> None:
    by_python(conninfo, "bank")
    write_and_read(conninfo)
    assert main(["uninstall", "--message-db", "--yes", "--conninfo", conninfo, "--store", "x"]) == 4
    assert (
        main(["uninstall", "--message-db", "--yes", "--conninfo", conninfo, "--store", "bank"]) == 0
    )
    assert objects(conninfo) == []
    assert query(conninfo, "SELECT stream FROM bank.all_messages") == [("account-1",)]
    assert query(conninfo, "SELECT kind FROM bank.list_grants()") == []
    by_psql(conninfo, "bank")
    assert write_and_read(conninfo) == [("account-1", 0), ("account-1", 1)]


def test_removal_does_not_wait_long_for_a_client(conninfo: str) -> None:
    by_python(conninfo, "bank")
    before = objects(conninfo)
    with as_client(conninfo) as conn, conn.transaction():
        conn.execute("SELECT FROM messages")
        with pytest.raises(PsqlError) as caught:
            run_psql(conninfo, "remove")
    assert caught.value.sqlstate == "55P03"
    assert objects(conninfo) == before


def test_object_of_the_user_in_the_schema_keeps_it(conninfo: str) -> None:
    by_python(conninfo, "bank")
    query(conninfo, "CREATE VIEW public.mine AS SELECT stream_name FROM message_store.messages")
    before = objects(conninfo)
    with pytest.raises(PsqlError) as caught:
        run_psql(conninfo, "remove")
    assert caught.value.sqlstate == "2BP01"
    assert objects(conninfo) == before
    assert query(conninfo, "SELECT kind FROM bank.list_grants() ORDER BY 1") == [
        ("read",), ("write",),
    ]  # fmt: skip


def test_uninstalled_store_takes_the_interface_over_it_with_it(conninfo: str) -> None:
    by_python(conninfo, "bank")
    pgstore.install(conninfo, store="shop")
    assert main(["uninstall", "--yes", "--conninfo", conninfo, "--store", "shop"]) == 0
    assert write_and_read(conninfo) == [("account-1", 0)]
    assert main(["uninstall", "--yes", "--conninfo", conninfo, "--store", "bank"]) == 0
    assert objects(conninfo) == []


@installers
def test_store_that_was_dropped_and_made_again_gets_all_rights(
    conninfo: str, install: Callable[[str, str], None]
) -> None:
    by_python(conninfo, "bank")
    before = objects(conninfo)
    query(conninfo, "DROP SCHEMA bank CASCADE")
    install(conninfo, "bank")
    assert objects(conninfo) == before
    assert write_and_read(conninfo) == [("account-1", 0)]


def test_role_that_is_made_again_gets_all_rights(conninfo: str) -> None:
    """As after a restore on a server that has no such role."""
    by_python(conninfo, "bank")
    kept = f"role_{uuid4().hex[:12]}"
    query(conninfo, f"ALTER ROLE message_store RENAME TO {kept}")
    try:
        by_python(conninfo, "bank")
        assert write_and_read(conninfo) == [("account-1", 0)]
    finally:
        query(conninfo, "DROP OWNED BY message_store; DROP ROLE message_store")
        query(conninfo, f"ALTER ROLE {kept} RENAME TO message_store")


def test_store_is_upgraded_under_the_interface(conninfo: str) -> None:
    install_released(conninfo, "bank", 1)
    query(conninfo, "SELECT bank.write_message('account-1', 'Opened', '{}')")
    by_python(conninfo, "bank")
    before = objects(conninfo)
    assert write_and_read(conninfo) == [("account-1", 0), ("account-1", 1)]
    # As one that another release has installed.
    query(conninfo, "UPDATE bank.migrations SET checksum = 'other' WHERE number = 0")
    pgstore.install(conninfo, store="bank")
    assert objects(conninfo) == before
    assert len(write_and_read(conninfo)) == 3


def test_dump_and_restore_bring_the_interface(server_conninfo: str, conninfo: str) -> None:
    by_python(conninfo, "bank")
    write_and_read(conninfo)
    with database(server_conninfo) as restored:
        copy(conninfo, restored)
        assert write_and_read(restored) == [("account-1", 0), ("account-1", 1)]
        by_python(restored, "bank")
        assert [row[:2] for row in objects(restored)] == [row[:2] for row in objects(conninfo)]
