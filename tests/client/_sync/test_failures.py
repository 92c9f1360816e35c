# Generated from tests/client/_async/test_failures.py by `python tools/unasync.py`.

"""Handlers that fail: tried again, stopped, parked."""

from typing import Any

import psycopg
import pytest

from pgstore import (
    MessageDecodeError,
    MessageStore,
    StoredMessage,
    TransactionFailedError,
)
from tests.client._sync.conftest import OpenStore
from tests.client._sync.running import Notes, numbers
from tests.client.messages import EventA, EventB

Store = MessageStore[Any]
Transaction = psycopg.Connection[Any]


class Broken(Exception):
    """What a handler of these tests raises."""


@pytest.mark.parametrize("takes_transaction", [False, True])
def test_parking_at_once_loses_nothing_that_was_before(
    store: Store, category: str, takes_transaction: bool
) -> None:
    store.write_many(f"{category}-1", [EventA(number) for number in range(6)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    tried: list[int] = []

    def handle(number: int, tx: Transaction | None) -> None:
        tried.append(number)
        store.write(f"copy{category}", EventA(number), conn=tx)
        if number in (2, 4):
            raise Broken(number)

    if takes_transaction:

        @subscription.handler
        def with_it(message: EventA, tx: Transaction) -> None:
            handle(message.num, tx)
    else:

        @subscription.handler
        def without(message: EventA) -> None:
            handle(message.num, None)

    notes = Notes()
    assert store.run_once(subscription, raise_errors=False, hooks=notes) == 4
    assert notes.failures == [("Broken", "park")] * 2
    assert (tried.count(2), tried.count(4)) == (1, 1)
    copied = numbers(store, f"copy{category}")
    assert copied == ([0, 1, 3, 5] if takes_transaction else [0, 1, 2, 3, 4, 5])
    parked = subscription.parked()
    assert [(each.version, each.error) for each in parked] == [(3, "Broken: 2"), (5, "Broken: 4")]


@pytest.mark.parametrize("kind", ["in the transaction", "without it", "at its commit"])
def test_in_a_batch_the_message_that_fails_is_found(
    store: Store, category: str, kind: str, open_connection: Any
) -> None:
    store.write_many(f"{category}-1", [EventA(number) for number in range(8)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=2, retry_delay=0
    )
    table = f"t{category}"
    conn = open_connection()
    conn.execute(f"CREATE TABLE {table} (num int UNIQUE DEFERRABLE INITIALLY DEFERRED)".encode())
    conn.execute(f"INSERT INTO {table} VALUES (5)".encode())

    def insert(messages: list[StoredMessage[EventA]], tx: Transaction) -> None:
        for stored in messages:
            if stored.message.num == 5 and kind != "at its commit":
                raise Broken
            tx.execute(f"INSERT INTO {table} VALUES ({stored.message.num})".encode())

    if kind == "without it":

        @subscription.batch_handler
        def without(messages: list[StoredMessage[EventA]]) -> None:
            with conn.transaction():
                insert(messages, conn)
    else:

        @subscription.batch_handler
        def with_it(messages: list[StoredMessage[EventA]], tx: Transaction) -> None:
            insert(messages, tx)

    notes = Notes()
    assert store.run_once(subscription, raise_errors=False, hooks=notes) == 7
    assert [each.version for each in subscription.parked()] == [6]
    found = conn.execute(f"SELECT num FROM {table} ORDER BY num".encode()).fetchall()
    assert [num for (num,) in found] == list(range(8))
    assert [action for _, action in notes.failures] == ["retry", "park"]


def test_retries_with_growing_pauses_then_stops_and_resumes(store: Store, category: str) -> None:
    position = store.write(f"{category}-1", EventA(1))
    store.write(f"{category}-1", EventA(2))
    subscription = store.subscription(category, category=category, max_attempts=3, retry_delay=60)
    broken = [True]
    seen: list[int] = []

    @subscription.handler
    def fail(message: EventA) -> None:
        if broken:
            raise Broken("no")
        seen.append(message.num)

    pauses = []
    for attempt in (1, 2, 3):
        with pytest.raises(Broken):
            store.run_once(subscription)
        (partition,) = subscription.partitions()
        assert (partition.attempts, partition.error) == (attempt, "Broken: no")
        assert partition.failed_position == position.global_position
        assert partition.leased_until is None
        if attempt == 3:
            assert partition.state == "stopped"
            break
        assert partition.state == "retrying"
        assert store.run_once(subscription) == 0
        pauses.append(partition.retry_at)
        hurry(store, category)
    hurry(store, category)
    assert store.run_once(subscription) == 0
    broken.clear()
    subscription.resume(partition=0)
    assert store.run_once(subscription) == 2
    assert seen == [1, 2]
    first, second = pauses
    assert first is not None
    assert second is not None
    assert 50 < (second - first).total_seconds() < 110  # 60 and 120 seconds after the attempts


def hurry(store: Store, subscription: str) -> None:
    """Let the pause before the next attempt be over."""
    with store.transaction() as conn:
        conn.execute(
            f'UPDATE "{store.name}".subscription_partitions AS p SET retry_at = now() FROM '
            f'"{store.name}".subscriptions AS s WHERE p.subscription_id = s.subscription_id '
            "AND s.subscription = %s".encode(),
            (subscription,),
        )


def test_a_stopped_partition_does_not_hold_the_others(store: Store, category: str) -> None:
    for number in range(20):
        store.write(f"{category}-{number % 10}", EventA(number))
    subscription = store.subscription(category, category=category, partitions=4, max_attempts=1)
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA) -> None:
        if message.num == 0:
            raise Broken
        seen.append(message.num)

    store.run_once(subscription, raise_errors=False)
    states = [each.state for each in subscription.partitions()]
    assert sorted(states) == ["idle", "idle", "idle", "stopped"]
    assert 0 < len(seen) < 20


def test_parked_messages_can_be_replayed_and_dropped(store: Store, category: str) -> None:
    store.write_many(f"{category}-1", [EventA(number) for number in range(4)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    broken = {1, 2, 3}

    @subscription.handler
    def note(message: EventA, tx: Transaction) -> None:
        if message.num in broken:
            raise Broken(message.num)
        store.write(f"copy{category}", message, conn=tx)

    store.run_once(subscription, raise_errors=False)
    assert [each.version for each in subscription.parked()] == [2, 3, 4]
    broken.remove(2)
    first, second, third = subscription.parked()
    assert second.message_id is not None
    assert third.message_id is not None
    assert (first.stream, first.type, first.attempts) == (f"{category}-1", "EventA", 1)
    assert store.get(second.message_id).message == EventA(2)
    assert subscription.replay(second.global_position) == 1
    assert store.run_once(subscription) == 1
    assert numbers(store, f"copy{category}") == [0, 2]
    assert subscription.replay() == 2
    assert store.run_once(subscription, raise_errors=False) == 0
    parked = subscription.parked()
    assert [(each.version, each.attempts, each.replay) for each in parked] == [
        (2, 2, False),
        (4, 2, False),
    ]
    assert subscription.drop_parked(first.global_position) == 1
    assert subscription.drop_parked() == 1
    assert subscription.parked() == []
    assert subscription.replay(third.global_position) == 0
    assert store.run_once(subscription) == 0
    assert store.get(third.message_id).message == EventA(3)


def test_a_payload_that_cannot_be_decoded_is_a_failure(
    open_store: OpenStore, store: Store, category: str
) -> None:
    store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)])
    other = open_store({"EventA": EventA, "EventB": EventA})
    subscription = other.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)

    with pytest.raises(MessageDecodeError):
        other.run_once(subscription)
    other.run_once(subscription)
    assert seen == [1, 2]
    assert [each.version for each in subscription.parked()] == [2]


