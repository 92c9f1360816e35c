"""What handlers get, when it counts as handled, and what happens when they fail."""

from typing import Any

import psycopg
import pytest

from pgstore import (
    AsyncMessageStore,
    StoredMessage,
    UnknownMessageTypeError,
)
from tests.client._async.conftest import OpenStore
from tests.client._async.running import Notes, numbers
from tests.client.messages import EventA, EventB

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]


class Broken(Exception):
    """What a handler of these tests raises."""


async def test_handlers_are_chosen_by_type(store: Store, category: str) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)], metadata={"a": 1})
    subscription = store.subscription(category, category=category)
    seen: list[object] = []

    @subscription.handler
    async def plain(message: EventA) -> None:
        seen.append(message)

    @subscription.handler
    async def stored(message: StoredMessage[EventB]) -> None:
        seen.append((message.message, message.version, message.metadata))

    assert await store.run_once(subscription) == 3
    assert seen == [EventA(1), (EventB("x"), 2, {"a": 1}), EventA(2)]
    assert await store.run_once(subscription) == 0


async def test_partitions_keep_the_order_of_streams(store: Store, category: str) -> None:
    for number in range(60):
        await store.write(f"{category}-{number % 6}", EventA(number))
    subscription = store.subscription(category, category=category, partitions=4, batch_size=7)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    assert await store.run_once(subscription) == 60
    for stream in range(6):
        assert [number for number in seen if number % 6 == stream] == list(range(stream, 60, 6))


@pytest.mark.parametrize("acknowledge", ["batch", "message"])
async def test_effects_in_the_transaction_happen_exactly_once(
    store: Store, category: str, acknowledge: Any
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(5)])
    subscription = store.subscription(
        category, category=category, acknowledge=acknowledge, retry_delay=0
    )
    broken = [Broken("first"), Broken("second")]

    @subscription.handler
    async def copy(message: EventA, tx: Transaction) -> None:
        await store.write(f"copy{category}", message, conn=tx)
        if message.num == 3 and broken:
            raise broken.pop(0)

    with pytest.raises(Broken, match="first"):
        await store.run_once(subscription)
    assert await numbers(store, f"copy{category}") == [0, 1, 2]
    assert await store.run_once(subscription, raise_errors=False) == 2
    assert broken == []
    assert await numbers(store, f"copy{category}") == [0, 1, 2, 3, 4]


async def test_without_the_transaction_what_was_handled_before_a_failure_stays_so(
    store: Store, category: str
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(5)])
    subscription = store.subscription(category, category=category, retry_delay=0)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)
        if seen.count(3) == 1:
            raise Broken

    notes = Notes()
    assert await store.run_once(subscription, raise_errors=False, hooks=notes) == 5
    assert seen == [0, 1, 2, 3, 3, 4]
    assert sum(notes.counted) == 5
    assert notes.failures == [("Broken", "retry")]


async def test_unknown_types_are_refused_or_skipped(
    open_store: OpenStore, store: Store, category: str
) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)])
    narrow = await open_store(EventA)
    for unknown_types in ("refuse", "skip"):
        seen: list[int] = []
        subscription = narrow.subscription(
            f"{category}{unknown_types}",
            category=category,
            unknown_types=unknown_types,
            on_failure="park",
            max_attempts=1,
        )

        @subscription.handler
        async def note(message: EventA) -> None:
            seen.append(message.num)  # noqa: B023

        notes = Notes()
        await narrow.run_once(subscription, raise_errors=False, hooks=notes)
        assert seen == [1, 2]
        refused = [("UnknownMessageTypeError", "park")] if unknown_types == "refuse" else []
        assert notes.failures == refused
        assert len(await subscription.parked()) == len(refused)


async def test_an_unknown_type_is_raised_by_run_once(
    open_store: OpenStore, store: Store, category: str
) -> None:
    await store.write(f"{category}-1", EventB("x"))
    narrow = await open_store(EventA)
    subscription = narrow.subscription(category, category=category)

    @subscription.handler
    async def note(message: EventA) -> None: ...

    with pytest.raises(UnknownMessageTypeError):
        await narrow.run_once(subscription)


async def test_a_known_type_without_a_handler_is_passed_over(store: Store, category: str) -> None:
    await store.write(f"{category}-1", EventA(1))
    last = await store.write(f"{category}-1", EventB("x"))
    subscription = store.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    assert await store.run_once(subscription) == 2
    assert seen == [1]
    assert await subscription.position() >= last.global_position


async def test_batches_get_the_types_of_their_annotation(store: Store, category: str) -> None:
    await store.write_many(f"{category}-1", [EventB("x"), EventA(1), EventB("y"), EventA(2)])
    subscription = store.subscription(category, category=category, batch_size=3)
    seen: list[list[int]] = []

    @subscription.batch_handler
    async def note(messages: list[StoredMessage[EventA]]) -> None:
        seen.append([stored.message.num for stored in messages])

    assert await store.run_once(subscription) == 4
    assert seen == [[1], [2]]


async def test_middleware_is_around_each_call_the_first_outermost(
    store: Store, category: str
) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventB("x")])
    subscription = store.subscription(category, category=category)
    seen: list[object] = []

    @subscription.middleware
    async def outer(message: Any, tx: Any, go_on: Any) -> None:
        seen.append(("outer", message, tx is not None))
        await go_on()
        seen.append("end")

    @subscription.middleware
    async def inner(message: Any, tx: Any, go_on: Any) -> None:
        seen.append("inner")
        await go_on()

    @subscription.handler
    async def plain(message: EventA, tx: Transaction) -> None:
        seen.append(message)

    @subscription.handler
    async def stored(message: StoredMessage[EventB]) -> None:
        seen.append(message.message)

    await store.run_once(subscription)
    last = [message async for message in store.read(f"{category}-1")][1]
    assert seen == [
        *[("outer", EventA(1), True), "inner", EventA(1), "end"],
        *[("outer", last, True), "inner", EventB("x"), "end"],
    ]


async def test_middleware_can_deal_with_an_error(store: Store, category: str) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)

    @subscription.middleware
    async def forgive(message: Any, tx: Any, go_on: Any) -> None:
        with pytest.raises(Broken):
            await go_on()

    @subscription.handler
    async def fail(message: EventA) -> None:
        raise Broken

    assert await store.run_once(subscription) == 1
