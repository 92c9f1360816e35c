"""Handlers that fail: tried again, stopped, parked."""

from typing import Any

import psycopg
import pytest

from pgstore import (
    AsyncMessageStore,
    MessageDecodeError,
    StoredMessage,
    TransactionFailedError,
)
from tests.client._async.conftest import OpenStore
from tests.client._async.running import Notes, numbers
from tests.client.messages import EventA, EventB

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]


class Broken(Exception):
    """What a handler of these tests raises."""


@pytest.mark.parametrize("takes_transaction", [False, True])
async def test_parking_at_once_loses_nothing_that_was_before(
    store: Store, category: str, takes_transaction: bool
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(6)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    tried: list[int] = []

    async def handle(number: int, tx: Transaction | None) -> None:
        tried.append(number)
        await store.write(f"copy{category}", EventA(number), conn=tx)
        if number in (2, 4):
            raise Broken(number)

    if takes_transaction:

        @subscription.handler
        async def with_it(message: EventA, tx: Transaction) -> None:
            await handle(message.num, tx)
    else:

        @subscription.handler
        async def without(message: EventA) -> None:
            await handle(message.num, None)

    notes = Notes()
    assert await store.run_once(subscription, raise_errors=False, hooks=notes) == 4
    assert notes.failures == [("Broken", "park")] * 2
    assert (tried.count(2), tried.count(4)) == (1, 1)
    copied = await numbers(store, f"copy{category}")
    assert copied == ([0, 1, 3, 5] if takes_transaction else [0, 1, 2, 3, 4, 5])
    parked = await subscription.parked()
    assert [(each.version, each.error) for each in parked] == [(3, "Broken: 2"), (5, "Broken: 4")]


@pytest.mark.parametrize("kind", ["in the transaction", "without it", "at its commit"])
async def test_in_a_batch_the_message_that_fails_is_found(
    store: Store, category: str, kind: str, open_connection: Any
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(8)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=2, retry_delay=0
    )
    table = f"t{category}"
    conn = await open_connection()
    await conn.execute(
        f"CREATE TABLE {table} (num int UNIQUE DEFERRABLE INITIALLY DEFERRED)".encode()
    )
    await conn.execute(f"INSERT INTO {table} VALUES (5)".encode())

    async def insert(messages: list[StoredMessage[EventA]], tx: Transaction) -> None:
        for stored in messages:
            if stored.message.num == 5 and kind != "at its commit":
                raise Broken
            await tx.execute(f"INSERT INTO {table} VALUES ({stored.message.num})".encode())

    if kind == "without it":

        @subscription.batch_handler
        async def without(messages: list[StoredMessage[EventA]]) -> None:
            async with conn.transaction():
                await insert(messages, conn)
    else:

        @subscription.batch_handler
        async def with_it(messages: list[StoredMessage[EventA]], tx: Transaction) -> None:
            await insert(messages, tx)

    notes = Notes()
    assert await store.run_once(subscription, raise_errors=False, hooks=notes) == 7
    assert [each.version for each in await subscription.parked()] == [6]
    found = await (await conn.execute(f"SELECT num FROM {table} ORDER BY num".encode())).fetchall()
    assert [num for (num,) in found] == list(range(8))
    assert [action for _, action in notes.failures] == ["retry", "park"]


async def test_retries_with_growing_pauses_then_stops_and_resumes(
    store: Store, category: str
) -> None:
    position = await store.write(f"{category}-1", EventA(1))
    await store.write(f"{category}-1", EventA(2))
    subscription = store.subscription(category, category=category, max_attempts=3, retry_delay=60)
    broken = [True]
    seen: list[int] = []

    @subscription.handler
    async def fail(message: EventA) -> None:
        if broken:
            raise Broken("no")
        seen.append(message.num)

    pauses = []
    for attempt in (1, 2, 3):
        with pytest.raises(Broken):
            await store.run_once(subscription)
        (partition,) = await subscription.partitions()
        assert (partition.attempts, partition.error) == (attempt, "Broken: no")
        assert partition.failed_position == position.global_position
        assert partition.leased_until is None
        if attempt == 3:
            assert partition.state == "stopped"
            break
        assert partition.state == "retrying"
        assert await store.run_once(subscription) == 0
        pauses.append(partition.retry_at)
        await hurry(store, category)
    await hurry(store, category)
    assert await store.run_once(subscription) == 0
    broken.clear()
    await subscription.resume(partition=0)
    assert await store.run_once(subscription) == 2
    assert seen == [1, 2]
    first, second = pauses
    assert first is not None
    assert second is not None
    assert 50 < (second - first).total_seconds() < 110  # 60 and 120 seconds after the attempts


async def hurry(store: Store, subscription: str) -> None:
    """Let the pause before the next attempt be over."""
    async with store.transaction() as conn:
        await conn.execute(
            f'UPDATE "{store.name}".subscription_partitions AS p SET retry_at = now() FROM '
            f'"{store.name}".subscriptions AS s WHERE p.subscription_id = s.subscription_id '
            "AND s.subscription = %s".encode(),
            (subscription,),
        )


async def test_a_stopped_partition_does_not_hold_the_others(store: Store, category: str) -> None:
    for number in range(20):
        await store.write(f"{category}-{number % 10}", EventA(number))
    subscription = store.subscription(category, category=category, partitions=4, max_attempts=1)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        if message.num == 0:
            raise Broken
        seen.append(message.num)

    await store.run_once(subscription, raise_errors=False)
    states = [each.state for each in await subscription.partitions()]
    assert sorted(states) == ["idle", "idle", "idle", "stopped"]
    assert 0 < len(seen) < 20


async def test_parked_messages_can_be_replayed_and_dropped(store: Store, category: str) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(4)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    broken = {1, 2, 3}

    @subscription.handler
    async def note(message: EventA, tx: Transaction) -> None:
        if message.num in broken:
            raise Broken(message.num)
        await store.write(f"copy{category}", message, conn=tx)

    await store.run_once(subscription, raise_errors=False)
    assert [each.version for each in await subscription.parked()] == [2, 3, 4]
    broken.remove(2)
    first, second, third = await subscription.parked()
    assert second.message_id is not None
    assert third.message_id is not None
    assert (first.stream, first.type, first.attempts) == (f"{category}-1", "EventA", 1)
    assert (await store.get(second.message_id)).message == EventA(2)
    assert await subscription.replay(second.global_position) == 1
    assert await store.run_once(subscription) == 1
    assert await numbers(store, f"copy{category}") == [0, 2]
    assert await subscription.replay() == 2
    assert await store.run_once(subscription, raise_errors=False) == 0
    parked = await subscription.parked()
    assert [(each.version, each.attempts, each.replay) for each in parked] == [
        (2, 2, False),
        (4, 2, False),
    ]
    assert await subscription.drop_parked(first.global_position) == 1
    assert await subscription.drop_parked() == 1
    assert await subscription.parked() == []
    assert await subscription.replay(third.global_position) == 0
    assert await store.run_once(subscription) == 0
    assert (await store.get(third.message_id)).message == EventA(3)


async def test_a_payload_that_cannot_be_decoded_is_a_failure(
    open_store: OpenStore, store: Store, category: str
) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)])
    other = await open_store({"EventA": EventA, "EventB": EventA})
    subscription = other.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)

    with pytest.raises(MessageDecodeError):
        await other.run_once(subscription)
    await other.run_once(subscription)
    assert seen == [1, 2]
    assert [each.version for each in await subscription.parked()] == [2]


