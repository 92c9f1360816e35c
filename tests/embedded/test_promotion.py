"""An address that leads to a standby, which becomes the primary later."""

import threading
import time
from collections.abc import Iterator

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgstore import MessageStore, PositionBeyondEndError
from pgstore.embedded import Server
from tests.client.proxy import Proxy
from tests.standbys import FAST, PATIENCE, standby_of, until


class Noted(msgspec.Struct):
    number: int


@pytest.fixture
def primary() -> Iterator[Server]:
    with Server(settings=FAST) as server:
        yield server


@pytest.fixture
def standby(primary: Server) -> Iterator[Server]:
    with standby_of(primary) as server:
        yield server


@pytest.mark.alone
def test_what_runs_on_waits_until_the_address_leads_to_a_primary(
    primary: Server, standby: Server, caplog: pytest.LogCaptureFixture
) -> None:
    followed: list[int] = []
    handled: list[int] = []
    with (
        Proxy.running(primary.conninfo) as proxy,
        MessageStore[Noted](proxy.conninfo, messages=Noted) as store,
    ):
        subscription = store.subscription("notes", category="note")

        @subscription.handler
        def note(message: Noted) -> None:
            handled.append(message.number)

        threads = [
            threading.Thread(target=lambda: store.run(subscription, workers=2, lease=5.0)),
            threading.Thread(target=lambda: followed.extend(s.message.number for s in follower)),
        ]
        store.write("note-1", Noted(1))
        follower = store.follow(category="note")
        for thread in threads:
            thread.start()
        until(lambda: followed == handled == [1])
        until(lambda: subscription.position() > 0)
        with psycopg.connect(primary.conninfo) as conn:
            (end,) = conn.execute("SELECT pg_current_wal_flush_lsn()").fetchone() or ("",)
        with psycopg.connect(standby.conninfo, autocommit=True) as conn:
            replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            until(lambda: conn.execute(replayed, (end,)).fetchone() == (True,))
            proxy.lead_to(standby.conninfo)
            primary.stop()
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                store.write("note-1", Noted(2))
            until(lambda: len(caplog.records) > 0)
            time.sleep(1)  # several attempts of each
            conn.execute("SELECT pg_promote()")
        before = time.monotonic()
        store.write("note-1", Noted(2))
        until(lambda: set(followed) == set(handled) == {1, 2})
        assert time.monotonic() - before < 1
        until(lambda: any("works again" in each.getMessage() for each in caplog.records))
        follower.stop()
        assert store.stop() == 1
        for thread in threads:
            thread.join(PATIENCE)
    told = [each.getMessage() for each in caplog.records if each.name == "pgstore"]
    assert len(told) == 2
    assert "works again" in told[1]


def test_connections_to_what_is_read_only_are_not_kept(primary: Server, standby: Server) -> None:
    with (
        Proxy.running(standby.conninfo) as proxy,
        MessageStore[Noted](primary.conninfo, messages=Noted) as install,
    ):
        install.safe_position()
        with psycopg.connect(standby.conninfo, autocommit=True) as conn:
            there = "SELECT to_regproc('pgstore.write_message') IS NOT NULL"
            until(lambda: conn.execute(there).fetchone() == (True,))
        with MessageStore[Noted](proxy.conninfo, messages=Noted) as store:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                store.write("note-1", Noted(1))
            proxy.lead_to(primary.conninfo)  # connections to the standby stay open
            assert store.write("note-1", Noted(1)).version == 1


