"""A store that is closed by a fence: what callers are told, and who may open it."""

from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import transfer
from pgstore._core import sql_files
from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store

PLACE = "host=other.example.net port=5433 dbname=shop"


def wrong(store: Store) -> list[tuple[str, str | None]]:
    with store.conn.transaction():
        checks = transfer.verify(store.conn, store=store.name)
    return [(check.check, check.example) for check in checks if check.wrong]


def found(store: Store) -> set[str]:
    """The checks of the SQL function that are wrong, in the transaction of the session."""
    return {
        name
        for (name,) in store.query(
            "SELECT v.check_name FROM STORE.verify_store() AS v WHERE v.wrong > 0"
        )
    }


def test_closed_store_can_be_verified_and_reads_in_its_views(store: Store) -> None:
    stream = f"v-{uuid4()}"
    store.write(stream)
    with store.closed(PLACE):
        assert wrong(store) == []
        assert [version for version, *_ in store.stored(stream)] == [1]
    assert wrong(store) == []
    assert store.write(stream)[0] == 2


@pytest.mark.parametrize(
    ("closes", "change"),
    [
        (True, "ALTER TABLE STORE.streams DISABLE TRIGGER store_is_closed"),
        (True, "DROP TRIGGER store_is_closed ON STORE.streams"),
        (True, "TRIGGER ON STORE.streams EXECUTE FUNCTION STORE._keep_closed('host=x')"),
        (
            True,
            "TRIGGER ON STORE.streams WHEN (false) EXECUTE FUNCTION STORE._keep_closed('PLACE')",
        ),
        (True, "TRIGGER ON STORE.streams EXECUTE FUNCTION STORE.another('PLACE')"),
        (True, "UPDATE STORE.store_fence SET new_conninfo = 'host=x'"),
        (True, "DELETE FROM STORE.store_fence"),
        (True, "FUNCTION STORE._is_open() RETURN true"),
        (False, "TRIGGER ON STORE.streams EXECUTE FUNCTION STORE._keep_closed()"),
        (False, "TRIGGER ON STORE.streams WHEN (true) EXECUTE FUNCTION STORE._keep_closed()"),
        (False, "TRIGGER ON STORE.streams WHEN (false) EXECUTE FUNCTION STORE.another()"),
        (False, "FUNCTION STORE._is_open() RETURN 1 > 2"),
        (False, "INSERT INTO STORE.store_fence VALUES (now(), 'host=x', 'x')"),
    ],
)
def test_verify_finds_a_fence_with_a_gap(store: Store, closes: bool, change: str) -> None:
    made = change.replace("PLACE", PLACE)
    for short, long in (
        ("TRIGGER ON", "TRIGGER store_is_closed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON"),
        ("_is_open() RETURN", "_is_open() RETURNS boolean IMMUTABLE RETURN"),
    ):
        if short in made:
            made = f"CREATE OR REPLACE {made.replace(short, long)}"
    with store.conn.transaction(force_rollback=True):
        store.query(
            "CREATE FUNCTION STORE.another() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'"
        )
        before = found(store)
        if closes:
            store.call("fence_store", PLACE)
        assert found(store) == before
        store.query(made)
        assert found(store) == before | {"a fence closes all tables or none"}


def test_fence_tells_where_and_since_when(store: Store) -> None:
    assert store.call("fence_of_store") == []
    ((since,),) = store.call("fence_store", "host=first")
    try:
        ((place, fenced_at, role),) = store.call("fence_of_store")
        assert (place, fenced_at, role) == ("host=first", since, store.conn.info.user)
        # Again, with another place.
        store.call("fence_store", PLACE)
        assert [row[0] for row in store.call("fence_of_store")] == [PLACE]
        with store.refused("MS030", conninfo=PLACE):
            store.write("a-1")
    finally:
        store.call("lift_fence")
    assert store.call("fence_of_store") == []
    assert store.call("lift_fence") == [(False,)]


def test_rolled_back_fence_leaves_the_store_open(store: Store) -> None:
    with store.conn.transaction(force_rollback=True):
        store.call("fence_store", PLACE)
    store.write("a-1")
    assert store.call("fence_of_store") == []


