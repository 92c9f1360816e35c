"""write and write_many: places, expected versions, ids, metadata, and what is refused."""

from collections import ChainMap, UserDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pytest

from pgstore import (
    AsyncMessageStore,
    InvalidArgumentError,
    MessageIdInUseError,
    MessagePosition,
    OptimisticConcurrencyError,
)
from tests.client._async.conftest import OpenStore
from tests.client.messages import EventA, EventB, Signed

Store = AsyncMessageStore[Any]


@pytest.fixture(params=[False, True], ids=["single", "grouped"])
async def store(request: pytest.FixtureRequest, open_store: OpenStore) -> Store:
    return await open_store(group_writes=request.param)


async def numbers(store: Store, stream: str) -> list[int]:
    return [stored.message.num async for stored in store.read(stream)]


async def test_write_counts_versions_from_1(store: Store, stream: str) -> None:
    positions = [await store.write(stream, EventA(number)) for number in range(3)]
    assert [position.version for position in positions] == [1, 2, 3]
    assert {position.stream for position in positions} == {stream}
    order = [position.global_position for position in positions]
    assert order == sorted(set(order))


@pytest.mark.parametrize("wrong", [0, 1, 3, 2**63 - 1])
async def test_write_refuses_another_expected_version(
    store: Store, stream: str, wrong: int
) -> None:
    await store.write_many(stream, [EventA(1), EventA(2)], expected_version=0)
    with pytest.raises(OptimisticConcurrencyError) as caught:
        await store.write(stream, EventA(3), expected_version=wrong)
    error = caught.value
    assert (error.stream, error.expected_version, error.actual_version) == (stream, wrong, 2)
    with pytest.raises(OptimisticConcurrencyError) as caught:
        await store.write_many(stream, [EventA(3), EventA(4)], expected_version=wrong)
    assert (caught.value.expected_version, caught.value.actual_version) == (wrong, 2)
    assert await numbers(store, stream) == [1, 2]
    assert (await store.write_many(stream, [EventA(3)], expected_version=2)).version == 3


async def test_write_many_answers_the_last_place(store: Store, stream: str) -> None:
    await store.write(stream, EventA(0))
    position = await store.write_many(stream, (EventA(number) for number in range(1, 10)))
    stored = [message async for message in store.read(stream)]
    assert [message.message.num for message in stored] == list(range(10))
    assert [message.version for message in stored] == list(range(1, 11))
    assert position == MessagePosition(stream, 10, stored[-1].global_position)
    order = [message.global_position for message in stored]
    assert order == sorted(set(order))


async def test_stored_message_tells_its_time_in_utc(store: Store, stream: str) -> None:
    await store.write_many(stream, [EventA(1), EventB("x")])
    for stored in [message async for message in store.read(stream)]:
        assert stored.added_at.tzinfo is UTC
        assert abs(datetime.now(UTC) - stored.added_at) < timedelta(minutes=5)


async def test_write_repeated_gives_the_first_answer(open_store: OpenStore, stream: str) -> None:
    store = await open_store(Signed)
    message, later = Signed(text="a"), Signed(text="b")
    first = await store.write(stream, message, expected_version=0)
    assert await store.write(stream, message, expected_version=0) == first
    await store.write(stream, later)
    assert await store.write(stream, message, expected_version=0) == first
    assert await store.write(stream, message) == first
    assert await store.stream_version(stream) == 2


async def test_write_many_repeated_gives_the_first_answer(
    open_store: OpenStore, stream: str
) -> None:
    store = await open_store(Signed)
    batch = [Signed(text=str(number)) for number in range(3)]
    await store.write(stream, Signed(text="before"))
    first = await store.write_many(stream, batch, expected_version=1)
    await store.write(stream, Signed(text="after"))
    assert await store.write_many(stream, batch, expected_version=1) == first
    assert await store.write_many(stream, batch) == first
    assert await store.stream_version(stream) == 5
    for other in ([*batch[:2], Signed(text="new")], batch[::-1], [*batch, Signed(text="new")]):
        with pytest.raises(MessageIdInUseError):
            await store.write_many(stream, other, expected_version=1)
    assert await store.stream_version(stream) == 5


