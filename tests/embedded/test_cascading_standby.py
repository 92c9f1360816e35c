"""A standby of a standby: its reads, how far they are, and a promotion above it."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import msgspec
import psycopg
import pytest

from pgstore import MessageStore
from pgstore.embedded import Server
from tests.standbys import FAST, PATIENCE, standby_of, until


class Noted(msgspec.Struct):
    number: int


class Chain(NamedTuple):
    primary: Server
    middle: Server
    last: Server


@pytest.fixture
def chain() -> Iterator[Chain]:
    with (
        Server(settings=FAST) as primary,
        standby_of(primary) as middle,
        standby_of(middle) as last,
    ):
        yield Chain(primary, middle, last)


@contextmanager
def publishing(server: Server) -> Iterator[None]:
    """Publish on a server, as `pgstore publish` does."""
    with MessageStore[Noted](server.conninfo, messages=Noted) as store:
        store.safe_position()  # installs it
        thread = threading.Thread(target=lambda: store.run(publish=True, signals=False))
        thread.start()
        try:
            yield
        finally:
            while thread.is_alive():
                store.stop()
                thread.join(0.05)


def numbers(store: MessageStore[Noted]) -> list[int]:
    return [stored.message.number for stored in store.read_all()]


def test_reads_go_as_far_as_the_last_of_a_chain_is(chain: Chain) -> None:
    with (
        publishing(chain.primary),
        MessageStore[Noted](
            chain.primary.conninfo, read_conninfo=chain.last.conninfo, messages=Noted
        ) as store,
        psycopg.connect(chain.middle.conninfo, autocommit=True) as middle,
        psycopg.connect(chain.last.conninfo, autocommit=True) as last,
    ):
        first = store.write("note-1", Noted(1)).global_position
        store.wait_until_readable(first, timeout=PATIENCE)
        assert numbers(store) == [1]
        # The last one has what the one before it has received, also while that does not replay it.
        for pausing, readable in ((middle, True), (last, False)):
            pausing.execute("SELECT pg_wal_replay_pause()")
            try:
                position = store.write("note-1", Noted(2)).global_position
                if readable:
                    store.wait_until_readable(position, timeout=PATIENCE)
                else:
                    with pytest.raises(TimeoutError):
                        store.wait_until_readable(position, timeout=0.1)
            finally:
                pausing.execute("SELECT pg_wal_replay_resume()")
        store.wait_until_readable(position, timeout=PATIENCE)
        assert numbers(store) == [1, 2, 2]
        age = "SELECT pgstore.horizon_age() < interval '1 minute'"
        assert last.execute(age).fetchone() == (True,)


def test_a_reader_at_the_end_of_a_chain_continues_after_a_promotion_above_it(chain: Chain) -> None:
    found: list[int] = []
    with ExitStack() as stack:
        with publishing(chain.primary):
            reader = stack.enter_context(
                MessageStore[Noted](chain.last.conninfo, messages=Noted, create=False)
            )
            with MessageStore[Noted](chain.primary.conninfo, messages=Noted) as store:
                written = store.write("note-1", Noted(1)).global_position
                with psycopg.connect(chain.last.conninfo, autocommit=True) as conn:
                    there = "SELECT to_regclass('pgstore.store_horizon') IS NOT NULL"
                    until(lambda: conn.execute(there).fetchone() == (True,))
                reader.wait_until_readable(written, timeout=PATIENCE)
        follower = stack.enter_context(reader.follow(timeout=PATIENCE))

        thread = threading.Thread(target=lambda: found.extend(s.message.number for s in follower))
        thread.start()
        until(lambda: found == [1])
        chain.primary.stop()
        with psycopg.connect(chain.middle.conninfo, autocommit=True) as conn:
            conn.execute("SELECT pg_promote()")
        with (
            publishing(chain.middle),
            MessageStore[Noted](chain.middle.conninfo, messages=Noted) as store,
        ):
            store.write("note-1", Noted(2))
            until(lambda: found == [1, 2])
        follower.stop()
        thread.join()
