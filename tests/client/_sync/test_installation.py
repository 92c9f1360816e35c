# Generated from tests/client/_async/test_installation.py by `python tools/unasync.py`.

"""The store's schema: any name, made on first use or expected to be there, refused untouched."""

import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

import pgstore
from pgstore._sync import installer
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client._sync.everything import MESSAGES, do_everything
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.conftest import Connect

NAMES = [
    'My "odd" % schéma',
    "it's; DROP SCHEMA x",
    "%s",
    "%(name)s",
    "{} $1 STORE",
    "SELECT",
    "back\\slash",
    "a.b",
    " ",
    "ä" * 31,
    "x" * 63,
    "line\nbreak",
    "🐢",
]


@pytest.mark.parametrize("name", NAMES)
def test_store_can_have_any_name_of_a_schema(
    open_store: OpenStore, connect: Connect, stream: str, name: str
) -> None:
    conn = connect()
    drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name))
    conn.execute(drop)
    try:
        do_everything(open_store(MESSAGES, store=name), stream)
        store = open_store(MESSAGES, store=name, create=False)
        assert store.name == name
        assert store.stream_version(stream) == 2
        query = sql.SQL("SELECT count(*) FROM {}.all_messages").format(sql.Identifier(name))
        assert conn.execute(query).fetchone() == (4,)
    finally:
        conn.execute(drop)


@pytest.mark.parametrize("name", ["", "x" * 64, "ä" * 32, "a\0b", "pg_store", "pg_catalog"])
def test_store_refuses_what_cannot_be_a_schemas_name(name: str) -> None:
    with pytest.raises(pgstore.InvalidArgumentError, match="cannot be a store's name"):
        pgstore.MessageStore[EventA](messages=EventA, store=name)


def test_stores_are_apart(open_store: OpenStore, schema: str, stream: str) -> None:
    one, other = open_store(), open_store(store=schema)
    one.write(stream, EventA(1))
    assert other.stream_version(stream) == 0
    stored = next(one.read(stream))
    with pytest.raises(pgstore.MessageNotFoundError):
        other.get(stored.message_id)
    assert other.write(stream, EventA(1)).global_position == 1


def test_construction_does_not_connect() -> None:
    store = pgstore.MessageStore[EventA]("host=127.0.0.1 port=1", messages=EventA)
    store.close()


def test_first_use_by_many_at_once_creates_it_once(
    conninfo: str, open_store: OpenStore, connect: Connect, schema: str, stream: str
) -> None:
    one = open_store(store=schema)
    stores = [one if number % 2 else open_store(store=schema) for number in range(8)]
    with Parallel() as parallel:
        for number, store in enumerate(stores):
            parallel.start(partial(store.write, stream, EventA(number)))
        results = parallel.results()
    assert sorted(position.version for position in results) == list(range(1, 9))
    query = sql.SQL("SELECT count(*) FROM {}.migrations").format(sql.Identifier(schema))
    assert connect().execute(query).fetchone() == (len(migrations()) + 1,)


def migrations() -> list[Path]:
    return sorted((Path(pgstore.__file__).parent / "sql" / "migrations").glob("*.sql"))


def schemas(conn: psycopg.Connection[Any], name: str) -> list[Any]:
    """Everything in the store's schema, and what its table of migrations says."""
    objects = conn.execute(
        "SELECT oid::text, relname FROM pg_class WHERE relnamespace = to_regnamespace(%s)::oid"
        " UNION ALL SELECT oid::text, xmin::text FROM pg_proc"
        " WHERE pronamespace = to_regnamespace(%s)::oid ORDER BY 1",
        (name, name),
    ).fetchall()
    if objects:
        query = sql.SQL("SELECT * FROM {}.migrations ORDER BY number")
        objects += conn.execute(query.format(sql.Identifier(name))).fetchall()
    return objects


def change(conn: psycopg.Connection[Any], name: str, statement: str) -> None:
    conn.execute(sql.SQL(statement).format(sql.Identifier(name, "migrations")))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_missing_store_names_the_command(
    conninfo: str, open_store: OpenStore, connect: Connect, schema: str, there: bool, pooled: bool
) -> None:
    conn = connect()
    if there:
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    before = schemas(conn, schema)
    with ConnectionPool(conninfo, min_size=1, max_size=1, timeout=5, open=False) as pool:
        store = open_store(conninfo=pool if pooled else conninfo, store=schema, create=False)
        for _ in range(2):
            with pytest.raises(
                pgstore.StoreNotInstalledError,
                match=f"python -m pgstore install.* --store {schema}",
            ):
                store.write("s-1", EventA(1))
        with pool.connection() as other:
            assert not other.autocommit
    assert schemas(conn, schema) == before
    pgstore.install(conninfo, store=schema)
    assert open_store(store=schema, create=False).name == schema