WITH_PASSWORD = [
    "host=x password=secret",
    "host=x PASSWORD = secret",
    "host='x'password=secret",
    "password\n=\t'secret'",
    "postgresql://me:secret@x/shop",
    "postgresql://:secret@x/shop",
    "postgresql://x/shop?user=me&password=secret",
    "postgresql://x/shop?pass%77ord=secret",
    "postgres://x?user=me&%70assword=secret",
    "host=x sslpassword=secret",
    "host=x oauth_client_secret=secret",
    "host=x scram_client_key=secret",
    "host=x scram_server_key=secret",
]
# The server never reads a place, and nothing in it is code. None of these is a password.
ODD = [
    "host=/tmp/o'dd dbname='it''s' user=$$x$$",
    "dbname='a\\b\\' host=\\x41",
    'host="x" application_name={"a": [1, "%s", "%(x)s", "%%"]}',
    "host=x\n\tdbname=y\r\n; DROP TABLE messages; --",
    "host=h dbname=schéma_日本 options='-c x=$_$ $1'",
    "postgresql://me@[::1]:5433/shop?passfile=/x&options=-c%20a%3Db",
    "postgresql://h1:5433,h2:5433/shop?target_session_attrs=read-write",
    "host=x passwordless=1 sslkey=/secret",
    "x" * 2000,
]


