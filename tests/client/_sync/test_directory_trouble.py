# Generated from tests/client/_async/test_directory_trouble.py by `python tools/unasync.py`.

"""Directories that are away, wrong, late or locked."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgstore
from pgstore import Directory, MessageStore
from pgstore._core.places import place_of
from pgstore._sync import entry
from tests.client._sync.places import Servers
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.client.proxy import Proxy

Store = MessageStore[EventA]


@pytest.fixture
def servers(conninfo: str) -> Iterator[Servers]:
    with Servers.made(conninfo) as servers:
        yield servers


@pytest.fixture
def store(servers: Servers) -> Iterator[Store]:
    with servers.directory.store("bank", messages=EventA) as store:
        yield store


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the place that the closed store says tried soon, whatever the directory says."""
    monkeypatch.setattr(entry, "_DIRECTORY_FIRST", 0.2)


def test_running_store_follows_a_move_while_the_directory_is_away(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a-1", EventA(1))
    soon(monkeypatch)
    dbname = str(conninfo_to_dict(servers.third)["dbname"])
    servers.close(servers.first, servers.second)
    servers.open(servers.second)
    with psycopg.Connection.connect(servers.first, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {dbname} WITH (FORCE)".encode())
    store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]
    with pytest.raises(psycopg.OperationalError) as caught:
        servers.directory.store("bank", messages=EventA).stream_version("a-1")
    assert str(caught.value).startswith("the directory of stores: ")
    assert dbname in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM pgstore_directory.stores",
        "UPDATE pgstore_directory.stores SET conninfo = 'neither'",
        "UPDATE pgstore_directory.stores SET conninfo = 'host=127.0.0.1 port=1 dbname=d'",
    ],
)
def test_running_store_follows_a_move_though_its_entry_is_wrong(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    store.write("a-1", EventA(1))
    soon(monkeypatch)
    servers.run(servers.third, change)
    servers.close(servers.first, servers.second)
    servers.open(servers.second)
    if "port=1" in change:  # the directory is believed first: a time-out of the pool, or two
        store._database.source._pool.timeout = 1.0  # type: ignore[union-attr]
        for _ in range(20):
            try:
                store.write("a-2", EventA(1))
                break
            except psycopg.OperationalError:
                servers.directory.put("bank", servers.second)
    else:
        store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]


def test_closed_store_that_names_no_place_is_found_by_the_directory(
    servers: Servers, store: Store
) -> None:
    """Its owner may have written there what programs cannot read."""
    store.write("a-1", EventA(1))
    servers.run(servers.first, "SELECT bank.fence_store('ask the operators')")
    servers.open(servers.second)
    servers.directory.put("bank", servers.second)
    store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]


def test_directory_that_is_locked_does_not_hold_a_store_up_for_ever(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a-1", EventA(1))
    soon(monkeypatch)
    limit = "SELECT set_config('statement_timeout', '100ms', true)"
    monkeypatch.setattr(entry, "LIMIT", limit)
    with psycopg.Connection.connect(servers.third) as conn:
        conn.execute("LOCK TABLE pgstore_directory.stores")
        servers.close(servers.first, servers.second)
        servers.open(servers.second)
        store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]


def test_error_of_a_new_store_says_what_the_directory_has(servers: Servers) -> None:
    store = servers.directory.store("bank", messages=EventA)
    servers.directory.put("bank", servers.third)
    with pytest.raises(pgstore.StoreNotInstalledError) as missing:
        store.stream_version("a-1")
    assert f"is at {place_of(servers.third)}" in missing.value.__notes__[-1]
    servers.run(servers.third, "UPDATE pgstore_directory.stores SET conninfo = 'neither'")
    with pytest.raises(pgstore.InvalidArgumentError, match="the place of store bank"):
        store.stream_version("a-1")
    with pytest.raises(psycopg.errors.UndefinedTable) as caught:
        Directory(servers.first).place("bank")
    assert "Directory.install()" in caught.value.__notes__[0]


