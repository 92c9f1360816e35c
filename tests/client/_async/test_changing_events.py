"""Rows that older code has written, read by the code at hand."""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import psycopg
import pytest

from pgstore import (
    AsyncMessageStore,
    AsyncSubscription,
    InvalidArgumentError,
    MessageDecodeError,
    MessageNotFoundError,
    StoredMessage,
    SubscriptionExistsError,
    SubscriptionNotFoundError,
    UnreadableMessage,
    Upcaster,
)
from pgstore._compat.tasks import async_pause
from tests.client._async.conftest import OpenStore
from tests.client._async.running import running
from tests.client.messages import EventA, EventB

Store = AsyncMessageStore[Any]


class OldA(msgspec.Struct):
    number: str


class Noise(msgspec.Struct):
    pass


def renamed(old: OldA) -> EventA:
    return EventA(int(old.number))


def split(old: dict[str, Any]) -> EventA | EventB:
    return EventB(old["text"]) if "text" in old else EventA(old["num"])


def silent(old: dict[str, Any]) -> None:
    return None


UPCASTERS = [Upcaster("OldA", renamed), Upcaster("Either", split), Upcaster("Noise", silent)]


@pytest.fixture
async def stream(open_store: OpenStore, category: str) -> str:
    """A stream that older code has written: five messages, and noise around them."""
    old = await open_store(messages={"OldA": OldA, "Noise": Noise, "EventA": EventA})
    stream = f"{category}-1"
    await old.write(stream, Noise())
    await old.write_many(stream, [OldA("1"), Noise(), OldA("2")])
    either = await open_store(messages={"Either": EventB})
    await either.write(stream, EventB("three"))
    await (await open_store(messages={"Either": EventA})).write(stream, EventA(4))
    await old.write_many(stream, [EventA(5), Noise(), Noise()])
    return stream


PRESENT = [EventA(1), EventA(2), EventB("three"), EventA(4), EventA(5)]


@pytest.fixture
async def new(open_store: OpenStore) -> Store:
    return await open_store(upcasters=UPCASTERS)


async def test_every_reader_gets_present_types(new: Store, stream: str, category: str) -> None:
    assert [each.message async for each in new.read(stream)] == PRESENT
    assert [each.message async for each in new.read(stream, backward=True)] == PRESENT[::-1]
    assert [each.message async for each in new.read_category(category)] == PRESENT
    assert [each.message async for each in new.read_all(category=category)] == PRESENT
    async with new.follow(category=category, timeout=0.1) as follower:
        assert [each.message async for each in follower] == PRESENT
        assert follower.position >= [each async for each in new.read(stream)][-1].global_position
    ids = [each.message_id async for each in new.raw.read(stream)]
    found = await new.get_many(ids)
    assert [each.message for each in found.values()] == PRESENT
    assert (await new.get(ids[1])).message == EventA(1)
    with pytest.raises(MessageNotFoundError):
        await new.get(ids[0])
    assert new.skipped["Noise"] >= 4
    assert [each.version async for each in new.read(stream)] == [2, 4, 5, 6, 7]


async def test_most_messages_are_counted_without_the_skipped_ones(
    new: Store, stream: str, category: str
) -> None:
    for count in range(7):
        assert [each.message async for each in new.read(stream, max_count=count)] == PRESENT[:count]
        found = new.read_category(category, max_count=count)
        assert [each.message async for each in found] == PRESENT[:count]


async def test_correlated_messages_are_present_ones(
    open_store: OpenStore, new: Store, category: str
) -> None:
    old = await open_store(messages={"OldA": OldA, "Noise": Noise})
    messages = [Noise(), OldA("1"), Noise(), OldA("2")]
    await old.write_many(f"{category}-1", messages, metadata={"correlation_id": category})
    found = [each.message async for each in new.read_correlated(category)]
    assert found == [EventA(1), EventA(2)]
    found = [each.message async for each in new.read_correlated(category, max_count=1)]
    assert found == [EventA(1)]


