"""The server's lock table is full."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import psycopg
from psycopg.rows import TupleRow

import pgstore
from pgstore import MessageStore, QueryItem
from tests.faults.counts import Counts, Rounds
from tests.faults.programs import Kept
from tests.faults.servers import Durable, temporary_folder
from tests.stress.messages import Noted
from tests.stress.worker import open_store

# Small enough for a few calls to fill it; one call has room.
_SMALL = {"max_connections": "30", "max_prepared_transactions": "0"}
# Of a call: so many messages with so many tags each, and a condition of so many items.
_MESSAGES, _TAGS, _ITEMS = 32, 31, 100
_MOST = 20

_HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s"
_STORED = "SELECT count(*) FROM locks.all_messages WHERE stream = %s"

Connection = psycopg.Connection[TupleRow]


class Tagged(Kept):
    """Those of a call have, together, almost as many tags as a call may have."""

    def get_tags(self) -> list[str]:
        return [f"tag:{self.writer}:{self.number}:{n}" for n in range(_TAGS)]


def full_lock_table(_server: Durable, rounds: Rounds) -> Counts:
    """Fill a small server's lock table by calls with 992 tags and 100 items each, then end them."""
    counts, writers, refused = Counts(), count(1), 0
    with (
        temporary_folder() as folder,
        Durable(folder / "server", **_SMALL) as server,
        _store(server) as store,
        psycopg.connect(server.conninfo, autocommit=True) as observer,
    ):
        for _ in rounds:
            with ExitStack() as stack:
                for writer, _ in zip(writers, range(_MOST), strict=False):
                    conn = stack.enter_context(_transaction(server))
                    if not _is_written(store, writer, conn):
                        break
                # Before it is rolled back: a transaction that fails gives its locks up.
                counts.ended += _number(observer, _HELD, conn.info.backend_pid)
                # So is a call with a transaction of its own.
                counts.accepted += _is_written(store, writer)
                refused += 2
            counts.doubled += _number(observer, _STORED, f"locks-{writer}")
            counts.ended += not _is_written(store, writer)
            counts.acknowledged += _MESSAGES
            counts.lost += _MESSAGES - _number(observer, _STORED, f"locks-{writer}")
    counts.noted["calls refused"] = refused
    return counts


@contextmanager
def _store(server: Durable) -> Iterator[MessageStore[Noted]]:
    pgstore.install(server.conninfo, store="locks")
    with open_store(server.conninfo, "locks", Tagged) as store:
        yield store


@contextmanager
def _transaction(server: Durable) -> Iterator[Connection]:
    with psycopg.connect(server.conninfo) as conn:
        yield conn
        conn.rollback()


def _number(conn: Connection, question: str, *parameters: object) -> int:
    ((number,),) = conn.execute(question.encode(), parameters)
    return int(number)


def _is_written(store: MessageStore[Noted], writer: int, conn: Connection | None = None) -> bool:
    """Write on a condition; False if the server has no room for the locks."""
    query = [QueryItem(tags=[f"other:{writer}:{n}"]) for n in range(_ITEMS)]
    messages = [Tagged(writer, number) for number in range(_MESSAGES)]
    try:
        store.write_many(
            f"locks-{writer}", messages, unless=store.read_tagged(query, conn=conn), conn=conn
        )
    except psycopg.errors.OutOfMemory:
        return False
    return True