def test_directory_is_believed_before_the_closed_store(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that moves a store may reach its place by another name; also the second time."""
    monkeypatch.setattr(entry, "_DIRECTORY_FIRST", 60.0)
    store.write("a-1", EventA(1))
    other_name = "host=127.0.0.1 port=1 dbname=d"
    with Parallel() as parallel:
        servers.run(servers.first, "SELECT bank.fence_store(%s)", other_name)
        parallel.start(lambda: store.write("a-2", EventA(1)))
        parallel.until(lambda: store._database.source._looked > 0)
        servers.open(servers.first)
        assert [each.version for each in parallel.results()] == [1]
    # That was long ago.
    asked: Any = store._database.source._entry
    asked._said_first -= 1000
    asked._said_last -= 1000
    servers.run(servers.first, "SELECT bank.fence_store(%s)", other_name)
    servers.open(servers.second)
    servers.directory.put("bank", servers.second)
    store.write("a-3", EventA(1))
    assert servers.streams(servers.second) == ["a-3"]
    # Wherever the place comes from, an attempt to connect and a silent server have limits.
    assert conninfo_to_dict(store._database.source.conninfo)["connect_timeout"] == "5"


def test_directory_that_has_an_older_place_is_corrected_by_the_closed_store(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    servers.close(servers.first, servers.second)
    servers.open(servers.second)
    with servers.directory.store("bank", messages=EventA) as store:
        store.write("a-1", EventA(1))
        store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-1", "a-2"]


def test_store_that_cannot_connect_looks_into_the_directory(servers: Servers, store: Store) -> None:
    """The server is gone, and another one has the store: no error says where it is."""
    store.write("a-1", EventA(1))
    seen: list[str] = []

    def follow() -> None:
        for stored in store.follow():
            seen.append(stored.stream)
            if len(seen) == 2:
                return

    with Parallel() as parallel:
        parallel.start(follow)
        parallel.until(lambda: seen == ["a-1"])
        servers.open(servers.second)
        servers.run(servers.second, "SELECT bank.skip_positions(1)")
        servers.shut(servers.first, "a.query !~ 'fall_asleep|horizon'")
        servers.directory.put("bank", servers.second)
        store.write("a-2", EventA(1))
        assert parallel.results() == [None]
    assert seen == ["a-1", "a-2"]
    assert servers.streams(servers.second) == ["a-2"]


def test_store_that_has_corrected_the_directory_waits_where_it_is(
    servers: Servers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The former server is gone, and the program that moved the store has changed no entry."""
    soon(monkeypatch)
    servers.close(servers.first, servers.second)
    servers.open(servers.second)
    store.write("a-1", EventA(1))
    for place in (servers.first, servers.second):
        servers.shut(place)
    with Parallel() as parallel:
        parallel.start(lambda: store.write("a-2", EventA(1)))
        questions = entry.Entry.place
        asked: list[int] = []

        def counted(self: entry.Entry) -> pgstore.Place:
            asked.append(1)
            return questions(self)

        monkeypatch.setattr(entry.Entry, "place", counted)
        parallel.until(lambda: len(asked) > 1)
        servers.reopen(servers.second)
        (position,) = parallel.results()
    assert position.version == 1
    assert servers.streams(servers.second) == ["a-1", "a-2"]


@pytest.mark.parametrize("what", ["SCHEMA bank CASCADE", "DATABASE {} WITH (FORCE)"])
def test_store_that_was_idle_finds_its_place_after_the_former_one_is_gone(
    servers: Servers, store: Store, what: str
) -> None:
    store.write("a-1", EventA(1))
    servers.move()
    dbname = conninfo_to_dict(servers.first)["dbname"]
    place = servers.third if "DATABASE" in what else servers.first
    servers.run(place, f"DROP {what.format(dbname)}")
    if "DATABASE" not in what:
        with pytest.raises(psycopg.errors.InvalidSchemaName), store.transaction() as conn:
            store.write("a-2", EventA(1), conn=conn)
        with store.transaction() as conn:
            store.write("a-2", EventA(1), conn=conn)
    store.write("a-3", EventA(1))
    assert servers.streams(servers.second)[-1] == "a-3"
    servers.run(servers.second, "DROP SCHEMA bank CASCADE")
    with pytest.raises(psycopg.errors.InvalidSchemaName):
        store.write("a-4", EventA(1))


@pytest.mark.parametrize("sqlstate", ["XX000", "42P01", "42883"])
def test_statement_that_runs_while_its_place_is_dropped_is_repeated_at_the_other(
    servers: Servers, store: Store, sqlstate: str
) -> None:
    """PostgreSQL then has several errors, "could not open relation with OID" among them."""
    store.write("a-1", EventA(1))
    servers.run(
        servers.first,
        "CREATE FUNCTION bank.gone() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN RAISE EXCEPTION 'gone' USING ERRCODE = '{sqlstate}'; END$$;"
        " CREATE TRIGGER gone BEFORE INSERT ON bank.messages EXECUTE FUNCTION bank.gone()",
    )
    with pytest.raises(psycopg.Error, match="gone"):
        store.write("a-2", EventA(1))
    servers.open(servers.second)
    servers.directory.put("bank", servers.second)
    store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]