async def test_last_is_the_last_that_is_not_skipped(
    new: Store, open_store: OpenStore, stream: str, category: str
) -> None:
    last = await new.last(stream)
    assert last is not None
    assert last.message == EventA(5)
    last = await new.last(stream, type="OldA")
    assert last is not None
    assert last.message == EventA(2)
    assert await new.last(stream, type="Noise") is None
    noisy = await open_store(messages=Noise)
    await noisy.write_many(f"{category}-2", [Noise()] * 250)
    assert await new.last(f"{category}-2") is None


async def test_states_are_made_of_present_messages(new: Store, stream: str) -> None:
    seen = new.decider(lambda state, message: (*state, message), tuple, cache=9)
    for _ in range(2):
        state, version = await seen.load(stream)
        assert (list(state), version) == (PRESENT, 9)  # two that are skipped come last
    await seen.decide(stream, lambda _: EventA(6))
    assert [each.message async for each in new.read(stream)] == [*PRESENT, EventA(6)]
    assert await new.stream_version(stream) == 10
    assert list((await seen.load(stream)).state) == [*PRESENT, EventA(6)]


async def test_raw_store_reads_what_is_stored(new: Store, stream: str) -> None:
    types = [each.message.type async for each in new.raw.read(stream)]
    assert types == [
        "Noise",
        "OldA",
        "Noise",
        "OldA",
        "Either",
        "Either",
        "EventA",
        "Noise",
        "Noise",
    ]


async def test_class_means_every_name_that_leads_to_it(
    new: Store, stream: str, category: str
) -> None:
    found = [each.message async for each in new.read_category(category, types=[EventB])]
    assert found == PRESENT[2:4]  # of both types that the name Either can become
    found = [each.message async for each in new.read_category(category, types=["OldA"])]
    assert found == PRESENT[:2]


@pytest.mark.parametrize("options", [{}, {"acknowledge": "message"}, {"batch_size": 1}])
@pytest.mark.parametrize("partitions", [1, 3])
async def test_subscription_handles_present_types_and_acknowledges_the_others(
    new: Store, stream: str, category: str, options: dict[str, Any], partitions: int
) -> None:
    subscription = new.subscription(category, category=category, partitions=partitions, **options)
    seen: list[Any] = []

    @subscription.handler
    async def on_a(message: EventA) -> None:
        seen.append(message)

    @subscription.handler
    async def on_b(message: StoredMessage[EventB], tx: psycopg.AsyncConnection[Any]) -> None:
        seen.append(message.message)

    assert await new.run_once(subscription) == 9
    assert seen == PRESENT
    last = [each.global_position async for each in new.raw.read(stream)][-1]
    assert await subscription.position() >= last
    assert await new.run_once(subscription) == 0


@pytest.mark.parametrize("batch_size", [2, 100])
async def test_batch_handler_gets_present_types(
    new: Store, stream: str, category: str, batch_size: int
) -> None:
    subscription = new.subscription(category, category=category, batch_size=batch_size)
    seen: list[Any] = []

    @subscription.batch_handler
    async def on_all(messages: list[StoredMessage[EventA | EventB]]) -> None:
        seen.extend(each.message for each in messages)

    await new.run_once(subscription)
    assert seen == PRESENT


async def test_only_skipped_messages_are_acknowledged_while_it_runs(
    new: Store, open_store: OpenStore, category: str
) -> None:
    noisy = await open_store(messages=Noise)
    written = await noisy.write_many(f"{category}-1", [Noise()] * 5)
    subscription = new.subscription(category, category=category, batch_size=2)

    @subscription.handler
    async def on_any(message: EventA | EventB) -> None: ...

    async with running(new, subscription):
        await subscription.wait_until(written.global_position, timeout=30)


