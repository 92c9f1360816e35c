"""The checks of a move: servers, roles and connections that it cannot use."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore.embedded import Server
from pgstore.transfer import Move, MoveError
from tests.embedded.moving import STORE, do, rows
from tests.pgbouncer import pgbouncer
from tests.standbys import pair

# `wal_level` is replica, as PostgreSQL has it.
_POOR = {
    "max_replication_slots": "1",
    "max_wal_senders": "1",
    "max_logical_replication_workers": "1",
    "fsync": "off",
}
_OF_SERVERS = [
    "wal_level of the source",
    "replication slots that are free",
    "walsenders that are free",
    "workers for replication at the target",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(settings=_POOR) as server:
        do(server.conninfo, "CREATE DATABASE target")
        yield server


@pytest.fixture
def source(server: Server) -> Iterator[str]:
    pgstore.install(server.conninfo, store=STORE)
    yield server.conninfo
    do(server.conninfo, f"DROP SCHEMA IF EXISTS {STORE} CASCADE")


@pytest.fixture
def target(source: str) -> str:
    return make_conninfo(source, dbname="target")


@contextmanager
def lookout(source: str) -> Iterator[None]:
    """A role that may connect, and read."""
    do(source, f"CREATE ROLE lookout LOGIN; SELECT {STORE}.grant_access('lookout', 'read')")
    try:
        yield
    finally:
        do(source, "DROP OWNED BY lookout CASCADE; DROP ROLE lookout")


def wrong(source: str, target: str) -> list[str]:
    with Move(source, target, store=STORE) as move:
        return [each.check for each in move.check() if each.wrong]


def test_servers_that_cannot_replicate_are_named(source: str, target: str) -> None:
    assert wrong(source, target) == _OF_SERVERS
    with Move(source, target, store=STORE) as move, pytest.raises(MoveError, match="wal_level"):
        move.run()
    assert rows(target, f"SELECT FROM pg_namespace WHERE nspname = '{STORE}'") == []


def test_store_that_is_not_there_is_named(source: str, target: str) -> None:
    do(source, f"DROP SCHEMA {STORE} CASCADE")
    assert wrong(source, target) == ["store"]


def test_store_of_another_schema_version_is_named(source: str, target: str) -> None:
    do(
        source,
        f"DELETE FROM {STORE}.migrations AS m"
        f" WHERE m.number = (SELECT max(number) FROM {STORE}.migrations)",
    )
    assert wrong(source, target) == ["store"]


def test_store_at_the_target_of_another_version_or_owner_is_named(source: str, target: str) -> None:
    pgstore.install(target, store=STORE)
    try:
        newest = f"SELECT max(number) FROM {STORE}.migrations"
        do(target, f"DELETE FROM {STORE}.migrations WHERE number = ({newest})")
        assert wrong(source, target) == [*_OF_SERVERS, "the store at the target"]
        do(target, f"DROP SCHEMA {STORE} CASCADE")
        with lookout(source):
            ((database,),) = rows(target, "SELECT quote_ident(current_database())")
            do(target, f"GRANT CREATE ON DATABASE {database} TO lookout")
            as_lookout = make_conninfo(target, user="lookout")
            pgstore.install(as_lookout, store=STORE)
            assert wrong(source, target) == [*_OF_SERVERS, "the store at the target"]
            with Move(source, as_lookout, store=STORE) as move:
                found = {each.check: each.found for each in move.check() if each.wrong}
            assert found["the store's owner at the target"].endswith(": another role")
            do(target, "DROP OWNED BY lookout CASCADE")
    finally:
        do(target, f"DROP SCHEMA IF EXISTS {STORE} CASCADE")


def test_role_that_is_not_the_owner_is_told_so(source: str, target: str) -> None:
    with lookout(source):
        assert wrong(make_conninfo(source, user="lookout"), target) == [
            "the role is the store's owner"
        ]


def test_owner_is_told_which_rights_it_lacks(source: str, target: str) -> None:
    with lookout(source):
        as_lookout = make_conninfo(source, user="lookout")
        ((database,),) = rows(source, "SELECT quote_ident(current_database())")
        do(source, f"DROP SCHEMA {STORE} CASCADE; GRANT CREATE ON DATABASE {database} TO lookout")
        pgstore.install(as_lookout, store=STORE)
        do(source, f"REVOKE CREATE ON DATABASE {database} FROM lookout")
        found = wrong(as_lookout, make_conninfo(target, user="lookout"))
    assert [each for each in found if each not in _OF_SERVERS] == [
        "the role may replicate",
        "the role may publish",
        "the role may subscribe",
        "the store's owner may create a schema",
        "a password for the replication",
    ]


def test_standby_is_neither_source_nor_target_of_a_move(source: str) -> None:
    with pair() as (primary, standby):
        pgstore.install(primary.conninfo, store=STORE)
        with psycopg.connect(primary.conninfo) as conn:
            ((end,),) = conn.execute("SELECT pg_current_wal_lsn()").fetchall()
        do(
            standby.conninfo,
            f"DO $$ BEGIN WHILE pg_last_wal_replay_lsn() < '{end}' LOOP"
            " PERFORM pg_sleep(0.02); END LOOP; END $$",
        )
        assert "the source is a primary" in wrong(standby.conninfo, source)
        assert "the target is a primary" in wrong(source, standby.conninfo)


@pytest.mark.parametrize("end", ["source", "target"])
def test_pooler_that_gives_a_session_to_each_transaction_is_refused(
    source: str, target: str, end: str
) -> None:
    with pgbouncer(source if end == "source" else target, "transaction") as through:
        ends = (through, target) if end == "source" else (source, through)
        with pytest.raises(MoveError, match="pooler"):
            Move(*ends, store=STORE)


def test_pooler_that_keeps_sessions_is_none_in_the_way(source: str, target: str) -> None:
    with pgbouncer(source, "session") as through:
        assert wrong(through, target) == _OF_SERVERS