async def test_the_error_keeps_its_own_cause(store: Store, category: str) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)
    cause = ValueError("cause")

    @subscription.handler
    async def fail(message: EventA) -> None:
        raise Broken from cause

    with pytest.raises(Broken) as caught:
        await store.run_once(subscription)
    assert caught.value.__cause__ is cause


async def test_a_serialization_failure_at_the_commit_is_tried_again(
    store: Store, category: str
) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category, retry_delay=0)
    tried: list[int] = []

    @subscription.handler
    async def copy(message: EventA, tx: Transaction) -> None:
        await store.write(f"copy{category}", message, conn=tx)
        tried.append(message.num)
        if len(tried) == 1:
            await tx.execute(
                f"""
                CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS
                  $$BEGIN RAISE serialization_failure; END$$;
                CREATE TEMPORARY TABLE {category} (num int);
                CREATE CONSTRAINT TRIGGER late AFTER INSERT ON {category} INITIALLY DEFERRED
                  FOR EACH ROW EXECUTE FUNCTION pg_temp.fail();
                INSERT INTO {category} VALUES (1);
                """.encode()
            )

    notes = Notes()
    assert await store.run_once(subscription, raise_errors=False, hooks=notes) == 1
    assert notes.failures == []
    assert tried == [1, 1]
    assert await numbers(store, f"copy{category}") == [1]