def test_a_server_that_is_read_only_for_a_while_ends_nothing(
    primary: Server, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[int] = []
    with MessageStore[Noted](primary.conninfo, messages=Noted) as store:
        subscription = store.subscription("notes", category="note")

        @subscription.handler
        def note(message: Noted) -> None:
            handled.append(message.number)

        thread = threading.Thread(target=lambda: store.run(subscription))
        thread.start()
        store.write("note-1", Noted(1))
        until(lambda: handled == [1])
        with psycopg.connect(primary.conninfo, autocommit=True) as conn:
            conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            conn.execute("SELECT pg_reload_conf()")
            until(lambda: any(each.name == "pgstore" for each in caplog.records))
            conn.execute("SET default_transaction_read_only = off")
            conn.execute("ALTER SYSTEM RESET default_transaction_read_only")
            conn.execute("SELECT pg_reload_conf()")
        store.write("note-1", Noted(2))
        until(lambda: handled == [1, 2])
        until(lambda: any("works again" in each.getMessage() for each in caplog.records))
        assert store.stop() == 1
        thread.join(PATIENCE)
    told = [each.getMessage() for each in caplog.records if each.name == "pgstore"]
    assert len(told) == 2


def test_connections_to_a_server_that_has_become_read_only_are_not_kept(primary: Server) -> None:
    with (
        MessageStore[Noted](primary.conninfo, messages=Noted) as store,
        psycopg.connect(primary.conninfo, autocommit=True) as conn,
    ):
        store.write("note-1", Noted(1))
        with store.transaction() as tx:
            before = tx.info.backend_pid
        conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        conn.execute("SELECT pg_reload_conf()")
        until(lambda: conn.execute("SHOW default_transaction_read_only").fetchone() == ("on",))
        assert store.stream_version("note-1") == 1  # a reader that never writes, nor waits
        with store.transaction() as tx:
            assert tx.info.backend_pid != before
            kept = tx
        assert store.stream_version("note-1") == 1
        assert not kept.closed  # it was read-only from the beginning


def test_a_position_that_a_former_primary_lacks_is_looked_for_on_the_new_one(
    primary: Server, standby: Server
) -> None:
    with (
        Proxy.running(primary.conninfo) as proxy,
        MessageStore[Noted](proxy.conninfo, messages=Noted) as store,
        psycopg.connect(primary.conninfo, autocommit=True) as conn,
        psycopg.connect(standby.conninfo, autocommit=True) as other,
    ):
        store.write("note-1", Noted(1))
        there = "SELECT to_regproc('pgstore.write_message') IS NOT NULL"
        until(lambda: other.execute(there).fetchone() == (True,))
        conn.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        conn.execute("SELECT pg_reload_conf()")
        until(lambda: conn.execute("SHOW default_transaction_read_only").fetchone() == ("on",))
        other.execute("SELECT pg_promote()")
        with MessageStore[Noted](standby.conninfo, messages=Noted) as new:
            many = [Noted(number) for number in range(50)]
            last = new.write_many("note-2", many).global_position
        proxy.lead_to(standby.conninfo)  # connections to the former primary stay open
        assert list(store.read_all(after_position=last)) == []


def test_a_role_that_only_reads_costs_waiting_readers_no_connection(primary: Server) -> None:
    seen: list[int] = []
    with psycopg.connect(primary.conninfo, autocommit=True) as conn:
        conn.execute("CREATE ROLE reader LOGIN SUPERUSER")
        conn.execute("ALTER ROLE reader SET default_transaction_read_only = on")
        waiting = (
            "SELECT DISTINCT pid FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE usename = 'reader' AND locktype = 'advisory'"
            " AND mode = 'ShareLock' AND state = 'idle'"
        )
        with MessageStore[Noted](primary.conninfo, messages=Noted) as store:
            store.write("note-1", Noted(1))
        reader = make_conninfo(primary.conninfo, user="reader")
        with MessageStore[Noted](reader, messages=Noted) as store:
            follower = store.follow(category="note")
            thread = threading.Thread(
                target=lambda: seen.extend(s.message.number for s in follower)
            )
            thread.start()
            until(lambda: len(conn.execute(waiting).fetchall()) == 1)
            before = conn.execute(waiting).fetchall()
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                store.write("note-1", Noted(2))
            with pytest.raises(PositionBeyondEndError):
                list(store.read_all(after_position=1_000))
            until(lambda: len(conn.execute(waiting).fetchall()) == 1)
            assert conn.execute(waiting).fetchall() == before
            follower.stop()
            thread.join(PATIENCE)
