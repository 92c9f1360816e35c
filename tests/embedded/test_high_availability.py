"""A standby takes over: what comes back by itself, and how a loss of messages is noticed."""

import os
import signal
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import MessageNotFoundError, MessageStore, PositionBeyondEndError
from tests.faults.programs import Kept
from tests.faults.promotion import make_standby, wait_for
from tests.faults.returning import KINDS, WHAT, either, measure, read_only
from tests.faults.servers import Durable, temporary_folder
from tests.pgbouncer import pgbouncer

# The sequence of positions notes 32 ahead in the write-ahead log. More are lost here.
_LOST = 50


def test_connections_of_every_kind_leave_a_primary_that_has_become_read_only() -> None:
    assert measure(read_only).keys() == {(kind, what) for kind in KINDS for what in WHAT}


@pytest.fixture
def pair() -> Iterator[tuple[Durable, Durable]]:
    """A primary, and a standby that no commit waits for."""
    with temporary_folder() as folder, Durable(folder / "a") as primary:
        standby = Durable(folder / "b")
        try:
            pgstore.install(primary.conninfo, store="bank")
            make_standby(primary, standby, synchronous=False)
            yield primary, standby
        finally:
            standby.stop()


def test_a_pooler_takes_its_server_for_a_standby_until_it_connects_anew(
    pair: tuple[Durable, Durable],
) -> None:
    _, standby = pair
    with pgbouncer(standby.conninfo, "transaction") as through:
        writing = make_conninfo(through, target_session_attrs="read-write")
        with psycopg.connect(standby.conninfo, autocommit=True) as conn:
            conn.execute("SELECT pg_promote()")
        with psycopg.connect(through) as conn:
            assert conn.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        with pytest.raises(psycopg.OperationalError, match="read-only"):
            psycopg.connect(writing)
        with psycopg.connect(make_conninfo(through, dbname="pgbouncer"), autocommit=True) as admin:
            admin.execute("RECONNECT")
        psycopg.connect(writing).close()


def test_a_promotion_that_loses_messages_is_noticed(pair: tuple[Durable, Durable]) -> None:
    primary, standby = pair
    several = either(primary.conninfo, standby.conninfo)
    with MessageStore[Kept](several, store="bank", messages={"Noted": Kept}) as store:
        with store.transaction() as tx:
            tx.execute("CREATE TABLE effects (number bigint)")
        subscription = store.subscription("notes", category="note")

        @subscription.handler
        def note(message: Kept, tx: psycopg.Connection) -> None:
            tx.execute("INSERT INTO effects VALUES (%s)", (message.number,))

        def work() -> list[int]:
            store.run_once(subscription)
            with store.transaction() as tx:
                return [n for (n,) in tx.execute("SELECT number FROM effects ORDER BY number")]

        follower = store.follow(category="note")
        kept = store.write("note-1", Kept(1, 1))
        assert next(follower).message == Kept(1, 1)
        assert work() == [1]
        sender = _stop_sending(primary, standby)
        store.write_many("note-1", [Kept(1, number) for number in range(2, _LOST + 2)])
        seen = [next(follower) for _ in range(_LOST)]
        assert len(work()) == _LOST + 1
        primary.crash()
        os.kill(sender, signal.SIGKILL)
        with psycopg.connect(standby.conninfo, autocommit=True) as conn:
            conn.execute("SELECT pg_promote()")
        # A reader with a position of its own is told, unless positions were skipped before.
        with pytest.raises(PositionBeyondEndError):
            next(follower)
        with pytest.raises(PositionBeyondEndError):
            list(store.read_all(after_position=seen[-1].global_position))
        # An id always tells; and where to go on.
        with pytest.raises(MessageNotFoundError):
            store.get(seen[-1].message_id)
        assert store.get(Kept(1, 1).get_message_id()).global_position == kept.global_position
        # A subscription's checkpoint has gone back together with its effects.
        assert work() == [1]
        store.write("note-1", Kept(2, 7))
        assert work() == [1, 7]
        again = store.follow(category="note", after_position=kept.global_position)
        assert next(again).message == Kept(2, 7)


def _stop_sending(primary: Durable, standby: Durable) -> int:
    """Stop the process that sends to the standby, which has everything by then."""
    with psycopg.connect(primary.conninfo, autocommit=True) as conn:
        wait_for(
            conn,
            "SELECT bool_and(replay_lsn >= pg_current_wal_flush_lsn()) FROM pg_stat_replication",
        )
        (sender,) = conn.execute("SELECT pid FROM pg_stat_replication").fetchone() or (0,)
    os.kill(sender, signal.SIGSTOP)
    return int(sender)
