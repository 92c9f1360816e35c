"""What callers pass by mistake is told by its name."""

from collections.abc import Callable
from typing import Any

import pytest

import pgstore
from pgstore import AsyncMessageStore, InvalidArgumentError
from tests.client._async.conftest import OpenStore
from tests.client.messages import EventA, EventB, Signed

Store = AsyncMessageStore[Any]


async def listed(messages: Any) -> list[Any]:
    return [stored async for stored in messages]


CALLS: list[tuple[str, Callable[[Any], Any]]] = [
    ("expected_version", lambda store: store.write("a-1", EventA(1), expected_version="1")),
    ("expected_version", lambda store: store.write("a-1", EventA(1), expected_version=True)),
    ("expected_version", lambda store: store.write("a-1", EventA(1), expected_version=1.0)),
    ("expected_version", lambda store: store.write_many("a-1", [EventA(1)], expected_version="1")),
    ("expected_version", lambda store: store.synchronize("a-1", [], expected_version=None)),
    ("expected_version", lambda store: store.synchronize("a-1", [], expected_version=False)),
    ("stream", lambda store: store.write(7, EventA(1))),
    ("stream", lambda store: store.write(None, EventA(1))),
    ("stream", lambda store: store.write_many(b"a-1", [EventA(1)])),
    ("stream", lambda store: store.synchronize(7, [Signed(text="x")], expected_version=0)),
    ("stream", lambda store: listed(store.read(7))),
    ("stream", lambda store: store.last(None)),
    ("stream", lambda store: store.stream_version(["a-1"])),
    ("type", lambda store: store.last("a-1", type=EventA)),
    ("messages", lambda store: store.write_many("a-1", EventA(1))),
    ("messages", lambda store: store.write_many("a-1", "text")),
    ("message_ids", lambda store: store.get_many(7)),
    ("max_count", lambda store: listed(store.read("a-1", max_count="5"))),
    ("max_count", lambda store: listed(store.read("a-1", max_count=-1))),
    ("max_count", lambda store: listed(store.read_all(max_count=2.5))),
    ("from_version", lambda store: listed(store.read("a-1", from_version="2"))),
    ("to_version", lambda store: listed(store.read("a-1", to_version="2"))),
    ("after_position", lambda store: listed(store.read_all(after_position="2"))),
    ("after_position", lambda store: listed(store.follow(after_position="2"))),
    ("partition", lambda store: listed(store.read_all(partition="0", partitions=2))),
    ("partitions", lambda store: listed(store.read_all(partition=0, partitions="2"))),
    ("partition", lambda store: listed(store.read_all(partition=0))),
    ("types", lambda store: listed(store.read_all(types=EventA))),
    ("names", lambda store: listed(store.raw.read_all(types=[EventA]))),
    ("names", lambda store: listed(store.raw.follow(types=[EventA], timeout=0))),
    ("name", lambda store: store.subscription(7).create()),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
async def test_an_argument_of_a_wrong_type_is_told_by_its_name(
    open_store: OpenStore, call: tuple[str, Callable[[Any], Any]]
) -> None:
    store = await open_store(EventA | EventB | Signed)
    with pytest.raises(InvalidArgumentError, match=rf"\b{call[0]}\b"):
        await call[1](store)


async def test_a_read_refuses_an_argument_before_its_first_message_is_asked_for(
    store: Store,
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.read("a-1", max_count=-1),
        lambda: store.read_all(max_count=-1),
        lambda: store.read_correlated("c", max_count=-1),
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError):
            call()


class Version(int):
    """As an enumeration's member, or a number of numpy's."""


class Name(str):
    __slots__ = ()


async def test_what_is_a_number_or_a_text_by_its_base_is_taken(store: Store, stream: str) -> None:
    written = await store.write(Name(stream), EventA(1), expected_version=Version(0))
    assert written.version == 1
    assert len([stored async for stored in store.read(Name(stream), max_count=Version(1))]) == 1


async def test_repr_tells_name_and_types_and_no_secret() -> None:
    secret = "postgresql://ada:xyzzy@localhost/demo"
    store = AsyncMessageStore[EventA | EventB](secret, messages=EventB | EventA, store="bank")
    kind = type(store).__name__
    assert repr(store) == f"{kind}(store='bank', messages=[EventA, EventB])"
    assert repr(store.raw) == f"{kind}(store='bank', messages=[RawMessage])"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [1.0, float("-inf")], {"deep": (1, float("nan"))}]
)
async def test_metadata_without_a_number_is_refused(
    store: Store, stream: str, value: object
) -> None:
    metadata = {"null": None, "value": value}
    batch: Any
    for batch in (metadata, [None, metadata]):
        with pytest.raises(InvalidArgumentError, match="NaN"):
            await store.write_many(stream, [EventA(1), EventA(2)], metadata=batch)
    with pytest.raises(InvalidArgumentError, match="NaN"):
        await store.write(stream, EventA(1), metadata=metadata)
    fine = {"null": None, "text": "null", "value": [1.5, None, {"NaN": "NaN"}]}
    await store.write(stream, EventA(1), metadata=fine)
    stored = await store.last(stream)
    assert stored is not None
    assert stored.metadata == fine
    with pytest.raises(pgstore.PgstoreError):
        await store.write(stream, EventA(1), metadata={"text": "\ud800"})


class Two:
    """What answers for a number, and neither compares nor prints as one."""

    def __index__(self) -> int:
        return 2

    def __repr__(self) -> str:
        raise AssertionError("no text")

    __lt__ = __le__ = __gt__ = __ge__ = __add__ = __sub__ = __format__ = __repr__  # type: ignore[assignment]


class Seconds(float):
    """A number of seconds that has no text."""

    def __repr__(self) -> str:
        raise AssertionError("no text")

    __str__ = __format__ = __repr__  # type: ignore[assignment]


async def test_what_answers_for_a_number_is_taken_as_that_number(
    open_store: OpenStore, stream: str
) -> None:
    store: Any = await open_store(EventA | EventB | Signed)
    two = Two()
    messages: list[Any] = [Signed(text=text) for text in "abc"]
    written = await store.synchronize(stream, messages[:2], expected_version=0)
    await store.synchronize(stream, messages, expected_version=two)
    assert [each.version for each in await listed(store.read(stream, max_count=two))] == [1, 2]
    assert [each.version for each in await listed(store.read(stream, from_version=two))] == [2, 3]
    assert len(await listed(store.read_all(max_count=two, stream_pattern=stream))) == 2
    following = store.follow(after_position=two, stream_pattern=stream, timeout=Seconds(0))
    assert stream in [each.stream for each in await listed(following)]
    subscription = store.subscription(
        stream,
        stream_pattern=stream,
        partitions=two,
        batch_size=two,
        max_attempts=two,
        retry_delay=Seconds(1),
    )

    @subscription.handler  # type: ignore[untyped-decorator]
    async def handle(message: EventA) -> None: ...

    await subscription.repartition(two)
    with pytest.raises(TimeoutError, match="position 2 in 0 s"):
        await subscription.wait_until(two, timeout=Seconds(0))
    assert written.global_position >= 2
    await store.run_once(subscription, lease=Seconds(5), raise_errors=False)


async def test_a_number_that_is_refused_needs_no_text(open_store: OpenStore) -> None:
    store: Any = await open_store(Signed)
    with pytest.raises(InvalidArgumentError, match="not 2"):
        await store.synchronize("a-1", [], expected_version=Two())
