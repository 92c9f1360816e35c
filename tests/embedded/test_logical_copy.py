"""Tables copied by logical replication: their rows are there, their sequences are as new."""

from collections.abc import Iterator

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import MessageStore, SequenceBehindError, Subscription, transfer
from pgstore.embedded import Server
from tests.sql.store import wait_until

_TABLES = """
SELECT string_agg(format('bank.%I', c.relname), ', ')
FROM pg_class AS c
WHERE c.relnamespace = 'bank'::regnamespace AND c.relkind = 'r'
  -- Not unlogged ones, which cannot be replicated.
  AND c.relpersistence = 'p' AND c.relname <> 'migrations'
"""


class Noted(msgspec.Struct):
    number: int


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(settings={"wal_level": "logical", "fsync": "off"}) as server:
        yield server


def _replicate(source: str, target: str) -> None:
    """Copy a store's tables, and end the replication when they have arrived."""
    with (
        psycopg.connect(source, autocommit=True) as old,
        psycopg.connect(target, autocommit=True) as new,
    ):
        ((tables,),) = old.execute(_TABLES).fetchall()
        old.execute(f"CREATE PUBLICATION bank FOR TABLE {tables}".encode())
        # Within one server, CREATE SUBSCRIPTION would wait for its own transaction.
        old.execute("SELECT pg_create_logical_replication_slot('bank', 'pgoutput')")
        new.execute(
            f"CREATE SUBSCRIPTION bank CONNECTION '{source}' PUBLICATION bank"
            " WITH (create_slot = false, slot_name = 'bank')".encode()
        )
        left = "SELECT FROM pg_subscription_rel AS r WHERE r.srsubstate NOT IN ('r', 's')"
        wait_until(lambda: not new.execute(left).rowcount)
        new.execute("DROP SUBSCRIPTION bank")


def _summing(store: MessageStore[Noted], handled: list[int]) -> Subscription[Noted]:
    subscription = store.subscription("sums")

    @subscription.handler
    def handle(message: Noted) -> None:
        handled.append(message.number)

    return subscription


def test_store_whose_tables_were_replicated_says_so_and_goes_on_once_repaired(
    server: Server,
) -> None:
    source, target = (make_conninfo(server.conninfo, dbname=name) for name in ("source", "target"))
    handled: list[int] = []
    with psycopg.connect(server.conninfo, autocommit=True) as conn:
        for name in ("source", "target"):
            conn.execute(f"CREATE DATABASE {name}".encode())
    with MessageStore[Noted](source, store="bank", messages=Noted) as store:
        sums = _summing(store, handled)
        for number in range(5):
            store.write(f"note-{number % 2}", Noted(number))
        store.run_once(sums)
    pgstore.install(target, store="bank")
    _replicate(source, target)

    with MessageStore[Noted](target, store="bank", messages=Noted) as store:
        sums = _summing(store, handled)
        for _ in range(10):
            with pytest.raises(SequenceBehindError) as caught:
                store.write("note-0", Noted(5))
            assert (caught.value.sequence, caught.value.highest) == ("global_position_seq", 5)
            assert caught.value.last_value < 5
        with pytest.raises(SequenceBehindError):
            store.write("new-0", Noted(5))
        with pytest.raises(SequenceBehindError):
            list(store.read_all())
        with pytest.raises(SequenceBehindError):
            store.run_once(sums)

        with psycopg.connect(target, autocommit=True) as conn:
            repaired = conn.execute("SELECT sequence FROM bank.repair_sequences()").fetchall()
            assert repaired[:2] == [("global_position_seq",), ("stream_id_seq",)]
            assert [check for check in transfer.verify(conn, store="bank") if check.wrong] == []
        place = store.write("note-0", Noted(5), expected_version=3)
        assert (place.version, place.global_position) == (4, 6)
        assert [each.message.number for each in store.read_all()] == list(range(6))
        store.run_once(sums)
        assert handled == list(range(6))
        store.subscription("another").create()