@pytest.mark.parametrize("place", WITH_PASSWORD)
def test_place_with_a_password_is_refused(store: Store, place: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        store.call("fence_store", place)
    assert caught.value.sqlstate == "22023"
    assert "secret" not in str(caught.value.diag.message_detail)


def test_directory_takes_no_password_either(store: Store) -> None:
    def refused(place: str) -> bool:
        try:
            with store.conn.transaction():
                store.query("INSERT INTO pgstore_directory.stores VALUES (%s, %s)", [place, place])
        except psycopg.errors.CheckViolation as error:
            return error.diag.constraint_name == "stores_conninfo_check"
        return False

    with store.conn.transaction(force_rollback=True):
        for statement in sql_files.statements(sql_files.read("directory/install.sql")):
            store.query(statement)
        store.query("ALTER TABLE pgstore_directory.stores DROP CONSTRAINT stores_store_check")
        assert [refused(place) for place in WITH_PASSWORD] == [True] * len(WITH_PASSWORD)
        assert [place for place in ODD if refused(place)] == []


def test_directory_takes_what_a_program_can_use(store: Store) -> None:
    """People change it by SQL, too."""
    rows = [
        ("", "host=x", "open", "stores_store_check"),
        ("x" * 64, "host=x", "open", "stores_store_check"),
        ("s", "", "open", "stores_conninfo_check"),
        ("s", "x" * 2001, "open", "stores_conninfo_check"),
        ("s", "host=x", "closed", "stores_state_check"),
    ]
    with store.conn.transaction(force_rollback=True):
        for statement in sql_files.statements(sql_files.read("directory/install.sql")):
            store.query(statement)
        for *row, constraint in rows:
            with pytest.raises(psycopg.errors.CheckViolation) as caught, store.conn.transaction():
                store.query("INSERT INTO pgstore_directory.stores VALUES (%s, %s, %s)", row)
            assert caught.value.diag.constraint_name == constraint


def test_directory_of_another_role_is_not_used(store: Store) -> None:
    """Its owner could put triggers there, or places that ask for passwords."""
    with new_role(store) as role, store.conn.transaction(force_rollback=True):
        store.query("DROP SCHEMA IF EXISTS pgstore_directory CASCADE")
        store.query(f"CREATE SCHEMA pgstore_directory AUTHORIZATION {role}")
        first, *_ = sql_files.statements(sql_files.read("directory/install.sql"))
        with store.refused("42501"), store.conn.transaction():
            store.query(first)


def test_place_is_told_as_it_was_given(store: Store, connect: Connect) -> None:
    session = connect()
    session.execute("SET standard_conforming_strings = off")
    with store.closed(PLACE):
        for place in ODD:
            store.call("fence_store", place, on=session)
            for statement in (
                "SELECT STORE.write_message('a-1', 'T', '1')",
                "SELECT STORE.read_all()",
                "SELECT STORE.export_floors()",
                "DELETE FROM STORE.streams",
            ):
                with store.refused("MS030", store=store.name, conninfo=place):
                    store.query(statement)
            assert [row[0] for row in store.call("fence_of_store")] == [place]
            assert wrong(store) == []


@pytest.mark.parametrize("place", ["", "x" * 2001, None])
def test_place_is_not_empty_and_not_too_long(store: Store, place: str | None) -> None:
    with store.refused("22023", argument="new_conninfo"):
        store.call("fence_store", place)


@pytest.mark.parametrize("patience", ["0", "-1 s", "1 day 1 s", "178000000 years", None])
def test_patience_is_more_than_nothing_and_at_most_a_day(
    store: Store, patience: str | None
) -> None:
    for function, given in (("fence_store", [PLACE]), ("lift_fence", [])):
        with store.refused("22023", argument="patience"):
            store.call(function, *given, patience)


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_fence_takes_read_committed(store: Store, connect: Connect, isolation: str) -> None:
    """Under an older snapshot it would not see a table that an upgrade has made since."""
    session = connect()
    session.execute(f"SET default_transaction_isolation = '{isolation}'".encode())
    for function, given in (("fence_store", [PLACE]), ("lift_fence", [])):
        with store.refused("MS004", isolation=isolation.lower()):
            store.call(function, *given, on=session)


@pytest.mark.parametrize(
    ("setting", "then"),
    [("off", "on"), ("local", "on"), ("remote_write", "on"), ("remote_apply", "remote_apply")],
)
def test_fence_is_on_disk_when_it_has_committed(
    store: Store, connect: Connect, setting: str, then: str
) -> None:
    session = connect()
    session.execute(f"SET synchronous_commit = {setting}".encode())
    for function, given in (("fence_store", [PLACE]), ("lift_fence", [])):
        with session.transaction():
            store.call(function, *given, on=session)
            assert session.execute("SHOW synchronous_commit").fetchall() == [(then,)]
        assert session.execute("SHOW synchronous_commit").fetchall() == [(setting,)]


def test_only_the_owner_closes_and_opens(store: Store, connect: Connect) -> None:
    with new_role(store) as role:
        store.call("grant_access", role, "admin")
        admin: Connection = connect(user=role)
        for function, given in (("fence_store", [PLACE]), ("lift_fence", [])):
            with store.refused("42501"):
                store.call(function, *given, on=admin)
        assert store.call("fence_of_store", on=admin) == []
        # As after a restore without rights.
        with store.conn.transaction():
            for function in ("fence_store(text, interval)", "lift_fence(interval)"):
                store.query(f"GRANT EXECUTE ON FUNCTION STORE.{function} TO PUBLIC")
        for function, given in (("fence_store", [PLACE]), ("lift_fence", [])):
            with store.refused("42501", role=role):
                store.call(function, *given, on=admin)
            arguments = "text, interval" if given else "interval"
            store.query(f"REVOKE EXECUTE ON FUNCTION STORE.{function}({arguments}) FROM PUBLIC")


def test_owner_that_is_no_superuser_closes_and_opens_and_so_does_its_member(
    server_conninfo: str, store: Store, connect: Connect
) -> None:
    """Nothing of the caller's search_path is called, nor in its temporary schema."""
    name = f"owned_{uuid4().hex[:12]}"
    with new_role(store) as owner, new_role(store) as member, new_role(store) as other:
        store.query(f"GRANT CREATE ON DATABASE {store.conn.info.dbname} TO {owner}")
        store.query(f"GRANT {owner} TO {member}")
        pgstore.install(make_conninfo(server_conninfo, user=owner), store=name)
        try:
            for role in (owner, member):
                caller: Connection = connect(user=role)
                for table in ("messages", "streams", "store_fence", "pg_class", "pg_proc"):
                    caller.execute(f"CREATE TEMP TABLE {table} (relname text)")
                caller.execute(
                    "CREATE FUNCTION pg_temp.format(text, VARIADIC text[]) RETURNS text"
                    " LANGUAGE plpgsql AS 'BEGIN RAISE ''called''; END'"
                )
                caller.execute("SET search_path = pg_temp, pg_catalog")
                caller.execute(f"SELECT {name}.fence_store(%s)", [PLACE])
                for statement in (
                    f"SELECT {name}.write_message('a-1', 'T', '1')",
                    f"INSERT INTO {name}.streams SELECT * FROM {name}.streams",
                ):
                    with store.refused("MS030", store=name, conninfo=PLACE):
                        caller.execute(statement.encode())
                assert caller.execute(
                    f"SELECT role FROM {name}.fence_of_store()".encode()
                ).fetchall() == [(role,)]
                assert caller.execute(f"SELECT {name}.lift_fence()".encode()).fetchall() == [
                    (True,)
                ]
            with store.refused("42501"):
                connect(user=other).execute(f"SELECT {name}.fence_store('host=x')".encode())
        finally:
            store.query(f"DROP SCHEMA {name} CASCADE")


def test_store_of_a_dump_without_rows_is_opened_again(store: Store) -> None:
    store.call("fence_store", PLACE)
    store.query("DELETE FROM STORE.store_fence")
    with store.refused("MS030", conninfo=PLACE):
        store.write("a-1")
    assert store.call("lift_fence") == [(True,)]
    store.write("a-1")
    assert wrong(store) == []


def test_closed_store_is_not_upgraded(server_conninfo: str, store: Store) -> None:
    store.query("UPDATE STORE.migrations SET checksum = 'other' WHERE number = 0")
    with store.closed(PLACE), pytest.raises(psycopg.Error) as caught:
        pgstore.install(server_conninfo, store=store.name)
    assert caught.value.sqlstate == "MS030"
    pgstore.install(server_conninfo, store=store.name)
    assert wrong(store) == []
