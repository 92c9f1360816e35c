# Generated from tests/client/_async/test_projections.py by `python tools/unasync.py`.

"""Projections that are rebuilt while they are read, and those of the writer's transaction."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pgstore import (
    InvalidArgumentError,
    MessageStore,
    StoredMessage,
    Subscription,
    SubscriptionNotFoundError,
)
from tests.client._sync.conftest import OpenConnection
from tests.client._sync.running import running
from tests.client.messages import EventA, EventB
from tests.client.parallel import Parallel
from tests.conftest import Connect

Store = MessageStore[Any]
Transaction = psycopg.Connection[Any]


@pytest.fixture
def tables(connect: Connect) -> Iterator[str]:
    """A schema with two versions of a projection: the numbers that were seen; and their view."""
    conn, name = connect(), f"tables_{uuid4().hex[:12]}"
    conn.execute(
        f"CREATE SCHEMA {name};"
        f"CREATE TABLE {name}.seen_1 (num bigint NOT NULL);"
        f"CREATE TABLE {name}.seen_2 (num bigint NOT NULL, version bigint NOT NULL);"
        f"CREATE VIEW {name}.seen AS SELECT num FROM {name}.seen_1".encode()
    )
    yield name
    conn.execute(f"DROP SCHEMA {name} CASCADE".encode())


def version_of(
    store: Store, tables: str, category: str, version: int, **options: Any
) -> Subscription[Any]:
    subscription = store.subscription(f"{category}-{version}", category=category, **options)
    insert = f"INSERT INTO {tables}.seen_{version} VALUES (%s{', %s' * (version - 1)})".encode()

    @subscription.handler
    def see(stored: StoredMessage[EventA], tx: Transaction) -> None:
        tx.execute(insert, [stored.message.num, stored.version][:version])

    return subscription


def switch(new: Subscription[Any], old: Subscription[Any], tables: str) -> None:
    with new.replacing(old) as conn:
        view = f"CREATE OR REPLACE VIEW {tables}.seen AS SELECT num FROM {tables}.seen_2"
        conn.execute(view.encode())


@pytest.mark.parametrize("partitions", [1, 3])
def test_readers_never_see_the_projection_go_back_while_it_is_replaced(
    store: Store, open_connection: OpenConnection, tables: str, category: str, partitions: int
) -> None:
    old = version_of(store, tables, category, 1, partitions=partitions)
    new = version_of(store, tables, category, 2, partitions=4 - partitions)
    reader = open_connection()
    state = {"written": 0, "switched": False, "stop": False}

    def write() -> None:
        while not state["stop"]:
            number = state["written"]
            store.write(f"{category}-{number % 5}", EventA(number))
            state["written"] += 1

    def read() -> list[int]:
        """What a reader has seen, of which each look has to have all that the one before had."""
        before: set[int] = set()
        sizes = []
        while not state["stop"]:
            rows = (reader.execute(f"SELECT num FROM {tables}.seen".encode())).fetchall()
            now = {num for (num,) in rows}
            assert len(now) == len(rows)
            assert before <= now, (state, sorted(before - now))
            sizes.append(len(now))
            before = now
        return sizes

    def replace() -> None:
        try:
            Parallel.until(lambda: state["written"] > 100)
            old.wait_until(store.safe_position())
            with running(store, new):
                Parallel.until(lambda: state["written"] > 150)
                switch(new, old, tables)
                written = state["written"]
                Parallel.until(lambda: state["written"] > written + 100)
                new.wait_until(store.safe_position())
        finally:
            state["stop"] = True

    with running(store, old, workers=2), Parallel() as parallel:
        parallel.start(write, read, replace)
        results = parallel.results()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    assert results[1][-1] > 200
    old.drop()
    assert new.position() > 0


def test_replacing_waits_for_nothing_longer_than_its_time(
    store: Store, tables: str, category: str
) -> None:
    old = version_of(store, tables, category, 1)
    new = version_of(store, tables, category, 2)
    store.write(f"{category}-1", EventA(1))
    store.run_once(old)
    with pytest.raises(TimeoutError), new.replacing(old, timeout=0.05):
        raise AssertionError
    store.run_once(new)
    with new.replacing(old.name, timeout=0.05):
        pass
    with pytest.raises(SubscriptionNotFoundError), new.replacing(f"{category}-none"):
        raise AssertionError
    with pytest.raises(InvalidArgumentError, match="another subscription"), new.replacing(new):
        raise AssertionError


def test_replacing_holds_the_other_one_until_it_ends(
    store: Store, tables: str, category: str
) -> None:
    old = version_of(store, tables, category, 1)
    new = version_of(store, tables, category, 2)
    store.write(f"{category}-1", EventA(1))
    store.run_once(old, new)
    with new.replacing(old):
        store.write(f"{category}-1", EventA(2))
        assert store.run_once(old) == 0
        assert store.run_once(new) == 1
    assert store.run_once(old) == 1


def test_an_error_in_the_block_changes_nothing(
    store: Store, tables: str, category: str, open_connection: OpenConnection
) -> None:
    old = version_of(store, tables, category, 1)
    new = version_of(store, tables, category, 2)
    store.run_once(old, new)
    with suppress(ZeroDivisionError), new.replacing(old) as conn:
        conn.execute(f"DROP VIEW {tables}.seen".encode())
        raise ZeroDivisionError
    open_connection().execute(f"SELECT FROM {tables}.seen".encode())


@pytest.fixture
def totals(store: Store, category: str) -> Subscription[Any]:
    """A projection of the writer's transaction."""
    return store.subscription(f"{category}-totals", category=category)


