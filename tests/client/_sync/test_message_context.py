# Generated from tests/client/_async/test_message_context.py by `python tools/unasync.py`.

"""What goes into the metadata of writes from the context around them, and from handlers."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg
import pytest

from pgstore import MessageStore, RawMessage, StoredMessage, message_context
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client.messages import EventA, EventB, Signed
from tests.client.parallel import Parallel

Store = MessageStore[Any]
Transaction = psycopg.Connection[Any]
Found = list[Mapping[str, object] | None]


def metadata(store: Store, stream: str) -> Found:
    return [stored.metadata for stored in store.raw.read(stream)]


def messages(store: Store, stream: str) -> list[StoredMessage[Any]]:
    return list(store.read(stream))


def test_every_write_takes_the_values_around_it(
    open_store: OpenStore, open_connection: OpenConnection, stream: str
) -> None:
    store = open_store(EventA | Signed)
    grouping = open_store(EventA, group_writes=True)
    conn = open_connection()
    with message_context(user="ada", tenant="a"):
        store.write(stream, EventA(1))
        store.write(stream, EventA(2), metadata={"user": "bob"})
        store.write(stream, EventA(3), conn=conn)
        store.raw.write(stream, RawMessage("EventA", b'{"num": 4}'))
        grouping.write(stream, EventA(5))
        store.write_many(stream, [EventA(6), EventA(7)])
        store.write_many(stream, [EventA(8)], metadata={"tenant": None}, conn=conn)
        store.write_many(stream, [EventA(9), EventA(10)], metadata=[{"user": "bob"}, None])
        store.synchronize(f"{stream}-s", [Signed(text="x")], expected_version=0)
    store.write(stream, EventA(11))
    ada, bob = {"user": "ada", "tenant": "a"}, {"user": "bob", "tenant": "a"}
    none = {"user": "ada", "tenant": None}
    assert metadata(store, stream) == [ada, bob, *[ada] * 5, none, bob, ada, None]
    assert metadata(store, f"{stream}-s") == [ada]


def test_grouped_writes_have_the_context_of_their_own_callers(
    open_store: OpenStore, stream: str
) -> None:
    store = open_store(EventA, group_writes=True)

    def write(number: int) -> None:
        with message_context(number=number):
            store.write(f"{stream}-{number}", EventA(number))

    with Parallel() as parallel:
        parallel.start(*[lambda number=number: write(number) for number in range(8)])
        assert parallel.results() == [None] * 8
    for number in range(8):
        assert metadata(store, f"{stream}-{number}") == [{"number": number}]


@pytest.mark.parametrize("given", ["text", 7, ["a"], [1, None]])
def test_metadata_that_is_none_is_refused_in_a_context_as_outside(
    store: Store, stream: str, given: Any
) -> None:
    with pytest.raises(Exception) as outside:  # noqa: PT011 - compared below
        store.write_many(stream, [EventA(1)], metadata=given)
    with message_context(user="ada"), pytest.raises(type(outside.value)) as inside:
        store.write_many(stream, [EventA(1)], metadata=given)
    assert str(inside.value) == str(outside.value)


def test_handlers_write_what_points_at_their_message(store: Store, category: str) -> None:
    store.write(f"{category}-1", EventA(1), metadata={"correlation_id": "c", "user": "ada"})
    store.write(f"{category}-2", EventA(2))
    subscription = store.subscription(category, category=category)

    @subscription.handler
    def copy(message: EventA) -> None:
        store.write(f"copy{category}-{message.num}", EventB("x"), metadata={"kind": "copy"})

    assert store.run_once(subscription) == 2
    for number, correlation_id in ((1, "c"), (2, None)):
        (cause,) = messages(store, f"{category}-{number}")
        (effect,) = messages(store, f"copy{category}-{number}")
        assert effect.causation_id == str(cause.message_id)
        assert effect.correlation_id == (correlation_id or str(cause.message_id))
        assert effect.metadata is not None
        assert effect.metadata.keys() == {"correlation_id", "causation_id", "kind"}
    store.write(f"{category}-3", EventB("after"))
    assert metadata(store, f"{category}-3") == [None]


def test_a_chain_of_handlers_keeps_the_correlation_of_its_beginning(
    store: Store, category: str
) -> None:
    subscription = store.subscription(category, category=category)

    @subscription.handler
    def next_one(message: EventA, tx: Transaction) -> None:
        if message.num < 3:
            store.write(f"{category}-1", EventA(message.num + 1), conn=tx)

    with message_context(user="ada"):
        store.write(f"{category}-1", EventA(1))
    while store.run_once(subscription):
        pass
    first, second, third = messages(store, f"{category}-1")
    assert (first.correlation_id, first.causation_id) == (None, None)
    assert second.correlation_id == third.correlation_id == str(first.message_id)
    assert second.causation_id == str(first.message_id)
    assert third.causation_id == str(second.message_id)


def test_batch_handlers_have_the_ids_that_are_true_of_all_messages(
    store: Store, category: str
) -> None:
    shared, other = {"correlation_id": "c"}, {"correlation_id": "d"}
    subscription = store.subscription(category, category=category)
    written = 0

    @subscription.batch_handler
    def note(batch: list[StoredMessage[EventA]], tx: Transaction) -> None:
        nonlocal written
        written += 1
        stream = f"copy{category}-{written}"
        causes = list(batch)
        batch.clear()  # what a handler does to its list changes nothing
        store.write(stream, EventA(1), conn=tx)
        with message_context(causes[-1]):
            store.write(stream, EventA(2), conn=tx)

    found: list[Found] = []
    ids: list[UUID] = []
    for given in ([shared], [shared, shared], [shared, other], [None, shared]):
        for each in given:
            store.write(f"{category}-1", EventA(0), metadata=each)
        last = store.last(f"{category}-1")
        assert last is not None
        ids.append(last.message_id)
        store.run_once(subscription)
        found.append(metadata(store, f"copy{category}-{written}"))
    alone, alike, unlike, none = found
    one, two, three, four = [
        {"correlation_id": correlation_id, "causation_id": str(message_id)}
        for correlation_id, message_id in zip("ccdc", ids, strict=True)
    ]
    assert alone == [one, one]
    assert alike == [{"correlation_id": "c"}, two]
    assert unlike == [None, three]
    assert none == [None, four]


def test_workers_have_the_context_around_run_under_that_of_the_message(
    store: Store, category: str
) -> None:
    store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = store.subscription(category, category=category)
    seen: list[str] = []

    @subscription.middleware
    def around(message: EventA, tx: Any, call: Any) -> None:
        store.write(f"copy{category}", EventB("before"))
        with message_context(user="ada", correlation_id="c"):
            call()

    @subscription.handler
    def copy(message: EventA) -> None:
        store.write(f"copy{category}", EventB("in"))
        seen.append("one")

    def work() -> None:
        with message_context(worker="w", correlation_id="around"):
            store.run(subscription)

    with Parallel() as parallel:
        parallel.start(work)
        try:
            parallel.until(lambda: len(seen) == 2)
        finally:
            store.stop()
        assert parallel.results() == [None]
    first, second = [str(each.message_id) for each in messages(store, f"{category}-1")]
    assert metadata(store, f"copy{category}") == [
        {"worker": "w", "correlation_id": first, "causation_id": first},
        {"worker": "w", "correlation_id": "c", "causation_id": first, "user": "ada"},
        {"worker": "w", "correlation_id": second, "causation_id": second},
        {"worker": "w", "correlation_id": "c", "causation_id": second, "user": "ada"},
    ]


def test_a_handler_that_fails_leaves_no_context(store: Store, category: str) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)

    @subscription.handler
    def fail(message: EventA) -> None:
        with message_context(user="ada"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.run_once(subscription)
    store.write(f"{category}-1", EventA(2))
    assert metadata(store, f"{category}-1") == [None, None]


def test_a_write_that_is_repeated_in_another_context_is_a_retry(
    open_store: OpenStore, stream: str
) -> None:
    store = open_store(Signed)
    message = Signed(text="x")
    answers = set()
    for attempt in "12":
        with message_context(correlation_id=f"request-{attempt}"):
            answers.add(store.write(stream, message))
    assert len(answers) == 1
    assert metadata(store, stream) == [{"correlation_id": "request-1"}]


def test_a_batch_that_is_handled_again_one_by_one_repeats_its_writes(
    open_store: OpenStore, category: str
) -> None:
    store = open_store(EventA | Signed)
    subscription = store.subscription(category, category=category, retry_delay=0)
    copies: dict[UUID, Signed] = {}
    broken = [ZeroDivisionError()]

    @subscription.batch_handler
    def copy(batch: list[StoredMessage[EventA | Signed]]) -> None:
        for stored in batch:
            message = copies.setdefault(stored.message_id, Signed(text="x"))
            store.write(f"copy{category}-{stored.version}", message)
        if broken:
            raise broken.pop()

    store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    assert store.run_once(subscription) == 2
    assert len(messages(store, f"copy{category}-1")) == 1