async def test_write_refuses_an_id_of_another_message(open_store: OpenStore, stream: str) -> None:
    store = await open_store(Signed)
    message = Signed(text="a")
    place = await store.write(stream, message)
    other = f"{stream}-other"
    with pytest.raises(MessageIdInUseError) as caught:
        await store.write(other, message)
    error = caught.value
    assert (error.message_id, error.stream, error.version) == (message.event_id, stream, 1)
    assert error.detail["global_position"] == place.global_position
    with pytest.raises(MessageIdInUseError):
        await store.write(stream, Signed(text="changed", event_id=message.event_id))
    with pytest.raises(MessageIdInUseError):
        await store.write(stream, message, metadata={"changed": True})
    with pytest.raises(MessageIdInUseError):
        await store.write_many(other, [Signed(text="new"), message])
    assert await store.stream_version(stream) == 1
    assert await store.stream_version(other) == 0


async def test_write_many_refuses_an_id_twice(open_store: OpenStore, stream: str) -> None:
    store = await open_store(Signed)
    message = Signed(text="a")
    with pytest.raises(InvalidArgumentError) as caught:
        await store.write_many(stream, [message, Signed(text="b"), message])
    assert caught.value.argument == "message_ids"
    assert caught.value.detail["message_id"] == str(message.event_id)
    assert await store.stream_version(stream) == 0


async def test_metadata_is_given_and_read(store: Store, stream: str) -> None:
    given: dict[str, object] = {"by": "Ada", "nested": {"ä": [1, 2.5, None, True, "line\nbreak"]}}
    await store.write(stream, EventA(1), metadata=given)
    await store.write(stream, EventA(2))
    await store.write(stream, EventA(3), metadata={})
    await store.write_many(stream, [EventA(4), EventA(5)], metadata=given)
    await store.write_many(stream, [EventA(6), EventA(7), EventA(8)], metadata=[None, given, {}])
    await store.write_many(stream, [EventA(9), EventA(10)], metadata=None)
    await store.write_many(stream, [EventA(11), EventA(12)], metadata=(None, None))
    read = [stored.metadata async for stored in store.read(stream)]
    assert read == [given, None, {}, given, given, None, given, {}, None, None, None, None]
    last = await store.last(stream)
    assert last is not None
    assert "metadata" not in repr(last)


@pytest.mark.parametrize(
    "given",
    [
        MappingProxyType({"by": MappingProxyType({"name": "Ada"})}),
        ChainMap[str, object]({"by": {"name": "Ada"}}, {"by": 1}),
        UserDict(by=UserDict(name="Ada")),
    ],
    ids=lambda given: type(given).__name__,
)
async def test_metadata_can_be_any_mapping(
    store: Store, stream: str, given: Mapping[str, object]
) -> None:
    await store.write(stream, EventA(1), metadata=given)
    await store.write_many(stream, [EventA(2)], metadata=given)
    await store.write_many(stream, [EventA(3), EventA(4)], metadata=[given, None])
    read = [stored.metadata async for stored in store.read(stream)]
    assert read == [{"by": {"name": "Ada"}}] * 3 + [None]


@pytest.mark.parametrize(
    "value",
    [object(), "\ud800", 1 << 20_000, float("nan"), [{1, object()}]],
    ids=["object", "surrogate", "number", "nan", "set"],
)
async def test_metadata_that_has_no_json_is_refused(
    store: Store, stream: str, value: object
) -> None:
    for metadata in ({"by": value}, MappingProxyType({"by": value})):
        with pytest.raises(InvalidArgumentError, match="metadata"):
            await store.write(stream, EventA(1), metadata=metadata)
    assert await store.stream_version(stream) == 0