def test_the_error_keeps_its_own_cause(store: Store, category: str) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)
    cause = ValueError("cause")

    @subscription.handler
    def fail(message: EventA) -> None:
        raise Broken from cause

    with pytest.raises(Broken) as caught:
        store.run_once(subscription)
    assert caught.value.__cause__ is cause


def test_a_serialization_failure_at_the_commit_is_tried_again(store: Store, category: str) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category, retry_delay=0)
    tried: list[int] = []

    @subscription.handler
    def copy(message: EventA, tx: Transaction) -> None:
        store.write(f"copy{category}", message, conn=tx)
        tried.append(message.num)
        if len(tried) == 1:
            tx.execute(
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
    assert store.run_once(subscription, raise_errors=False, hooks=notes) == 1
    assert notes.failures == []
    assert tried == [1, 1]
    assert numbers(store, f"copy{category}") == [1]


def test_an_error_that_the_handler_swallows_does_not_count_as_done(
    store: Store, category: str
) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)

    @subscription.handler
    def swallow(message: EventA, tx: Transaction) -> None:
        with pytest.raises(psycopg.errors.DivisionByZero):
            tx.execute("SELECT 1/0")

    with pytest.raises(TransactionFailedError):
        store.run_once(subscription)
    (status,) = subscription.partitions()
    assert (status.attempts, status.failed_position) == (1, store.safe_position())
    assert "savepoint" in str(status.error)


