"""Projections that are rebuilt while they are read, and those of the writer's transaction."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pgstore import (
    AsyncMessageStore,
    AsyncSubscription,
    InvalidArgumentError,
    StoredMessage,
    SubscriptionNotFoundError,
)
from tests.client._async.conftest import OpenConnection
from tests.client._async.running import running
from tests.client.messages import EventA, EventB
from tests.client.parallel import AsyncParallel
from tests.conftest import Connect

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]


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
) -> AsyncSubscription[Any]:
    subscription = store.subscription(f"{category}-{version}", category=category, **options)
    insert = f"INSERT INTO {tables}.seen_{version} VALUES (%s{', %s' * (version - 1)})".encode()

    @subscription.handler
    async def see(stored: StoredMessage[EventA], tx: Transaction) -> None:
        await tx.execute(insert, [stored.message.num, stored.version][:version])

    return subscription


async def switch(new: AsyncSubscription[Any], old: AsyncSubscription[Any], tables: str) -> None:
    async with new.replacing(old) as conn:
        view = f"CREATE OR REPLACE VIEW {tables}.seen AS SELECT num FROM {tables}.seen_2"
        await conn.execute(view.encode())


@pytest.mark.parametrize("partitions", [1, 3])
async def test_readers_never_see_the_projection_go_back_while_it_is_replaced(
    store: Store, open_connection: OpenConnection, tables: str, category: str, partitions: int
) -> None:
    old = version_of(store, tables, category, 1, partitions=partitions)
    new = version_of(store, tables, category, 2, partitions=4 - partitions)
    reader = await open_connection()
    state = {"written": 0, "switched": False, "stop": False}

    async def write() -> None:
        while not state["stop"]:
            number = state["written"]
            await store.write(f"{category}-{number % 5}", EventA(number))
            state["written"] += 1

    async def read() -> list[int]:
        """What a reader has seen, of which each look has to have all that the one before had."""
        before: set[int] = set()
        sizes = []
        while not state["stop"]:
            rows = await (
                await reader.execute(f"SELECT num FROM {tables}.seen".encode())
            ).fetchall()
            now = {num for (num,) in rows}
            assert len(now) == len(rows)
            assert before <= now, (state, sorted(before - now))
            sizes.append(len(now))
            before = now
        return sizes

    async def replace() -> None:
        try:
            await AsyncParallel.until(lambda: state["written"] > 100)
            await old.wait_until(await store.safe_position())
            async with running(store, new):
                await AsyncParallel.until(lambda: state["written"] > 150)
                await switch(new, old, tables)
                written = state["written"]
                await AsyncParallel.until(lambda: state["written"] > written + 100)
                await new.wait_until(await store.safe_position())
        finally:
            state["stop"] = True

    async with running(store, old, workers=2), AsyncParallel() as parallel:
        await parallel.start(write, read, replace)
        results = await parallel.results()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    assert results[1][-1] > 200
    await old.drop()
    assert await new.position() > 0


async def test_replacing_waits_for_nothing_longer_than_its_time(
    store: Store, tables: str, category: str
) -> None:
    old = version_of(store, tables, category, 1)
    new = version_of(store, tables, category, 2)
    await store.write(f"{category}-1", EventA(1))
    await store.run_once(old)
    with pytest.raises(TimeoutError):
        async with new.replacing(old, timeout=0.05):
            raise AssertionError
    await store.run_once(new)
    async with new.replacing(old.name, timeout=0.05):
        pass
    with pytest.raises(SubscriptionNotFoundError):
        async with new.replacing(f"{category}-none"):
            raise AssertionError
    with pytest.raises(InvalidArgumentError, match="another subscription"):
        async with new.replacing(new):
            raise AssertionError


async def test_replacing_holds_the_other_one_until_it_ends(
    store: Store, tables: str, category: str
) -> None:
    old = version_of(store, tables, category, 1)
    new = version_of(store, tables, category, 2)
    await store.write(f"{category}-1", EventA(1))
    await store.run_once(old, new)
    async with new.replacing(old):
        await store.write(f"{category}-1", EventA(2))
        assert await store.run_once(old) == 0
        assert await store.run_once(new) == 1
    assert await store.run_once(old) == 1


async def test_an_error_in_the_block_changes_nothing(
    store: Store, tables: str, category: str, open_connection: OpenConnection
) -> None:
    old = version_of(store, tables, category, 1)
    new = version_of(store, tables, category, 2)
    await store.run_once(old, new)
    with suppress(ZeroDivisionError):
        async with new.replacing(old) as conn:
            await conn.execute(f"DROP VIEW {tables}.seen".encode())
            raise ZeroDivisionError
    await (await open_connection()).execute(f"SELECT FROM {tables}.seen".encode())


@pytest.fixture
async def totals(store: Store, category: str) -> AsyncSubscription[Any]:
    """A projection of the writer's transaction."""
    return store.subscription(f"{category}-totals", category=category)