@pytest.mark.parametrize("wrong", [[1], "text", 1, [], [{}]])
async def test_write_refuses_metadata_that_is_not_an_object(
    store: Store, stream: str, wrong: Any
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await store.write(stream, EventA(1), metadata=wrong)
    assert caught.value.argument == "metadata"
    assert await store.stream_version(stream) == 0


@pytest.mark.parametrize(
    "wrong", [[], [{}], [{}, {}, {}], (None,), [{}, 1], [{}, [1]], "ab", "abc"]
)
async def test_write_many_refuses_metadata_that_does_not_fit(
    store: Store, stream: str, wrong: Any
) -> None:
    with pytest.raises(InvalidArgumentError, match="metadata"):
        await store.write_many(stream, [EventA(1), EventA(2)], metadata=wrong)
    assert await store.stream_version(stream) == 0


@pytest.mark.parametrize("wrong", ["", "x" * 1001, "ä" * 501, "a\0b", None, "\ud800"])
async def test_write_refuses_a_wrong_stream(store: Store, wrong: Any) -> None:
    for message in (EventA(1), EventB("x")):
        with pytest.raises(InvalidArgumentError):
            await store.write(wrong, message)
        with pytest.raises(InvalidArgumentError):
            await store.write_many(wrong, [message])


@pytest.mark.parametrize("wrong", [-1, 2**63, -(2**63) - 1, "one", 1.5, True])
async def test_write_refuses_a_wrong_expected_version(
    store: Store, stream: str, wrong: Any
) -> None:
    with pytest.raises(InvalidArgumentError):
        await store.write(stream, EventA(1), expected_version=wrong)
    with pytest.raises(InvalidArgumentError):
        await store.write_many(stream, [EventA(1)], expected_version=wrong)
    assert await store.stream_version(stream) == 0


async def test_write_many_refuses_an_empty_batch(store: Store, stream: str) -> None:
    wrong: list[Any] = [None, {}, []]
    for metadata in wrong:
        with pytest.raises(InvalidArgumentError) as caught:
            await store.write_many(stream, [], metadata=metadata)
        assert caught.value.argument == "messages"


async def test_nul_is_refused_and_nothing_stored(store: Store, stream: str) -> None:
    with pytest.raises(InvalidArgumentError, match="NUL"):
        await store.write(stream, EventB("a\0b"))
    with pytest.raises(InvalidArgumentError, match="NUL"):
        await store.write_many(stream, [EventA(1), EventB("a\0b")])
    with pytest.raises(InvalidArgumentError, match="NUL"):
        await store.write(stream, EventA(1), metadata={"a\0b": 1})
    with pytest.raises(InvalidArgumentError, match="NUL"):
        await anext(store.read("a\0b"))
    assert await store.stream_version(stream) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "a\nb\r\n\t\\n",
        '"',
        "'",
        "%s %% {}",
        "\\",
        "żółw 🐢 \u2028 \u200f",
        "\x01\x7f\ufffe",
    ],
)
async def test_any_text_comes_back_equal(store: Store, text: str) -> None:
    stream = f"text-{uuid4()}-{text}"
    await store.write(stream, EventB(text), metadata={"text": text, text: 1})
    await store.write_many(stream, [EventB(text), EventB("x")], metadata={"text": text})
    stored = [message async for message in store.read(stream)]
    assert [message.message.text for message in stored] == [text, text, "x"]
    assert [message.stream for message in stored] == [stream] * 3
    assert [message.metadata and message.metadata["text"] for message in stored] == [text] * 3


async def test_names_and_numbers_at_their_limits_come_back_equal(store: Store, stream: str) -> None:
    longest = stream + "x" * (1000 - len(stream))
    for num in (2**63 - 1, -(2**63), 0):
        await store.write(longest, EventA(num))
    assert await numbers(store, longest) == [2**63 - 1, -(2**63), 0]


async def test_a_payload_of_5_megabytes_comes_back_equal(store: Store, stream: str) -> None:
    text = "ä\n" * 2_500_000
    await store.write(stream, EventB(text))
    await store.write_many(stream, [EventB(text), EventB("x")])
    sizes = [len(message.message.text) async for message in store.read(stream)]
    assert sizes == [5_000_000, 5_000_000, 1]
    assert (await anext(store.read(stream))).message.text == text


async def test_write_many_takes_10_000_messages(open_store: OpenStore, stream: str) -> None:
    store = await open_store(Signed)
    batch = [Signed(text=f"number {number}") for number in range(10_000)]
    first = await store.write_many(stream, batch, expected_version=0, metadata={"batch": 1})
    assert first.version == 10_000
    assert await store.write_many(stream, batch, expected_version=0, metadata={"batch": 1}) == first
    assert [stored.message async for stored in store.read(stream)] == batch


async def test_metadata_of_one_message_may_be_none(store: Store, stream: str) -> None:
    await store.write_many(stream, [EventA(1)], metadata=[None])
    assert [stored.metadata async for stored in store.read(stream)] == [None]
