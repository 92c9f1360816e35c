# Generated from tests/client/_async/test_synchronize.py by `python tools/unasync.py`.

"""synchronize: a stream is brought up to date with all the messages of an aggregate."""

from typing import Any

import pytest

from pgstore import (
    InvalidArgumentError,
    MessageIdInUseError,
    MessageIdMismatchError,
    MessagePosition,
    MessageStore,
    OptimisticConcurrencyError,
)
from tests.client._sync.conftest import OpenStore
from tests.client.messages import AccountOpened, EventA, Signed

Store = MessageStore[Any]


@pytest.fixture
def signed(open_store: OpenStore) -> Store:
    return open_store(Signed | AccountOpened | EventA)


def some(count: int) -> list[Signed]:
    return [Signed(text=str(number)) for number in range(count)]


def stored(store: Store, stream: str) -> list[Any]:
    return [message.message for message in store.read(stream)]


def test_synchronize_writes_what_is_new(signed: Store, stream: str) -> None:
    messages = some(5)
    first = signed.synchronize(stream, messages[:2], expected_version=0)
    assert first.version == 2
    second = signed.synchronize(stream, messages, expected_version=2, metadata={"by": "me"})
    last = signed.last(stream)
    assert last is not None
    assert second == MessagePosition(stream, 5, last.global_position)
    assert stored(signed, stream) == messages
    assert last.metadata == {"by": "me"}
    assert next(signed.read(stream)).metadata is None


def test_synchronize_takes_pydantic_models(signed: Store, stream: str) -> None:
    messages = [AccountOpened(owner=str(number)) for number in range(3)]
    signed.synchronize(stream, messages[:1], expected_version=0)
    signed.synchronize(stream, messages, expected_version=1)
    assert stored(signed, stream) == messages


def test_synchronize_can_be_repeated(signed: Store, stream: str) -> None:
    messages = some(4)
    signed.synchronize(stream, messages[:1], expected_version=0)
    first = signed.synchronize(stream, messages[:3], expected_version=1)
    assert signed.synchronize(stream, messages[:3], expected_version=1) == first
    assert signed.synchronize(stream, messages[:3], expected_version=3) == first
    signed.synchronize(stream, messages, expected_version=3)
    assert signed.synchronize(stream, messages[:3], expected_version=1) == first
    assert stored(signed, stream) == messages


def test_synchronize_checks_the_version_with_nothing_to_write(signed: Store, stream: str) -> None:
    messages = some(3)
    signed.synchronize(stream, messages[:2], expected_version=0)
    with pytest.raises(OptimisticConcurrencyError) as caught:
        signed.synchronize(stream, messages, expected_version=3)
    error = caught.value
    assert (error.stream, error.expected_version, error.actual_version) == (stream, 3, 2)
    with pytest.raises(OptimisticConcurrencyError):
        signed.synchronize(f"{stream}-empty", messages, expected_version=3)


def test_synchronize_refuses_a_list_shorter_than_the_stream(signed: Store, stream: str) -> None:
    messages = some(3)
    signed.synchronize(stream, messages, expected_version=0)
    with pytest.raises(OptimisticConcurrencyError) as caught:
        signed.synchronize(stream, messages[:2], expected_version=2)
    assert (caught.value.expected_version, caught.value.actual_version) == (2, 3)


def test_synchronize_of_an_empty_list(signed: Store, stream: str) -> None:
    assert signed.synchronize(stream, [], expected_version=0) == MessagePosition(stream, 0, 0)
    signed.write(stream, Signed(text="a"))
    with pytest.raises(OptimisticConcurrencyError) as caught:
        signed.synchronize(stream, [], expected_version=0)
    assert (caught.value.expected_version, caught.value.actual_version) == (0, 1)


@pytest.mark.parametrize("wrong", [-1, 3, 4])
def test_synchronize_refuses_an_expected_version_outside_the_list(
    signed: Store, stream: str, wrong: int
) -> None:
    with pytest.raises(InvalidArgumentError):
        signed.synchronize(stream, some(2), expected_version=wrong)
    assert stored(signed, stream) == []


@pytest.mark.parametrize("place", [0, 1, 2])
def test_synchronize_refuses_other_ids(signed: Store, stream: str, place: int) -> None:
    messages = some(4)
    signed.synchronize(stream, messages[:3], expected_version=0)
    other = [*messages[:place], Signed(text="other"), *messages[place + 1 :]]
    for length in (3, 4):
        with pytest.raises(MessageIdMismatchError) as caught:
            signed.synchronize(stream, other[:length], expected_version=3)
        error = caught.value
        assert (error.stream, error.version) == (stream, place + 1)
        assert error.message_id == other[place].event_id
        assert error.stored_message_id == messages[place].event_id
    assert stored(signed, stream) == messages[:3]


def test_synchronize_refuses_what_others_have_written(signed: Store, stream: str) -> None:
    messages = some(3)
    signed.synchronize(stream, messages[:1], expected_version=0)
    signed.write(stream, Signed(text="theirs"))
    with pytest.raises(OptimisticConcurrencyError) as caught:
        signed.synchronize(stream, messages, expected_version=1)
    assert (caught.value.expected_version, caught.value.actual_version) == (1, 2)


def test_synchronize_with_a_version_behind_its_own_messages(signed: Store, stream: str) -> None:
    messages = some(3)
    signed.synchronize(stream, messages[:2], expected_version=0)
    with pytest.raises(OptimisticConcurrencyError):
        signed.synchronize(stream, messages, expected_version=1)
    assert stored(signed, stream) == messages[:2]


def test_synchronize_needs_messages_with_ids(signed: Store, stream: str) -> None:
    with pytest.raises(InvalidArgumentError, match="EventA"):
        signed.synchronize(stream, [Signed(text="a"), EventA(1)], expected_version=0)
    assert stored(signed, stream) == []


def test_synchronize_refuses_an_id_twice(signed: Store, stream: str) -> None:
    message = Signed(text="a")
    with pytest.raises(InvalidArgumentError):
        signed.synchronize(stream, [message, message], expected_version=0)
    signed.synchronize(stream, [message], expected_version=0)
    with pytest.raises(MessageIdInUseError):
        signed.synchronize(stream, [message, message], expected_version=1)
    assert stored(signed, stream) == [message]