async def test_failing_upcaster_is_a_failure_of_its_message_alone(
    open_store: OpenStore, new: Store, category: str
) -> None:
    old = await open_store(messages={"OldA": OldA, "Noise": Noise})
    await old.write_many(f"{category}-1", [OldA("1"), Noise(), OldA("x"), Noise(), OldA("3")])
    subscription = new.subscription(
        category, category=category, on_failure="park", max_attempts=2, retry_delay=0
    )
    seen: list[int] = []

    @subscription.handler
    async def on_a(message: EventA) -> None:
        seen.append(message.num)

    @subscription.handler
    async def on_b(message: EventB) -> None: ...

    for _ in range(4):
        await new.run_once(subscription, raise_errors=False)
    assert seen == [1, 3]
    (parked,) = await subscription.parked()
    assert "its upcaster renamed raised ValueError" in (parked.error or "")
    with pytest.raises(MessageDecodeError):
        [each async for each in new.read(f"{category}-1")]


async def test_refilter_makes_it_read_what_is_declared(
    open_store: OpenStore, new: Store, category: str
) -> None:
    """A type is renamed: the class has another name, and the stored one leads to it."""
    before = await open_store(messages={"OldA": EventA})
    old = before.subscription(category, category=category, types=[EventA])
    seen: list[int] = []

    @old.handler
    async def on_old(message: EventA) -> None:
        seen.append(message.num)

    await before.write(f"{category}-1", EventA(1))
    await before.run_once(old)

    present = await open_store(messages={"NewA": EventA, "OldA": EventA})
    subscription = present.subscription(category, category=category, types=[EventA])

    @subscription.handler
    async def on_a(message: EventA) -> None:
        seen.append(message.num)

    with pytest.raises(SubscriptionExistsError):
        await present.run_once(subscription)
    position = await subscription.position()
    assert await subscription.refilter() == position
    await present.write(f"{category}-1", EventA(2))
    await before.write(f"{category}-1", EventA(3))
    await present.run_once(subscription)
    assert seen == [1, 2, 3]
    with pytest.raises(InvalidArgumentError, match="was passed") as caught:
        await subscription.refilter(from_position=0)
    assert caught.value.argument == "from_position"
    with pytest.raises(SubscriptionNotFoundError):
        await present.subscription(f"{category}-none").refilter()


async def refiltered(
    store: Store, category: str
) -> tuple[AsyncSubscription[Any], AsyncSubscription[Any], list[int]]:
    """A subscription that reads a type more than a program knows, and such a message."""
    old = store.subscription(category, category=category, types=[EventA])
    seen: list[int] = []

    @old.handler
    async def on_a(message: EventA) -> None:
        seen.append(message.num)

    await store.write(f"{category}-1", EventA(1))
    await store.run_once(old)
    new = store.subscription(category, category=category, types=[EventA, EventB])
    await new.refilter()
    await store.write(f"{category}-1", EventB("two"))
    return old, new, seen


async def test_former_program_leaves_messages_that_it_does_not_declare(
    store: Store, category: str
) -> None:
    old, new, seen = await refiltered(store, category)
    with pytest.raises(SubscriptionExistsError):
        await store.run_once(old)
    (partition,) = await new.partitions()
    assert (partition.state, partition.attempts) == ("waiting", 0)

    @new.handler
    async def on_either(message: EventA | EventB) -> None:
        seen.append(2)

    assert await store.run_once(new) == 1
    assert seen == [1, 2]


async def test_former_program_does_not_make_a_dropped_subscription_again(
    store: Store, category: str
) -> None:
    old, new, seen = await refiltered(store, category)
    confirm = old.confirm

    async def drop_and_confirm() -> None:
        await new.drop()
        await confirm()

    confirms = mock.patch.object(old, "confirm", drop_and_confirm)
    with confirms, pytest.raises(SubscriptionNotFoundError):
        await store.run_once(old)
    assert seen == [1]


