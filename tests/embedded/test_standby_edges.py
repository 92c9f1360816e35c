"""A standby that is promoted within a read, cancels a read, or has no store yet."""

import threading
import time
from collections.abc import Iterator

import msgspec
import psycopg
import pytest
from psycopg.errors import DeadlockDetected, SerializationFailure

from pgstore import MessageStore, ReadIsolationError, install
from pgstore._sync import runner, standby
from pgstore.embedded import Server
from tests.sql.store import Store
from tests.standbys import FAST, PATIENCE, pair, until


class Noted(msgspec.Struct):
    number: int


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    with pair() as both:
        yield both


def test_a_snapshot_of_before_a_promotion_passes_no_message(
    servers: tuple[Server, Server],
) -> None:
    """The standby is promoted within a read whose snapshot has the second message alone."""
    primary, there = servers
    install(primary.conninfo, store="bank")
    with (
        psycopg.connect(primary.conninfo, autocommit=True) as conn,
        psycopg.connect(primary.conninfo) as writer,
        psycopg.connect(there.conninfo, autocommit=True) as looking,
        psycopg.connect(there.conninfo) as reading,
    ):
        store, copy = Store(conn, "bank"), Store(reading, "bank")
        store.call("publish_horizon")
        store.write("account-1", on=writer, type="A", data="{}", tags=["a", "b"])
        store.write("account-2", type="A", data="{}", tags=["a", "b"])

        def has(count: int) -> bool:
            rows = looking.execute("SELECT FROM bank.messages").fetchall()
            return len(rows) == count

        until(lambda: has_table(looking) and has(1))
        reading.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reading.execute("SELECT FROM pg_class")
        writer.commit()
        until(lambda: has(2))
        # The read waits for this where it looks for the rarest tag.
        writer.execute("LOCK TABLE bank.message_tags IN ACCESS EXCLUSIVE MODE")
        store.write("account-3", type="A", data="{}")  # flushes the lock's record too
        until(lambda: has(3))
        caught: list[BaseException] = []

        def read() -> None:
            try:
                copy.call("read_matching", None, tags_filter=["a", "b"])
            except psycopg.Error as error:
                caught.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        pid = reading.info.backend_pid
        waits = "SELECT FROM pg_locks AS l WHERE l.pid = %s AND NOT l.granted"
        until(lambda: looking.execute(waits, [pid]).rowcount)
        looking.execute("SELECT pg_promote()")
        thread.join()
        assert [type(each) for each in caught] == [ReadIsolationError]


def has_table(conn: psycopg.Connection) -> bool:
    return conn.execute("SELECT to_regclass('bank.messages')").fetchone() != (None,)


def test_follow_alone_installs_the_store_on_the_primary(servers: tuple[Server, Server]) -> None:
    primary, there = servers
    with MessageStore[Noted](
        primary.conninfo, read_conninfo=there.conninfo, messages=Noted
    ) as store:
        found: list[Noted] = []

        def follow() -> None:
            with store.follow(timeout=PATIENCE) as following:
                found.append(next(following).message)

        thread = threading.Thread(target=follow)
        thread.start()
        with psycopg.connect(primary.conninfo, autocommit=True) as conn:
            there_is = "SELECT to_regproc('pgstore.publish_horizon') IS NOT NULL"
            until(lambda: conn.execute(there_is).fetchone() == (True,))
            store.write("note-1", Noted(1))
            conn.execute("SELECT FROM pgstore.publish_horizon()")
        thread.join()
        assert found == [Noted(1)]


@pytest.mark.parametrize("kind", [SerializationFailure, DeadlockDetected])
def test_a_read_that_a_standby_cancels_for_its_replay_is_repeated(
    kind: type[psycopg.Error], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[psycopg.Error | int] = [kind(), kind(), 7]

    def read() -> int:
        answer = answers.pop(0)
        if isinstance(answer, psycopg.Error):
            raise answer
        return answer

    assert standby.once_there(read) == 7
    monkeypatch.setattr(standby, "PATIENCE", 0.0)
    answers.append(kind())
    with pytest.raises(kind):
        standby.once_there(read)


def test_a_publisher_waits_for_no_synchronous_standby() -> None:
    """Otherwise it would hang where there is none, and wait for a round trip where there is."""
    with (
        Server(settings=FAST) as server,
        MessageStore[Noted](server.conninfo, messages=Noted) as store,
        psycopg.connect(server.conninfo, autocommit=True) as conn,
    ):
        last = store.write("note-1", Noted(1)).global_position
        conn.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        conn.execute("SELECT pg_reload_conf()")
        until(lambda: conn.execute("SHOW synchronous_standby_names").fetchone() != ("",))
        thread = threading.Thread(target=lambda: store.run(publish=True, signals=False))
        thread.start()
        published = "SELECT FROM pgstore.store_horizon WHERE safe_position = %s"
        until(lambda: conn.execute(published, [last]).rowcount)
        store.stop()
        thread.join()


def test_a_run_that_only_publishes_does_not_ask_how_far_subscriptions_are(
    servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[float] = []
    asked: list[float] = []
    monkeypatch.setattr(runner, "_TELL_EVERY", 0.01)
    monkeypatch.setattr(
        runner.Runner, "_extend_leases", lambda self: rounds.append(time.monotonic())
    )
    monkeypatch.setattr(
        runner.Runner, "_tell_how_far_behind", lambda self: asked.append(time.monotonic())
    )
    with MessageStore[Noted](servers[0].conninfo, messages=Noted) as store:
        thread = threading.Thread(target=lambda: store.run(publish=True, signals=False))
        thread.start()
        until(lambda: len(rounds) > 5)
        store.stop()
        thread.join()
    assert asked == []
