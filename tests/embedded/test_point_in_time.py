"""A server is restored to a moment, from a base backup and archived logs: what consumers see."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
import psycopg
import pytest

from pgstore import (
    MessageNotFoundError,
    MessageStore,
    PositionBeyondEndError,
    StoredMessage,
    install,
    transfer,
)
from pgstore.embedded import Server, account
from tests.standbys import FAST, base_backup, new_folder, until

# The sequence of positions notes 32 ahead in the write-ahead log. More are lost here.
_LOST = 50


class Noted(msgspec.Struct):
    number: int


@contextmanager
def restored(folder: Path, archive: Path, moment: str) -> Iterator[Server]:
    """Start a copy of the base backup, which replays the archive up to a moment."""
    with (folder / "data" / "postgresql.auto.conf").open("a") as configuration:
        configuration.write(
            f'restore_command = \'cp "{archive}/%f" "%p"\'\n'
            f"recovery_target_time = '{moment}'\n"
            "recovery_target_action = 'promote'\n"
            "default_transaction_read_only = on\n"
        )
    signal = folder / "data" / "recovery.signal"
    signal.touch()
    account.hand_over(signal)
    with Server(folder, settings=FAST) as server:
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            until(lambda: conn.execute("SELECT pg_is_in_recovery()").fetchone() == (False,))
        yield server


def archive_everything(conn: psycopg.Connection) -> None:
    """Have the log archived up to here."""
    ((last,),) = conn.execute("SELECT pg_walfile_name(pg_switch_wal())")
    archived = "SELECT last_archived_wal >= %s FROM pg_stat_archiver"
    until(lambda: conn.execute(archived, [last]).fetchone() == (True,))


def worked(store: MessageStore[Noted]) -> list[int]:
    """Handle what there is; all effects."""
    subscription = store.subscription("notes", category="note")

    @subscription.handler
    def note(message: Noted, tx: psycopg.Connection) -> None:
        tx.execute("INSERT INTO effects VALUES (%s)", (message.number,))

    store.run_once(subscription)
    with store.transaction() as tx:
        return [n for (n,) in tx.execute("SELECT number FROM effects ORDER BY number")]


class Before(msgspec.Struct):
    """What there was before the restore."""

    kept: int
    """The position of the last message that the restored store has."""
    scheduled: UUID
    moment: str
    lost: StoredMessage[Noted]


def lived(server: Server, place: Path) -> Before:
    """Take a base backup, and write before and after a moment."""
    with (
        MessageStore[Noted](server.conninfo, messages=Noted, store="bank") as store,
        psycopg.connect(server.conninfo, autocommit=True) as conn,
    ):
        store.safe_position()
        conn.execute("CREATE TABLE effects (number bigint)")
        base_backup(server, place)
        kept = store.write("note-1", Noted(1)).global_position
        assert worked(store) == [1]
        scheduled = store.schedule("later-1", Noted(7), timedelta(0))
        ((moment,),) = conn.execute("SELECT clock_timestamp()::text")
        for number in range(2, _LOST + 2):
            store.write("note-1", Noted(number))
        assert store.deliver_scheduled() == 1
        assert len(worked(store)) == _LOST + 1
        *_, lost = store.read("note-1")
        archive_everything(conn)
        return Before(kept=kept, scheduled=scheduled, moment=moment, lost=lost)


@pytest.fixture
def back() -> Iterator[tuple[Server, Before]]:
    """A server that was restored to a moment, and that no writer may use yet."""
    with new_folder() as place, new_folder() as archive:
        account.hand_over(archive)
        archiving = {"archive_mode": "on", "archive_command": f'cp "%p" "{archive}/%f"'}
        with Server(settings={**FAST, **archiving}) as server:
            before = lived(server, place)
        with restored(place, archive, before.moment) as server:
            yield server, before


def test_consumers_of_a_store_that_was_restored_to_a_moment(
    back: tuple[Server, Before], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, before = back
    with MessageStore[Noted](server.conninfo, messages=Noted, store="bank") as store:
        for refused in (
            lambda: store.write("note-1", Noted(0)),
            lambda: install(server.conninfo, store="bank"),
        ):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                refused()
        # A reader with a position of its own is told if that is far enough ahead.
        with pytest.raises(PositionBeyondEndError):
            list(store.read_all(after_position=before.lost.global_position))
        assert list(store.read_all(after_position=before.kept + 31)) == []
        let_writers_in(server, monkeypatch)
        # Checkpoint and effects have gone back together, and what was due is due again.
        assert worked(store) == [1]
        assert store.deliver_scheduled() == 1
        again = store.get(before.scheduled)
        # The same reader skips nothing that is new, and learns of the loss by the id.
        assert store.write("note-1", Noted(99)).version == 2
        new = [*store.read_all(after_position=before.lost.global_position)]
        assert (new[0], new[1].message) == (again, Noted(99))
        with pytest.raises(MessageNotFoundError):
            store.get(before.lost.message_id)
        assert worked(store) == [1, 99]


def let_writers_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page on high availability does."""
    with monkeypatch.context() as patch:
        patch.setenv("PGOPTIONS", "-c default_transaction_read_only=off")
        install(server.conninfo, store="bank")
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            conn.execute("SELECT bank.skip_positions()")
        with psycopg.connect(server.conninfo, autocommit=True, options="") as conn:
            assert [each for each in transfer.verify(conn, store="bank") if each.wrong] == []
            conn.execute("ALTER SYSTEM RESET default_transaction_read_only")
            conn.execute("SELECT pg_reload_conf()")
    until(lambda: can_be_written_to(server))


def can_be_written_to(server: Server) -> bool:
    with psycopg.connect(server.conninfo) as conn:
        return conn.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
