"""synchronize: a stream is brought up to date with all the messages of an aggregate."""

from typing import Any

import pytest

from pgstore import (
    AsyncMessageStore,
    InvalidArgumentError,
    MessageIdInUseError,
    MessageIdMismatchError,
    MessagePosition,
    OptimisticConcurrencyError,
)
from tests.client._async.conftest import OpenStore
from tests.client.messages import AccountOpened, EventA, Signed

Store = AsyncMessageStore[Any]


@pytest.fixture
async def signed(open_store: OpenStore) -> Store:
    return await open_store(Signed | AccountOpened | EventA)


def some(count: int) -> list[Signed]:
    return [Signed(text=str(number)) for number in range(count)]


async def stored(store: Store, stream: str) -> list[Any]:
    return [message.message async for message in store.read(stream)]


async def test_synchronize_writes_what_is_new(signed: Store, stream: str) -> None:
    messages = some(5)
    first = await signed.synchronize(stream, messages[:2], expected_version=0)
    assert first.version == 2
    second = await signed.synchronize(stream, messages, expected_version=2, metadata={"by": "me"})
    last = await signed.last(stream)
    assert last is not None
    assert second == MessagePosition(stream, 5, last.global_position)
    assert await stored(signed, stream) == messages
    assert last.metadata == {"by": "me"}
    assert (await anext(signed.read(stream))).metadata is None


async def test_synchronize_takes_pydantic_models(signed: Store, stream: str) -> None:
    messages = [AccountOpened(owner=str(number)) for number in range(3)]
    await signed.synchronize(stream, messages[:1], expected_version=0)
    await signed.synchronize(stream, messages, expected_version=1)
    assert await stored(signed, stream) == messages


async def test_synchronize_can_be_repeated(signed: Store, stream: str) -> None:
    messages = some(4)
    await signed.synchronize(stream, messages[:1], expected_version=0)
    first = await signed.synchronize(stream, messages[:3], expected_version=1)
    assert await signed.synchronize(stream, messages[:3], expected_version=1) == first
    assert await signed.synchronize(stream, messages[:3], expected_version=3) == first
    await signed.synchronize(stream, messages, expected_version=3)
    assert await signed.synchronize(stream, messages[:3], expected_version=1) == first
    assert await stored(signed, stream) == messages


async def test_synchronize_checks_the_version_with_nothing_to_write(
    signed: Store, stream: str
) -> None:
    messages = some(3)
    await signed.synchronize(stream, messages[:2], expected_version=0)
    with pytest.raises(OptimisticConcurrencyError) as caught:
        await signed.synchronize(stream, messages, expected_version=3)
    error = caught.value
    assert (error.stream, error.expected_version, error.actual_version) == (stream, 3, 2)
    with pytest.raises(OptimisticConcurrencyError):
        await signed.synchronize(f"{stream}-empty", messages, expected_version=3)


async def test_synchronize_refuses_a_list_shorter_than_the_stream(
    signed: Store, stream: str
) -> None:
    messages = some(3)
    await signed.synchronize(stream, messages, expected_version=0)
    with pytest.raises(OptimisticConcurrencyError) as caught:
        await signed.synchronize(stream, messages[:2], expected_version=2)
    assert (caught.value.expected_version, caught.value.actual_version) == (2, 3)


async def test_synchronize_of_an_empty_list(signed: Store, stream: str) -> None:
    assert await signed.synchronize(stream, [], expected_version=0) == MessagePosition(stream, 0, 0)
    await signed.write(stream, Signed(text="a"))
    with pytest.raises(OptimisticConcurrencyError) as caught:
        await signed.synchronize(stream, [], expected_version=0)
    assert (caught.value.expected_version, caught.value.actual_version) == (0, 1)


@pytest.mark.parametrize("wrong", [-1, 3, 4])
async def test_synchronize_refuses_an_expected_version_outside_the_list(
    signed: Store, stream: str, wrong: int
) -> None:
    with pytest.raises(InvalidArgumentError):
        await signed.synchronize(stream, some(2), expected_version=wrong)
    assert await stored(signed, stream) == []


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_synchronize_refuses_other_ids(signed: Store, stream: str, place: int) -> None:
    messages = some(4)
    await signed.synchronize(stream, messages[:3], expected_version=0)
    other = [*messages[:place], Signed(text="other"), *messages[place + 1 :]]
    for length in (3, 4):
        with pytest.raises(MessageIdMismatchError) as caught:
            await signed.synchronize(stream, other[:length], expected_version=3)
        error = caught.value
        assert (error.stream, error.version) == (stream, place + 1)
        assert error.message_id == other[place].event_id
        assert error.stored_message_id == messages[place].event_id
    assert await stored(signed, stream) == messages[:3]


async def test_synchronize_refuses_what_others_have_written(signed: Store, stream: str) -> None:
    messages = some(3)
    await signed.synchronize(stream, messages[:1], expected_version=0)
    await signed.write(stream, Signed(text="theirs"))
    with pytest.raises(OptimisticConcurrencyError) as caught:
        await signed.synchronize(stream, messages, expected_version=1)
    assert (caught.value.expected_version, caught.value.actual_version) == (1, 2)


async def test_synchronize_with_a_version_behind_its_own_messages(
    signed: Store, stream: str
) -> None:
    messages = some(3)
    await signed.synchronize(stream, messages[:2], expected_version=0)
    with pytest.raises(OptimisticConcurrencyError):
        await signed.synchronize(stream, messages, expected_version=1)
    assert await stored(signed, stream) == messages[:2]


async def test_synchronize_needs_messages_with_ids(signed: Store, stream: str) -> None:
    with pytest.raises(InvalidArgumentError, match="EventA"):
        await signed.synchronize(stream, [Signed(text="a"), EventA(1)], expected_version=0)
    assert await stored(signed, stream) == []


async def test_synchronize_refuses_an_id_twice(signed: Store, stream: str) -> None:
    message = Signed(text="a")
    with pytest.raises(InvalidArgumentError):
        await signed.synchronize(stream, [message, message], expected_version=0)
    await signed.synchronize(stream, [message], expected_version=0)
    with pytest.raises(MessageIdInUseError):
        await signed.synchronize(stream, [message, message], expected_version=1)
    assert await stored(signed, stream) == [message]