async def test_an_error_that_the_handler_swallows_does_not_count_as_done(
    store: Store, category: str
) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def swallow(message: EventA, tx: Transaction) -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await tx.execute("SELECT 1/0")

    with pytest.raises(TransactionFailedError):
        await store.run_once(subscription)
    (status,) = await subscription.partitions()
    assert (status.attempts, status.failed_position) == (1, await store.safe_position())
    assert "savepoint" in str(status.error)


async def test_a_savepoint_of_a_handler_may_fail(store: Store, category: str) -> None:
    await store.write_many(f"{category}-1", [EventA(n) for n in range(3)])
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def swallow(message: EventA, tx: Transaction) -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with tx.transaction():
                await tx.execute("SELECT 1/0")
        await store.write(f"copy{category}", message, conn=tx)

    assert await store.run_once(subscription) == 3
    assert await numbers(store, f"copy{category}") == [0, 1, 2]


@pytest.mark.parametrize(
    "end", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN", "COMMIT AND CHAIN"]
)
@pytest.mark.parametrize("on_failure", ["stop", "park"])
async def test_a_handler_that_ends_its_transaction_is_that_messages_failure(
    store: Store, category: str, end: str, on_failure: Any
) -> None:
    await store.write_many(f"{category}-1", [EventA(n) for n in range(4)])
    subscription = store.subscription(
        category, category=category, max_attempts=2, retry_delay=0, on_failure=on_failure
    )
    tried: list[int] = []

    @subscription.handler
    async def copy(message: EventA, tx: Transaction) -> None:
        tried.append(message.num)
        if message.num == 2:
            await tx.execute(end.encode())

    notes = Notes()
    await store.run_once(subscription, raise_errors=False, hooks=notes)
    assert notes.failures == [
        ("TransactionEndedError", "retry"),
        ("TransactionEndedError", on_failure),
    ]
    assert tried.count(2) in (2, 3)  # once more, to find out which one it was
    assert (3 in tried) is (on_failure == "park" or "BEGIN" in end or "CHAIN" in end)
    (status,) = await subscription.partitions()
    if on_failure == "park":
        (parked,) = await subscription.parked()
        assert (parked.version, parked.attempts) == (3, 2)
        assert "was ended" in str(parked.error)
        assert status.state == "idle"
    else:
        assert (status.state, status.attempts) == ("stopped", 2)
        assert "was ended" in str(status.error)


async def test_a_replayed_message_whose_handler_ends_its_transaction_stays_parked(
    store: Store, category: str
) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(
        category, category=category, max_attempts=1, on_failure="park"
    )

    @subscription.handler
    async def end(message: EventA, tx: Transaction) -> None:
        await tx.execute("COMMIT; BEGIN")

    for attempts in (1, 2):
        await store.run_once(subscription, raise_errors=False)
        assert [each.attempts for each in await subscription.parked()] == [attempts]
        await subscription.replay()
