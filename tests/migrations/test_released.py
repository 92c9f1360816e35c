"""Upgrades of released versions: with data, while others work, and when a lock cannot be had."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pgstore import transfer
from pgstore._core import sql_files
from tests.amounts import LONG
from tests.conftest import Connect
from tests.migrations.installers import (
    LATEST,
    Install,
    Rows,
    by_psql,
    by_python,
    catalog,
    code_and_detail,
    tables,
    write,
)
from tests.migrations.test_gates import wait_for_trust
from tests.released import FOLDER, install_released

VERSIONS = sorted(int(path.stem) for path in FOLDER.glob("*.sql"))

any_version = pytest.mark.parametrize("version", VERSIONS)

# Both run the same files in the same order: psql shows it at both ends, in the long form at all.
any_upgrade = pytest.mark.parametrize(
    ("version", "install"),
    [
        *((version, "python") for version in VERSIONS),
        *((version, "psql") for version in (VERSIONS if LONG else [VERSIONS[0], VERSIONS[-1]])),
    ],
    indirect=["install"],
)


def query(conn: psycopg.Connection, name: str, text: str) -> Rows:
    return conn.execute(sql.SQL(text).format(store=sql.Identifier(name))).fetchall()


def fill(conn: psycopg.Connection, name: str, role: str) -> None:
    """Streams, a subscription in the middle of its work with a parked message, and rights."""
    for n in range(20):
        write(conn, name, f"a-{n % 3}")
    for text in (
        "SELECT {store}.create_subscription('s', partitions => 4, on_failure => 'park',"
        " max_attempts => 1)",
        "SELECT {store}.create_subscription('t', categories => ARRAY['a'])",
    ):
        query(conn, name, text)
    claimed = query(conn, name, "SELECT * FROM {store}.claim_partition(ARRAY['s'], 'me')")
    _, partition, token, _ = claimed[0]
    fetch = f"SELECT global_position FROM {{store}}.fetch_batch('s', {partition}, {token}, 1)"
    ((position,),) = query(conn, name, fetch)
    parked = f"SELECT {{store}}.fail_message('s', {partition}, {token}, {position}, 'E')"
    assert query(conn, name, parked) == [("park",)]
    conn.execute(
        sql.SQL(
            "GRANT USAGE ON SCHEMA {store} TO {role};"
            "GRANT EXECUTE ON FUNCTION {store}.write_message TO {role}"
        ).format(store=sql.Identifier(name), role=sql.Identifier(role))
    )


# What callers see of a store; an upgrade must not change it.
SEEN = [
    "SELECT m.message_id, m.stream, m.version, m.global_position, m.type, m.data, m.metadata,"
    " m.added_at FROM {store}.all_messages AS m ORDER BY m.global_position",
    "SELECT l.subscription, l.categories, l.types, l.stream_pattern, l.partitions,"
    " l.next_partitions, l.partition_by, l.on_failure, l.max_attempts, l.retry_delay, l.paused,"
    " l.created_at FROM {store}.list_subscriptions() AS l",
    "SELECT l.subscription, l.partition, l.checkpoint, l.behind, l.attempts, l.error"
    " FROM {store}.list_partitions() AS l",
    "SELECT l.* FROM {store}.list_parked('s') AS l",
    "SELECT {store}.stream_version('a-0'), {store}.stream_version('none')",
    "SELECT {store}.wake_channel(), pg_get_function_sqlbody(p.oid) FROM pg_proc AS p"
    " WHERE p.pronamespace = (SELECT c.relnamespace FROM pg_class AS c"
    " WHERE c.oid = '{store}.messages'::regclass) AND p.proname ~ '^_?mark_lock_class$'",
]


@any_version
def test_frozen_migrations_are_the_ones_in_the_tree(
    conninfo: str, schema: str, version: int
) -> None:
    """Otherwise an upgrade would be refused; before a release, freeze it again."""
    install_released(conninfo, schema, version)
    with psycopg.connect(conninfo) as conn:
        rows = query(conn, schema, "SELECT number, checksum FROM {store}.migrations")
    found: dict[int, str] = dict(rows)
    known = sql_files.checksums()
    # Functions too, unless a migration tells them apart: an older package would apply its own.
    compared = [n for n in found if n > 0 or max(found) == LATEST.number]
    assert {n: found[n] for n in compared} == {n: known[n] for n in compared}


def decided_by_tags(conn: psycopg.Connection, name: str) -> list[str | None]:
    """Two writes upon one decision: the codes of their errors."""
    looked = '\'[{{"tags": ["a"]}}]\''
    *_, (token,) = query(
        conn, name, f"SELECT t.decided_upon FROM {{store}}.read_tagged({looked}) AS t"
    )
    found: list[str | None] = []
    for _ in range(2):
        try:
            query(
                conn,
                name,
                "SELECT {store}.write_message('tagged-1', 'T', '1', tags => '{{b,a}}',"
                f" condition => {looked}, decided_upon => '{token}')",
            )
            found.append(None)
        except psycopg.Error as error:
            found.append(error.sqlstate)
    return found


@any_upgrade
def test_upgrade_keeps_everything_and_goes_on(
    conninfo: str, schema: str, role: str, connect: Connect, install: Install, version: int
) -> None:
    install_released(conninfo, schema, version)
    conn = connect()
    fill(conn, schema, role)
    before = [query(conn, schema, text) for text in SEEN]
    install(conninfo, schema)
    assert [query(conn, schema, text) for text in SEEN] == before
    assert query(conn, schema, "SELECT {store}.schema_version()") == [(LATEST.number,)]

    assert write(conn, schema, "a-1") == (8, 21)
    assert write(connect(user=role), schema, "a-1") == (9, 22)  # its rights are still there
    assert query(conn, schema, "SELECT {store}.truncate_stream('a-1', 9)") == [(8,)]
    assert decided_by_tags(conn, schema) == [None, "MS009"]
    query(conn, schema, "SELECT {store}.delete_stream('tagged-1')")
    # Rights that were given by hand stay, and are named.
    wrong = [check.check for check in transfer.verify(conn, store=schema) if check.wrong]
    assert wrong == ["roles have nothing but what was granted to them"]
    query(conn, schema, "SELECT {store}.drop_subscription('s')")
    claimed = query(conn, schema, "SELECT * FROM {store}.claim_partition(ARRAY['t'], 'me')")
    fetch = f"SELECT count(message_id) FROM {{store}}.fetch_batch('t', 0, {claimed[0][2]})"
    assert query(conn, schema, fetch) == [(14,)]


@any_upgrade
def test_upgraded_store_is_as_a_fresh_one(
    conninfo: str, schema: str, install: Install, version: int
) -> None:
    """Under the same name, because constants of a store are made of it."""
    by_python(conninfo, schema)
    fresh = catalog(conninfo, schema)
    with psycopg.connect(conninfo) as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
    install_released(conninfo, schema, version)
    assert catalog(conninfo, schema)["migrations"] != fresh["migrations"]
    install(conninfo, schema)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        wait_for_trust(conn, schema)
    upgraded = catalog(conninfo, schema)
    for kind, rows in fresh.items():
        assert upgraded[kind] == rows, kind


def test_store_with_a_message_at_position_0_is_upgraded_and_verify_tells(
    conninfo: str, schema: str, connect: Connect, install: Install
) -> None:
    """After RESTART by hand. Nothing is deleted by itself: what is to be done, the docs say."""
    install_released(conninfo, schema, 1)
    conn = connect()
    restart = sql.SQL("ALTER SEQUENCE {}.global_position_seq RESTART")
    conn.execute(restart.format(sql.Identifier(schema)))
    assert write(conn, schema, "a-1") == (1, 0)
    assert write(conn, schema, "b-1") == (1, 1)
    install(conninfo, schema)
    assert write(conn, schema, "a-1") == (2, 2)
    assert {
        check.check: check.example for check in transfer.verify(conn, store=schema) if check.wrong
    } == {
        "messages are well formed": "position 0",
        "positions rise with versions": "stream_id 1: version 1 at position 0",
    }
    write(conn, schema, "a-1")
    assert query(conn, schema, "SELECT {store}.truncate_stream('a-1', 2)") == [(1,)]
    assert [check for check in transfer.verify(conn, store=schema) if check.wrong] == []


@contextmanager
def working(*calls: Callable[[], object]) -> Iterator[list[float]]:
    """Repeat each call in a thread of its own; how long each took.

    None may fail but for a name that the upgrade has changed while the call ran, or a function that
    it has dropped.
    """
    took: list[float] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def repeat(call: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    call()
                except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction):
                    continue
                except psycopg.errors.InternalError_ as error:
                    if "cache lookup failed for function" not in str(error):
                        raise
                    continue
                took.append(time.monotonic() - began)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=repeat, args=[call], daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert failed == []


def wait_for_more(took: list[float], count: int) -> None:
    goal, deadline = len(took) + count, time.monotonic() + 30
    while len(took) < goal:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@any_upgrade
def test_writers_and_readers_go_on_during_an_upgrade(
    conninfo: str, schema: str, connect: Connect, install: Install, version: int
) -> None:
    install_released(conninfo, schema, version)
    setup = connect()
    for n in range(4):
        write(setup, schema, f"a-{n}")
    query(setup, schema, "SELECT {store}.create_subscription('s')")
    query(
        setup,
        schema,
        "SELECT {store}.create_subscription('t', partitions => 4, partition_by => 'cardinal_id')",
    )
    found: list[int] = []
    conns = [connect() for _ in range(5)]

    def read() -> int:
        after = found[-1] if found else 0
        rows = query(
            conns[2], schema, f"SELECT global_position FROM {{store}}.read_all({after}, 100)"
        )
        found.extend(position for (position,) in rows)
        return len(rows)

    def consume(conn: psycopg.Connection, subscription: str) -> None:
        claim = f"SELECT * FROM {{store}}.claim_partition('{{{{{subscription}}}}}', 'me')"
        for _, partition, token, _ in query(conn, schema, claim):
            if token is not None:
                lease = f"'{subscription}', {partition}, {token}"
                fetch = f"SELECT checkpoint FROM {{store}}.fetch_batch({lease})"
                if rows := query(conn, schema, fetch):
                    with conn.transaction():  # as a handler that writes does
                        write(conn, schema, "b-1")
                        acknowledge = f"SELECT {{store}}.acknowledge({lease}, {rows[-1][0]})"
                        query(conn, schema, acknowledge)
                query(conn, schema, f"SELECT {{store}}.release_partition({lease})")

    with working(
        lambda: write(conns[0], schema, "a-1"),
        lambda: write(conns[1], schema, "a-2"),
        read,
        lambda: consume(conns[3], "s"),
        lambda: consume(conns[4], "t"),
    ) as took:
        wait_for_more(took, 100)
        install(conninfo, schema)
        wait_for_more(took, 100)
    assert max(took) < 20
    while read():
        pass
    stored = query(setup, schema, "SELECT global_position FROM {store}.messages ORDER BY 1")
    assert [(position,) for position in found] == stored
    gaps = query(
        setup,
        schema,
        "SELECT count(*) - max(version) FROM {store}.all_messages GROUP BY stream",
    )
    assert {gap for (gap,) in gaps} == {0}


@any_version
def test_upgrade_by_several_at_once_happens_once(conninfo: str, schema: str, version: int) -> None:
    install_released(conninfo, schema, version)
    with ThreadPoolExecutor(6) as threads:
        done = [threads.submit(each, conninfo, schema) for each in (by_psql, by_python) * 3]
    for each in done:
        each.result()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        assert [check for check in transfer.verify(conn, store=schema) if check.wrong] == []


@pytest.mark.parametrize(
    "holds",
    [
        "LOCK {store}.messages IN SHARE UPDATE EXCLUSIVE MODE",  # as VACUUM does
        "LOCK {store}.messages IN ACCESS EXCLUSIVE MODE",
        "SELECT FROM {store}.streams",
    ],
)
def test_upgrade_that_cannot_have_a_lock_changes_nothing(
    conninfo: str, schema: str, connect: Connect, install: Install, holds: str
) -> None:
    install_released(conninfo, schema, 1)
    before = catalog(conninfo, schema)
    other = connect(autocommit=False)
    other.execute(sql.SQL(holds).format(store=sql.Identifier(schema)))
    began = time.monotonic()
    with pytest.raises(Exception) as caught:  # noqa: PT011 — which one tells its SQLSTATE
        install(conninfo, schema)
    assert code_and_detail(caught.value)[0] == "55P03"
    assert time.monotonic() - began < 10
    other.rollback()
    assert catalog(conninfo, schema) == before
    install(conninfo, schema)
    assert "audit" in tables(conninfo, schema)


def test_functions_that_cannot_be_applied_anew_leave_the_store_as_it_is(
    conninfo: str, schema: str, connect: Connect, install: Install
) -> None:
    """A view that somebody has read, and whoever reads it next, who waits for the installer."""
    install(conninfo, schema)
    before = catalog(conninfo, schema)
    other = connect(autocommit=False)
    query(other, schema, "SELECT FROM {store}.all_messages")
    reader = connect(options="-c lock_timeout=10s")
    with (
        working(lambda: query(reader, schema, "SELECT FROM {store}.all_messages")),
        pytest.raises(Exception) as caught,  # noqa: PT011 — which one tells its SQLSTATE
    ):
        install(conninfo, schema)
    assert code_and_detail(caught.value)[0] == "55P03"
    other.rollback()
    assert catalog(conninfo, schema) == before
    install(conninfo, schema)


def test_upgrade_grants_what_it_adds_to_who_had_rights(
    conninfo: str, schema: str, role: str, connect: Connect, install: Install
) -> None:
    """As if read_stream were new; and the roles are gone, or are others of the same name."""
    install(conninfo, schema)
    conn = connect()
    for name in ("gone", "anew"):
        conn.execute(f"CREATE ROLE {role}_{name}".encode())
        query(conn, schema, f"SELECT {{store}}.grant_access('{role}_{name}', 'read')")
        conn.execute(f"DROP OWNED BY {role}_{name}; DROP ROLE {role}_{name}".encode())
    conn.execute(f"CREATE ROLE {role}_anew".encode())
    try:
        query(conn, schema, f"SELECT {{store}}.grant_access('{role}', 'read')")
        revoke = "REVOKE EXECUTE ON FUNCTION {store}.read_stream FROM {role}"
        conn.execute(
            sql.SQL(revoke).format(store=sql.Identifier(schema), role=sql.Identifier(role))
        )
        install(conninfo, schema)
        assert query(connect(user=role), schema, "SELECT {store}.read_stream('a-1')") == []
        right = f"SELECT has_schema_privilege('{role}_anew', '{schema}', 'USAGE')"
        assert query(conn, schema, right) == [(False,)]
    finally:
        conn.execute(f"DROP ROLE {role}_anew".encode())


def test_upgrade_keeps_grants_of_functions_that_are_gone(
    conninfo: str, schema: str, role: str, connect: Connect, install: Install
) -> None:
    """Version 2 had a function a kind of rights."""
    install_released(conninfo, schema, 2)
    conn = connect()
    query(conn, schema, f"SELECT {{store}}.grant_write('{role}', ARRAY['a'])")
    for kind in ("read", "consume", "monitor"):
        query(conn, schema, f"SELECT {{store}}.grant_{kind}('{role}')")
    grants = query(conn, schema, "SELECT * FROM {store}.list_grants()")
    assert len(grants) == 4
    install(conninfo, schema)
    assert query(conn, schema, "SELECT * FROM {store}.list_grants()") == grants
    assert [check.check for check in transfer.verify(conn, store=schema) if check.wrong] == []
    own = connect(user=role)
    assert write(own, schema, "a-1") == (1, 1)
    assert query(own, schema, "SELECT version FROM {store}.read_stream('a-1')") == [(1,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        write(own, schema, "b-1")


def test_released_versions_are_listed() -> None:
    text = (Path(FOLDER) / "README.md").read_text()
    assert [version for version in VERSIONS if f"`{version}.sql`" not in text] == []
