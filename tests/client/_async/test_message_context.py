"""What goes into the metadata of writes from the context around them, and from handlers."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pgstore import AsyncMessageStore, RawMessage, StoredMessage, message_context
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client.messages import EventA, EventB, Signed
from tests.client.parallel import AsyncParallel

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]
Found = list[Mapping[str, object] | None]


async def metadata(store: Store, stream: str) -> Found:
    return [stored.metadata async for stored in store.raw.read(stream)]


async def messages(store: Store, stream: str) -> list[StoredMessage[Any]]:
    return [stored async for stored in store.read(stream)]


async def test_every_write_takes_the_values_around_it(
    open_store: OpenStore, open_connection: OpenConnection, stream: str
) -> None:
    store = await open_store(EventA | Signed)
    grouping = await open_store(EventA, group_writes=True)
    conn = await open_connection()
    with message_context(user="ada", tenant="a"):
        await store.write(stream, EventA(1))
        await store.write(stream, EventA(2), metadata={"user": "bob"})
        await store.write(stream, EventA(3), conn=conn)
        await store.raw.write(stream, RawMessage("EventA", b'{"num": 4}'))
        await grouping.write(stream, EventA(5))
        await store.write_many(stream, [EventA(6), EventA(7)])
        await store.write_many(stream, [EventA(8)], metadata={"tenant": None}, conn=conn)
        await store.write_many(stream, [EventA(9), EventA(10)], metadata=[{"user": "bob"}, None])
        await store.synchronize(f"{stream}-s", [Signed(text="x")], expected_version=0)
    await store.write(stream, EventA(11))
    ada, bob = {"user": "ada", "tenant": "a"}, {"user": "bob", "tenant": "a"}
    none = {"user": "ada", "tenant": None}
    assert await metadata(store, stream) == [ada, bob, *[ada] * 5, none, bob, ada, None]
    assert await metadata(store, f"{stream}-s") == [ada]


async def test_grouped_writes_have_the_context_of_their_own_callers(
    open_store: OpenStore, stream: str
) -> None:
    store = await open_store(EventA, group_writes=True)

    async def write(number: int) -> None:
        with message_context(number=number):
            await store.write(f"{stream}-{number}", EventA(number))

    async with AsyncParallel() as parallel:
        await parallel.start(*[lambda number=number: write(number) for number in range(8)])
        assert await parallel.results() == [None] * 8
    for number in range(8):
        assert await metadata(store, f"{stream}-{number}") == [{"number": number}]


@pytest.mark.parametrize("given", ["text", 7, ["a"], [1, None]])
async def test_metadata_that_is_none_is_refused_in_a_context_as_outside(
    store: Store, stream: str, given: Any
) -> None:
    with pytest.raises(Exception) as outside:  # noqa: PT011 - compared below
        await store.write_many(stream, [EventA(1)], metadata=given)
    with message_context(user="ada"), pytest.raises(type(outside.value)) as inside:
        await store.write_many(stream, [EventA(1)], metadata=given)
    assert str(inside.value) == str(outside.value)


async def test_handlers_write_what_points_at_their_message(store: Store, category: str) -> None:
    await store.write(f"{category}-1", EventA(1), metadata={"correlation_id": "c", "user": "ada"})
    await store.write(f"{category}-2", EventA(2))
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def copy(message: EventA) -> None:
        await store.write(f"copy{category}-{message.num}", EventB("x"), metadata={"kind": "copy"})

    assert await store.run_once(subscription) == 2
    for number, correlation_id in ((1, "c"), (2, None)):
        (cause,) = await messages(store, f"{category}-{number}")
        (effect,) = await messages(store, f"copy{category}-{number}")
        assert effect.causation_id == str(cause.message_id)
        assert effect.correlation_id == (correlation_id or str(cause.message_id))
        assert effect.metadata is not None
        assert effect.metadata.keys() == {"correlation_id", "causation_id", "kind"}
    await store.write(f"{category}-3", EventB("after"))
    assert await metadata(store, f"{category}-3") == [None]


async def test_a_chain_of_handlers_keeps_the_correlation_of_its_beginning(
    store: Store, category: str
) -> None:
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def next_one(message: EventA, tx: Transaction) -> None:
        if message.num < 3:
            await store.write(f"{category}-1", EventA(message.num + 1), conn=tx)

    with message_context(user="ada"):
        await store.write(f"{category}-1", EventA(1))
    while await store.run_once(subscription):
        pass
    first, second, third = await messages(store, f"{category}-1")
    assert (first.correlation_id, first.causation_id) == (None, None)
    assert second.correlation_id == third.correlation_id == str(first.message_id)
    assert second.causation_id == str(first.message_id)
    assert third.causation_id == str(second.message_id)


async def test_batch_handlers_have_the_ids_that_are_true_of_all_messages(
    store: Store, category: str
) -> None:
    shared, other = {"correlation_id": "c"}, {"correlation_id": "d"}
    subscription = store.subscription(category, category=category)
    written = 0

    @subscription.batch_handler
    async def note(batch: list[StoredMessage[EventA]], tx: Transaction) -> None:
        nonlocal written
        written += 1
        stream = f"copy{category}-{written}"
        causes = list(batch)
        batch.clear()  # what a handler does to its list changes nothing
        await store.write(stream, EventA(1), conn=tx)
        with message_context(causes[-1]):
            await store.write(stream, EventA(2), conn=tx)

    found: list[Found] = []
    ids: list[UUID] = []
    for given in ([shared], [shared, shared], [shared, other], [None, shared]):
        for each in given:
            await store.write(f"{category}-1", EventA(0), metadata=each)
        last = await store.last(f"{category}-1")
        assert last is not None
        ids.append(last.message_id)
        await store.run_once(subscription)
        found.append(await metadata(store, f"copy{category}-{written}"))
    alone, alike, unlike, none = found
    one, two, three, four = [
        {"correlation_id": correlation_id, "causation_id": str(message_id)}
        for correlation_id, message_id in zip("ccdc", ids, strict=True)
    ]
    assert alone == [one, one]
    assert alike == [{"correlation_id": "c"}, two]
    assert unlike == [None, three]
    assert none == [None, four]


async def test_workers_have_the_context_around_run_under_that_of_the_message(
    store: Store, category: str
) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = store.subscription(category, category=category)
    seen: list[str] = []

    @subscription.middleware
    async def around(message: EventA, tx: Any, call: Any) -> None:
        await store.write(f"copy{category}", EventB("before"))
        with message_context(user="ada", correlation_id="c"):
            await call()

    @subscription.handler
    async def copy(message: EventA) -> None:
        await store.write(f"copy{category}", EventB("in"))
        seen.append("one")

    async def work() -> None:
        with message_context(worker="w", correlation_id="around"):
            await store.run(subscription)

    async with AsyncParallel() as parallel:
        await parallel.start(work)
        try:
            await parallel.until(lambda: len(seen) == 2)
        finally:
            store.stop()
        assert await parallel.results() == [None]
    first, second = [str(each.message_id) for each in await messages(store, f"{category}-1")]
    assert await metadata(store, f"copy{category}") == [
        {"worker": "w", "correlation_id": first, "causation_id": first},
        {"worker": "w", "correlation_id": "c", "causation_id": first, "user": "ada"},
        {"worker": "w", "correlation_id": second, "causation_id": second},
        {"worker": "w", "correlation_id": "c", "causation_id": second, "user": "ada"},
    ]


async def test_a_handler_that_fails_leaves_no_context(store: Store, category: str) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def fail(message: EventA) -> None:
        with message_context(user="ada"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.run_once(subscription)
    await store.write(f"{category}-1", EventA(2))
    assert await metadata(store, f"{category}-1") == [None, None]


async def test_a_write_that_is_repeated_in_another_context_is_a_retry(
    open_store: OpenStore, stream: str
) -> None:
    store = await open_store(Signed)
    message = Signed(text="x")
    answers = set()
    for attempt in "12":
        with message_context(correlation_id=f"request-{attempt}"):
            answers.add(await store.write(stream, message))
    assert len(answers) == 1
    assert await metadata(store, stream) == [{"correlation_id": "request-1"}]


async def test_a_batch_that_is_handled_again_one_by_one_repeats_its_writes(
    open_store: OpenStore, category: str
) -> None:
    store = await open_store(EventA | Signed)
    subscription = store.subscription(category, category=category, retry_delay=0)
    copies: dict[UUID, Signed] = {}
    broken = [ZeroDivisionError()]

    @subscription.batch_handler
    async def copy(batch: list[StoredMessage[EventA | Signed]]) -> None:
        for stored in batch:
            message = copies.setdefault(stored.message_id, Signed(text="x"))
            await store.write(f"copy{category}-{stored.version}", message)
        if broken:
            raise broken.pop()

    await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    assert await store.run_once(subscription) == 2
    assert len(await messages(store, f"copy{category}-1")) == 1
