"""A primary that had more than its standby is rewound, and follows it: what its readers see."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgstore import MessageStore, StandbyBehindError, StoredMessage, install
from pgstore._sync import standby as standbys
from pgstore.embedded import Server
from tests.standbys import FAST, PATIENCE, as_account, new_folder, program, standby_of, until

# The sequence of positions notes 32 ahead in the write-ahead log. More are lost here.
_LOST = 50


class Noted(msgspec.Struct):
    number: int


Pair = tuple[Server, Server]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A primary in a folder that stays, and its standby, which no commit waits for."""
    settings = {**FAST, "wal_keep_size": "256MB"}  # pg_rewind reads back to where they parted
    with new_folder() as folder, Server(folder, settings=settings) as primary:
        install(primary.conninfo, store="bank")
        with standby_of(primary) as standby:
            yield primary, standby


@contextmanager
def publishing(server: Server) -> Iterator[MessageStore[Noted]]:
    with MessageStore[Noted](server.conninfo, messages=Noted, store="bank") as store:
        thread = threading.Thread(target=lambda: store.run(publish=True, signals=False))
        thread.start()
        try:
            yield store
        finally:
            while thread.is_alive():
                store.stop()
                thread.join(0.05)


def prefer(first: Server, second: Server, attributes: str) -> str:
    hosts = [str(conninfo_to_dict(each.conninfo)["host"]) for each in (first, second)]
    return make_conninfo(
        first.conninfo, host=",".join(hosts), port="5432,5432", target_session_attrs=attributes
    )


def lose(primary: Server, standby: Server, store: MessageStore[Noted]) -> StoredMessage[Noted]:
    """Have the primary write what the standby never gets; the last of it."""
    with psycopg.connect(primary.conninfo, autocommit=True) as conn:
        ((end,),) = conn.execute("SELECT pg_current_wal_insert_lsn()")
    with psycopg.connect(standby.conninfo, autocommit=True) as conn:
        replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        until(lambda: conn.execute(replayed, [end]).fetchone() == (True,))
        conn.execute("ALTER SYSTEM SET primary_conninfo = ''")
        conn.execute("SELECT pg_reload_conf()")
        until(lambda: conn.execute("SELECT FROM pg_stat_wal_receiver").rowcount == 0)
    for number in range(_LOST):
        store.write("note-1", Noted(1000 + number))
    *_, last = store.read("note-1")
    return last


def promote(standby: Server, *, skip: bool) -> None:
    with psycopg.connect(standby.conninfo, autocommit=True) as conn:
        conn.execute("SELECT pg_promote()")
        if skip:
            conn.execute("SELECT bank.skip_positions()")
        conn.execute("CHECKPOINT")  # pg_rewind looks at the timeline of the last one


def rewind(former: Server, source: Server) -> None:
    """Make the former primary a standby of the new one."""
    as_account(
        program(former, "pg_rewind", former.folder),
        f"--target-pgdata={former.folder / 'data'}",
        f"--source-server={source.conninfo}",
        "--write-recovery-conf",
        "--no-sync",
    )
    former.start()


def test_readers_of_a_primary_that_was_rewound_skip_nothing(pair: Pair) -> None:
    former, new = pair
    followed: list[int] = []
    with ExitStack() as stack:
        store = stack.enter_context(
            MessageStore[Noted](
                prefer(former, new, "read-write"),
                read_conninfo=prefer(former, new, "prefer-standby"),
                messages=Noted,
                store="bank",
            )
        )
        alone = stack.enter_context(
            MessageStore[Noted](former.conninfo, messages=Noted, store="bank")
        )
        handled: list[int] = []
        subscription = store.subscription("notes", category="note")

        @subscription.handler
        def note(message: Noted) -> None:
            handled.append(message.number)

        store.write("note-1", Noted(1))
        follower = alone.follow(timeout=None)
        thread = threading.Thread(
            target=lambda: followed.extend(s.message.number for s in follower)
        )
        thread.start()
        until(lambda: followed == [1])
        store.run_once(subscription)
        last = lose(former, new, alone)
        until(lambda: len(followed) == _LOST + 1)
        former.stop()
        promote(new, skip=True)
        with publishing(new):
            rewind(former, new)
            written = store.write("note-1", Noted(2))
            assert written.version == 2
            store.wait_until_readable(written.global_position, timeout=PATIENCE)
            assert [s.message.number for s in store.read_all()] == [1, 2]
            after = [*alone.read_all(after_position=last.global_position)]
            assert [s.message.number for s in after] == [2]
            assert alone.get_many([last.message_id]) == {}
            store.run_once(subscription)
            assert handled == [1, 2]
            until(lambda: followed[-1] == 2)
            assert len(followed) == _LOST + 2
        follower.stop()
        thread.join()


def test_a_reader_ahead_of_a_rewound_primary_waits_and_then_skips(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `skip_positions`: a standby cannot tell a position of another history from lag."""
    former, new = pair
    monkeypatch.setattr(standbys, "PATIENCE", 0.2)
    with MessageStore[Noted](former.conninfo, messages=Noted, store="bank") as reader:
        reader.write("note-1", Noted(1))
        last = lose(former, new, reader)
        former.stop()
        promote(new, skip=False)
        with publishing(new) as store:
            rewind(former, new)
            written = store.write("note-1", Noted(2))
            assert written.global_position < last.global_position
            reader.wait_until_readable(written.global_position, timeout=PATIENCE)
            with pytest.raises(StandbyBehindError):
                list(reader.read_all(after_position=last.global_position))
            with reader.follow(after_position=last.global_position, timeout=0.1) as follower:
                assert list(follower) == []
            # It reads again when the new primary has passed that, and has skipped what was before.
            later = [store.write("note-2", Noted(n)).global_position for n in range(_LOST + 10)]
            reader.wait_until_readable(later[-1], timeout=PATIENCE)
            read = [s.global_position for s in reader.read_all(after_position=last.global_position)]
            assert read == [position for position in later if position > last.global_position]
            assert 0 < len(read) < len(later)