def test_command_is_quoted_for_a_shell(open_store: OpenStore) -> None:
    number = uuid4().hex[:6]
    store = open_store(store=f'it\'s "odd" $HOME {number}', create=False)
    with pytest.raises(pgstore.StoreNotInstalledError) as caught:
        store.stream_version("s-1")
    assert f"""'it'"'"'s "odd" $HOME {number}'""" in str(caught.value)


def test_outdated_store_names_the_command(
    conninfo: str, open_store: OpenStore, connect: Connect, schema: str
) -> None:
    conn = connect()
    pgstore.install(conninfo, store=schema)
    change(conn, schema, "DELETE FROM {0} WHERE number = (SELECT max(number) FROM {0})")
    before = schemas(conn, schema)
    store = open_store(store=schema, create=False)
    with pytest.raises(
        pgstore.StoreOutdatedError, match=f"python -m pgstore install.* --store {schema}"
    ):
        store.stream_version("s-1")
    assert schemas(conn, schema) == before


def make_newer(conn: psycopg.Connection[Any], name: str, needed: int) -> None:
    """As a later release would, whose last breaking migration has the number `needed`."""
    change(conn, name, "INSERT INTO {} VALUES (9999, now(), 'later', 'x')")
    change(conn, name, "UPDATE {} SET checksum = 'later' WHERE number = 0")
    conn.execute(
        sql.SQL("CREATE OR REPLACE FUNCTION {}() RETURNS bigint LANGUAGE sql RETURN {}").format(
            sql.Identifier(name, "needed_version"), needed
        )
    )


@pytest.mark.parametrize("create", [True, False])
def test_newer_store_is_used_as_it_is_unless_that_breaks(
    conninfo: str,
    open_store: OpenStore,
    connect: Connect,
    schema: str,
    stream: str,
    create: bool,
) -> None:
    conn = connect()
    latest = pgstore.install(conninfo, store=schema)
    make_newer(conn, schema, latest)
    before = schemas(conn, schema)
    do_everything(open_store(MESSAGES, store=schema, create=create), stream)
    assert schemas(conn, schema) == before

    change(conn, schema, "UPDATE {} SET checksum = 'edited' WHERE number = 1")
    store = open_store(store=schema, create=create)
    with pytest.raises(pgstore.StoreTooNewError):
        store.stream_version(stream)
    change(conn, schema, "DELETE FROM {} WHERE number = 1")
    store = open_store(store=schema, create=create)
    with pytest.raises(pgstore.StoreTooNewError):
        store.stream_version(stream)


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("dropped", [True, False])
def test_newer_store_that_breaks_is_refused_untouched(
    conninfo: str,
    open_store: OpenStore,
    connect: Connect,
    schema: str,
    create: bool,
    dropped: bool,
) -> None:
    """So is a store that does not tell the version it needs."""
    conn = connect()
    latest = pgstore.install(conninfo, store=schema)
    make_newer(conn, schema, latest + 1)
    if dropped:
        name = sql.Identifier(schema, "needed_version")
        conn.execute(sql.SQL("DROP FUNCTION {}").format(name))
    before = schemas(conn, schema)
    store = open_store(store=schema, create=create)
    with pytest.raises(pgstore.StoreTooNewError) as caught:
        store.write("s-1", EventA(1))
    assert caught.value.detail["store"] == schema
    assert caught.value.diag.message_hint
    assert schemas(conn, schema) == before


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE {} SET checksum = 'x' WHERE number = 1", pgstore.MigrationEditedError),
    ],
)
def test_edited_store_is_refused_untouched(
    conninfo: str,
    open_store: OpenStore,
    connect: Connect,
    schema: str,
    create: bool,
    statement: str,
    error: type[pgstore.StoreError],
) -> None:
    conn = connect()
    pgstore.install(conninfo, store=schema)
    change(conn, schema, statement)
    before = schemas(conn, schema)
    store = open_store(store=schema, create=create)
    with pytest.raises(error) as caught:
        store.write("s-1", EventA(1))
    assert caught.value.detail["store"] == schema
    assert caught.value.diag.message_hint
    assert schemas(conn, schema) == before