async def in_one_transaction(
    store: Store, totals: AsyncSubscription[Any], stream: str, *messages: object
) -> list[StoredMessage[Any]]:
    async with store.transaction() as conn:
        written = await store.write_many(stream, messages, conn=conn)
        first = written.version - len(messages) + 1
        stored = [each async for each in store.read(stream, from_version=first, conn=conn)]
        await totals.apply(stored, conn)
    return stored


async def test_apply_calls_the_handlers_with_what_was_written(
    store: Store, totals: AsyncSubscription[Any], tables: str, category: str
) -> None:
    seen: list[object] = []

    @totals.middleware
    async def around(message: object, conn: Any, handle: Any) -> None:
        seen.append("before")
        await handle()

    @totals.handler
    async def add(stored: StoredMessage[EventA], tx: Transaction) -> None:
        await tx.execute(f"INSERT INTO {tables}.seen_1 VALUES (%s)".encode(), [stored.version])
        seen.append(stored)

    messages = [EventA(1), EventB("passed over"), EventA(2)]
    stream = f"{category}-1"
    stored = await in_one_transaction(store, totals, stream, *messages)
    assert seen == ["before", stored[0], "before", stored[2]]
    assert stored == [each async for each in store.read(stream)]


async def test_apply_calls_a_batch_handler_once(
    store: Store, totals: AsyncSubscription[Any], category: str
) -> None:
    seen: list[list[int]] = []

    @totals.batch_handler
    async def add(batch: list[StoredMessage[EventA]], tx: Transaction) -> None:
        seen.append([stored.message.num for stored in batch])

    messages = [EventA(1), EventB("passed over"), EventA(2)]
    await in_one_transaction(store, totals, f"{category}-1", *messages)
    assert seen == [[1, 2]]


async def test_what_a_handler_raises_in_the_writers_transaction_refuses_the_message(
    store: Store, totals: AsyncSubscription[Any], category: str
) -> None:
    @totals.handler
    async def refuse(message: EventA, tx: Transaction) -> None:
        await tx.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        await in_one_transaction(store, totals, f"{category}-1", EventA(1))
    assert await store.stream_version(f"{category}-1") == 0


async def test_apply_needs_a_transaction(
    store: Store,
    totals: AsyncSubscription[Any],
    open_connection: OpenConnection,
    tables: str,
    category: str,
) -> None:
    @totals.handler
    async def add(stored: StoredMessage[EventA], tx: Transaction) -> None:
        await tx.execute(f"INSERT INTO {tables}.seen_1 VALUES (%s)".encode(), [stored.version])

    await store.write(f"{category}-1", EventA(1))
    stored = [each async for each in store.read(f"{category}-1")]
    conn = await open_connection()
    await conn.set_autocommit(True)
    with pytest.raises(InvalidArgumentError, match="apply needs a transaction"):
        await totals.apply(stored, conn)
    async with conn.transaction():
        await totals.apply(stored, conn)
    cursor = await conn.execute(f"SELECT num FROM {tables}.seen_1".encode())
    assert await cursor.fetchall() == [(1,)]