async def test_former_program_continues_with_its_other_subscriptions(
    store: Store, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    old, _, _ = await refiltered(store, category)
    other = store.subscription(f"{category}-other", category=category, ignore=[EventB])

    @other.handler
    async def on_a(message: EventA) -> None: ...

    async with running(store, old, other):
        written = await store.write(f"{category}-1", EventA(3))
        await other.wait_until(written.global_position, timeout=30)
        while not caplog.messages:
            await async_pause(0.01)
    assert caplog.messages == [f"subscription {category} reads something else now: run without it"]
    assert await old.position() < written.global_position


async def test_types_without_a_handler_are_told_once(
    store: Store, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def on_a(message: EventA) -> None: ...

    for _ in range(2):
        await store.run_once(subscription)
    (told,) = caplog.messages
    assert told.startswith(f"subscription {category} has no handler for EventB")


@pytest.mark.parametrize(
    "options",
    [{"ignore": [EventB]}, {"ignore": ["EventB"]}, {"types": [EventA]}, {"types": ["EventA"]}],
)
async def test_nothing_is_told_of_types_that_it_ignores_or_does_not_read(
    store: Store, category: str, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    subscription = store.subscription(category, category=category, **options)

    @subscription.batch_handler
    async def on_a(messages: list[StoredMessage[EventA]]) -> None: ...

    await store.run_once(subscription)
    assert caplog.messages == []


@pytest.mark.parametrize("wrong", [{"ignore": EventB}, {"ignore": "EventB"}, {"ignore": [int]}])
async def test_ignore_takes_types_in_a_list(store: Store, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        store.subscription("s", **wrong)


async def test_stored_messages_are_checked(
    open_store: OpenStore, new: Store, stream: str, category: str, schema: str
) -> None:
    alone = await open_store(messages={"OldA": OldA, "Noise": Noise}, store=schema)
    await alone.write_many("a-1", [OldA("x"), *map(OldA, "1234"), Noise()])
    present = await open_store(upcasters=UPCASTERS, store=schema)
    (found,) = await present.check_messages()
    assert (found.type, found.stream, found.version, found.line) == ("OldA", "a-1", 1, None)
    assert found.global_position == 1
    assert "ValueError" in found.error
    assert await present.check_messages(last=4) == []
    ignorant = await open_store(store=schema)
    assert {each.type for each in await ignorant.check_messages(last=1)} == {"OldA", "Noise"}


def sample(path: Path, *messages: dict[str, object]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in messages))
    return str(path)


async def test_messages_of_a_file_are_checked_without_a_server(tmp_path: Path) -> None:
    store = AsyncMessageStore[Any]("host=/nowhere", messages=EventA | EventB, upcasters=UPCASTERS)
    path = sample(
        tmp_path / "sample.jsonl",
        {"pgstore_export": {}},
        {"stream": "a", "floor": 3},
        {"type": "EventA", "data": {"num": 1}},
        {"type": "EventA", "data": {"num": "1"}, "stream": "a", "version": 7},
        {"type": "OldA", "data": {"number": "1"}, "message_id": "…"},
        {"type": "Noise", "data": {}},
        {"type": "Unknown", "data": 1, "global_position": 3},
        {"end": {}},
    )
    first, second = await store.check_messages(path)
    assert (first.type, first.line, first.stream, first.version) == ("EventA", 4, "a", 7)
    assert second == UnreadableMessage("Unknown", second.error, global_position=3, line=7)
    assert "unknown message type" in second.error


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n",
        b"x\n",
        b'{"type": 1, "data": {}}\n',
        b"[1]\n",
        b'{"type": "A", "data": "\xff"}',
    ],
)
async def test_file_that_holds_no_messages_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sample.jsonl"
    path.write_bytes(content)
    store = AsyncMessageStore[Any]("host=/nowhere", messages=EventA)
    with pytest.raises(InvalidArgumentError, match="message"):
        await store.check_messages(path)