def test_a_savepoint_of_a_handler_may_fail(store: Store, category: str) -> None:
    store.write_many(f"{category}-1", [EventA(n) for n in range(3)])
    subscription = store.subscription(category, category=category)

    @subscription.handler
    def swallow(message: EventA, tx: Transaction) -> None:
        with pytest.raises(psycopg.errors.DivisionByZero), tx.transaction():
            tx.execute("SELECT 1/0")
        store.write(f"copy{category}", message, conn=tx)

    assert store.run_once(subscription) == 3
    assert numbers(store, f"copy{category}") == [0, 1, 2]


@pytest.mark.parametrize(
    "end", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN", "COMMIT AND CHAIN"]
)
@pytest.mark.parametrize("on_failure", ["stop", "park"])
def test_a_handler_that_ends_its_transaction_is_that_messages_failure(
    store: Store, category: str, end: str, on_failure: Any
) -> None:
    store.write_many(f"{category}-1", [EventA(n) for n in range(4)])
    subscription = store.subscription(
        category, category=category, max_attempts=2, retry_delay=0, on_failure=on_failure
    )
    tried: list[int] = []

    @subscription.handler
    def copy(message: EventA, tx: Transaction) -> None:
        tried.append(message.num)
        if message.num == 2:
            tx.execute(end.encode())

    notes = Notes()
    store.run_once(subscription, raise_errors=False, hooks=notes)
    assert notes.failures == [
        ("TransactionEndedError", "retry"),
        ("TransactionEndedError", on_failure),
    ]
    assert tried.count(2) in (2, 3)  # once more, to find out which one it was
    assert (3 in tried) is (on_failure == "park" or "BEGIN" in end or "CHAIN" in end)
    (status,) = subscription.partitions()
    if on_failure == "park":
        (parked,) = subscription.parked()
        assert (parked.version, parked.attempts) == (3, 2)
        assert "was ended" in str(parked.error)
        assert status.state == "idle"
    else:
        assert (status.state, status.attempts) == ("stopped", 2)
        assert "was ended" in str(status.error)


def test_a_replayed_message_whose_handler_ends_its_transaction_stays_parked(
    store: Store, category: str
) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(
        category, category=category, max_attempts=1, on_failure="park"
    )

    @subscription.handler
    def end(message: EventA, tx: Transaction) -> None:
        tx.execute("COMMIT; BEGIN")

    for attempts in (1, 2):
        store.run_once(subscription, raise_errors=False)
        assert [each.attempts for each in subscription.parked()] == [attempts]
        subscription.replay()