@pytest.mark.parametrize("create", [True, False])
def test_a_role_that_may_only_execute_uses_an_installed_store(
    conninfo: str, open_store: OpenStore, connect: Connect, schema: str, stream: str, create: bool
) -> None:
    conn = connect()
    pgstore.install(conninfo, store=schema)
    role = f"role_{uuid4().hex[:12]}"
    names = {"role": sql.Identifier(role), "schema": sql.Identifier(schema)}
    for statement in (
        "CREATE ROLE {role} LOGIN",
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}",
    ):
        conn.execute(sql.SQL(statement).format(**names))
    try:
        store = open_store(
            MESSAGES, conninfo=make_conninfo(conninfo, user=role), store=schema, create=create
        )
        do_everything(store, stream)
        make_newer(conn, schema, 9999)
        newer = open_store(
            MESSAGES, conninfo=make_conninfo(conninfo, user=role), store=schema, create=create
        )
        with pytest.raises(pgstore.StoreTooNewError):
            newer.stream_version(stream)
    finally:
        conn.execute(sql.SQL("DROP OWNED BY {role}").format(**names))
        conn.execute(sql.SQL("DROP ROLE {role}").format(**names))


def test_upgrade_happens_on_first_use(
    conninfo: str, open_store: OpenStore, connect: Connect, schema: str, stream: str
) -> None:
    conn = connect()
    pgstore.install(conninfo, store=schema)
    change(conn, schema, "UPDATE {} SET checksum = 'older' WHERE number = 0")
    conn.execute(sql.SQL("DROP FUNCTION {}(text)").format(sql.Identifier(schema, "stream_version")))
    store = open_store(MESSAGES, store=schema)
    do_everything(store, stream)


def test_aclose_and_then_use_again(open_store: OpenStore, stream: str) -> None:
    store = open_store()
    for version in (1, 2):
        assert store.write(stream, EventA(1)).version == version
        store.close()
        store.close()


def test_aclose_closes_the_stores_own_connections(
    conninfo: str, open_store: OpenStore, connect: Connect, stream: str
) -> None:
    name = f"store {uuid4()}"
    query = "SELECT FROM pg_stat_activity WHERE application_name = %s"
    with open_store(conninfo=make_conninfo(conninfo, application_name=name)) as store:
        store.write(stream, EventA(1))
        assert connect().execute(query, (name,)).rowcount > 0
        pool = store._database.ready()  # held here, so that it is not closed for being lost
    assert pool.closed
    deadline = time.monotonic() + 30
    conn = connect()
    while conn.execute(query, (name,)).rowcount > 0:
        assert time.monotonic() < deadline


def test_raw_shares_the_connections(
    conninfo: str, open_store: OpenStore, connect: Connect, stream: str
) -> None:
    name = f"store {uuid4()}"
    store = open_store(conninfo=make_conninfo(conninfo, application_name=name))
    store.write(stream, EventA(1))
    query = "SELECT FROM pg_stat_activity WHERE application_name = %s"
    conn = connect()
    before = conn.execute(query, (name,)).rowcount
    for _ in range(5):
        assert store.raw.stream_version(stream) == 1
    assert conn.execute(query, (name,)).rowcount == before
    assert store.raw.name == store.name


def test_operations_one_after_another_use_one_connection(
    open_store: OpenStore, stream: str
) -> None:
    store = open_store()
    for _ in range(3):
        store.write(stream, EventA(1))
    pool = store._database.ready()
    assert pool.get_stats()["pool_size"] == 1


def test_statements_are_run_one_by_one(
    open_connection: OpenConnection, caplog: pytest.LogCaptureFixture
) -> None:
    conn = open_connection(options="-c statement_timeout=1s")
    installer._run_script(conn, "SELECT pg_sleep(0.3);\n" * 4)
    for many in (0, 5, 50, 500):  # the error is met at the end of the pipeline, or before
        with pytest.raises(psycopg.errors.DivisionByZero) as caught, conn.transaction():
            installer._run_script(conn, "SELECT 1;\nSELECT 1 / 0,\n  2;\n" + "SELECT 3;\n" * many)
        assert caught.value.__notes__ == ["in the statement: SELECT 1 / 0,"]
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert caplog.messages == []


@pytest.mark.parametrize("pipelines", [True, False])
def test_a_store_is_installed_with_a_driver_that_has_no_pipelines(
    open_connection: OpenConnection,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    pipelines: bool,
) -> None:
    monkeypatch.setattr(psycopg.Pipeline, "is_supported", lambda: pipelines)
    conn = open_connection()
    assert installer.install(conn, schema) > 0
    with conn.transaction(force_rollback=True):
        conn.execute(f'UPDATE "{schema}".migrations SET checksum = 1 WHERE number = 1')
        with pytest.raises(pgstore.StoreError):
            installer.install(conn, schema)
    assert caplog.messages == []