def test_store_whose_place_is_read_only_looks_into_the_directory(
    servers: Servers, store: Store
) -> None:
    """As of a former primary that answers, after a failover to another address."""
    store.write("a-1", EventA(1))
    dbname = conninfo_to_dict(servers.first)["dbname"]
    read_only = f"ALTER DATABASE {dbname} SET default_transaction_read_only = on"
    servers.run(servers.third, read_only)
    servers.end_sessions(servers.first)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        store.write("a-2", EventA(1))
    servers.open(servers.second)
    servers.directory.put("bank", servers.second)
    store.write("a-2", EventA(1))
    assert servers.streams(servers.second) == ["a-2"]
    servers.directory.put("bank", servers.first)
    servers.close(servers.second, servers.first)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        store.write("a-3", EventA(1))
    servers.run(servers.second, "SELECT bank.lift_fence()")
    servers.directory.put("bank", servers.second)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), store.transaction() as conn:
        store.write("a-3", EventA(1), conn=conn)
    with store.transaction() as conn:
        store.write("a-3", EventA(1), conn=conn)
    assert servers.streams(servers.second) == ["a-2", "a-3"]


def test_store_that_was_idle_reads_after_the_former_place_is_gone(
    servers: Servers, store: Store
) -> None:
    store.write("a-1", EventA(1))
    servers.move()
    servers.run(servers.first, "DROP SCHEMA bank CASCADE")
    assert store.stream_version("a-1") == 0


def test_entry_may_have_several_hosts(servers: Servers) -> None:
    with Proxy.running(servers.first) as proxy:
        parts = conninfo_to_dict(proxy.conninfo)
        several = make_conninfo(
            host=f"127.0.0.1,{parts['host']}",
            port=f"1,{parts['port']}",
            dbname=parts["dbname"],
            target_session_attrs="read-write",
        )
        servers.directory.put("bank", several)
        assert conninfo_to_dict(servers.directory.place("bank").conninfo) == (
            conninfo_to_dict(several)
        )
        with servers.directory.store("bank", messages=EventA) as store:
            store.write("a-1", EventA(1))
            servers.move()
            store.write("a-2", EventA(1))
    assert servers.streams(servers.first) == ["a-1"]
    assert servers.streams(servers.second) == ["a-2"]


def test_directory_is_installed_by_several_at_once_and_read_with_two_rights(
    servers: Servers, conninfo: str
) -> None:
    directory = Directory(servers.first)
    with Parallel() as parallel:
        with psycopg.Connection.connect(servers.first) as conn:
            conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('x', 0))")
            conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('pgstore_directory', 0))")
            parallel.start(directory.install, directory.install)
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            rows: list[Any] = []

            while rows != [(2,)]:
                rows = servers.run(servers.first, waiting)
        assert parallel.results() == [None, None]
    role = f"reader_{conninfo_to_dict(servers.first)['dbname']}"
    with psycopg.Connection.connect(servers.first, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN".encode())
        try:
            reader = Directory(make_conninfo(servers.first, user=role))
            with pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
                reader.places()
            assert "USAGE on the schema" in caught.value.__notes__[0]
            conn.execute(f"GRANT USAGE ON SCHEMA pgstore_directory TO {role}".encode())
            conn.execute(f"GRANT SELECT ON pgstore_directory.stores TO {role}".encode())
            assert reader.places() == []
        finally:
            conn.execute(f"DROP OWNED BY {role}".encode())
            conn.execute(f"DROP ROLE {role}".encode())