def in_one_transaction(
    store: Store, totals: Subscription[Any], stream: str, *messages: object
) -> list[StoredMessage[Any]]:
    with store.transaction() as conn:
        written = store.write_many(stream, messages, conn=conn)
        first = written.version - len(messages) + 1
        stored = list(store.read(stream, from_version=first, conn=conn))
        totals.apply(stored, conn)
    return stored


def test_apply_calls_the_handlers_with_what_was_written(
    store: Store, totals: Subscription[Any], tables: str, category: str
) -> None:
    seen: list[object] = []

    @totals.middleware
    def around(message: object, conn: Any, handle: Any) -> None:
        seen.append("before")
        handle()

    @totals.handler
    def add(stored: StoredMessage[EventA], tx: Transaction) -> None:
        tx.execute(f"INSERT INTO {tables}.seen_1 VALUES (%s)".encode(), [stored.version])
        seen.append(stored)

    messages = [EventA(1), EventB("passed over"), EventA(2)]
    stream = f"{category}-1"
    stored = in_one_transaction(store, totals, stream, *messages)
    assert seen == ["before", stored[0], "before", stored[2]]
    assert stored == list(store.read(stream))


def test_apply_calls_a_batch_handler_once(
    store: Store, totals: Subscription[Any], category: str
) -> None:
    seen: list[list[int]] = []

    @totals.batch_handler
    def add(batch: list[StoredMessage[EventA]], tx: Transaction) -> None:
        seen.append([stored.message.num for stored in batch])

    messages = [EventA(1), EventB("passed over"), EventA(2)]
    in_one_transaction(store, totals, f"{category}-1", *messages)
    assert seen == [[1, 2]]


def test_what_a_handler_raises_in_the_writers_transaction_refuses_the_message(
    store: Store, totals: Subscription[Any], category: str
) -> None:
    @totals.handler
    def refuse(message: EventA, tx: Transaction) -> None:
        tx.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        in_one_transaction(store, totals, f"{category}-1", EventA(1))
    assert store.stream_version(f"{category}-1") == 0


def test_apply_needs_a_transaction(
    store: Store,
    totals: Subscription[Any],
    open_connection: OpenConnection,
    tables: str,
    category: str,
) -> None:
    @totals.handler
    def add(stored: StoredMessage[EventA], tx: Transaction) -> None:
        tx.execute(f"INSERT INTO {tables}.seen_1 VALUES (%s)".encode(), [stored.version])

    store.write(f"{category}-1", EventA(1))
    stored = list(store.read(f"{category}-1"))
    conn = open_connection()
    conn.set_autocommit(True)
    with pytest.raises(InvalidArgumentError, match="apply needs a transaction"):
        totals.apply(stored, conn)
    with conn.transaction():
        totals.apply(stored, conn)
    cursor = conn.execute(f"SELECT num FROM {tables}.seen_1".encode())
    assert cursor.fetchall() == [(1,)]
