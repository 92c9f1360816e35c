# Generated from tests/client/_async/test_bounds.py by `python tools/unasync.py`.

"""Reads that end somewhere, the positions of several messages, and ids of raw messages."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from pgstore import (
    InvalidArgumentError,
    MessageIdInUseError,
    MessagePosition,
    MessageStore,
    RawMessage,
)
from tests.client._sync.conftest import OpenConnection
from tests.client.conftest import LONG
from tests.client.messages import EventA

Store = MessageStore[Any]


def versions(store: Store, stream: str, **options: Any) -> list[int]:
    return [stored.version for stored in store.read(stream, **options)]


@pytest.mark.parametrize("last", [-5, 0, 1, 99, 100, 101, 1100, LONG, LONG + 1, 2**63 - 1])
def test_read_ends_at_to_version(store: Store, long_stream: str, last: int) -> None:
    forward = list(range(1, min(last, LONG) + 1))
    assert versions(store, long_stream, to_version=last) == forward
    assert versions(store, long_stream, from_version=98, to_version=last) == forward[97:]
    assert versions(store, long_stream, to_version=last, max_count=3) == forward[:3]
    backward = list(range(LONG, max(last, 1) - 1, -1))
    assert versions(store, long_stream, to_version=last, backward=True) == backward
    assert (
        versions(store, long_stream, from_version=120, to_version=last, backward=True)
        == backward[LONG - 120 :]
    )


@pytest.fixture
def cut_off(
    store: Store, stream: str, shared: str, open_connection: OpenConnection
) -> list[MessagePosition]:
    """The positions of a stream of ten, of which the first four are deleted."""
    for number in range(5):
        store.write_many(stream, [EventA(number), EventA(number)])
        store.write(f"{stream}-other", EventA(number))
    positions = store.positions(stream)
    conn = open_connection()
    conn.execute(f"SELECT {shared}.truncate_stream('{stream}', 5, 'test')")
    return positions


def test_bounds_of_a_stream_that_was_cut_off(
    store: Store, stream: str, cut_off: list[MessagePosition]
) -> None:
    assert versions(store, stream, from_version=1, to_version=7) == [5, 6, 7]
    assert versions(store, stream, to_version=4) == []
    assert store.positions(stream, from_version=1, to_version=7) == cut_off[4:7]
    assert store.positions(stream, to_version=4) == []


def test_positions_of_each_message_of_a_batch(store: Store, stream: str) -> None:
    store.write(stream, EventA(0))
    with store.transaction() as conn:
        last = store.write_many(stream, [EventA(number) for number in range(3)], conn=conn)
        found = store.positions(stream, from_version=last.version - 2, conn=conn)
    assert found[-1] == last
    assert found == [
        MessagePosition(stored.stream, stored.version, stored.global_position)
        for stored in store.read(stream, from_version=2)
    ]
    assert store.positions(stream, from_version=5) == []
    assert store.positions(stream, from_version=3, to_version=2) == []
    assert store.positions(stream, to_version=1, from_version=-(2**63)) == [
        MessagePosition(stream, 1, found[0].global_position - 1)
    ]


def test_read_all_ends_at_up_to_position(store: Store, long_stream: str, category: str) -> None:
    positions = [each.global_position for each in store.positions(long_stream)]
    for last in (0, 1, 99, 100, 101, 1100, LONG):
        read = store.read_category("long", up_to_position=positions[last - 1] if last else 0)
        assert [stored.message.num for stored in read] == list(range(1, last + 1))
    position = store.write(f"{category}-1", EventA(1)).global_position
    store.write(f"{category}-1", EventA(2))
    options: dict[str, Any] = {"after_position": position - 1, "category": category}
    for end, numbers in {position - 9: [], position: [1], position + 999: [1, 2]}.items():
        read = store.read_all(up_to_position=end, **options)
        assert [stored.message.num for stored in read] == numbers


def test_a_raw_message_is_written_with_its_id(store: Store, stream: str) -> None:
    message = RawMessage("EventA", b'{"num": 1}', uuid4())
    position = store.raw.write(stream, message)
    assert store.raw.write(stream, message) == position
    with pytest.raises(MessageIdInUseError):
        store.raw.write(f"{stream}-other", message)
    assert message.message_id is not None
    stored = store.raw.get(message.message_id)
    assert stored.message == RawMessage("EventA", b'{"num": 1}')
    assert stored.message_id == message.message_id


def test_a_batch_of_raw_messages_some_of_which_have_an_id(store: Store, stream: str) -> None:
    ids: list[UUID | None] = [None, uuid4(), None]
    messages = [RawMessage("EventA", b'{"num": 1}', each) for each in ids]
    store.raw.write_many(stream, messages)
    store.raw.write_many(stream, [RawMessage("EventA", b"{}"), RawMessage("EventA", b"{}")])
    found = [stored.message_id for stored in store.raw.read(stream)]
    assert len(set(found)) == 5
    assert found[1] == ids[1]


def test_synchronize_knows_raw_messages_by_their_ids(store: Store, stream: str) -> None:
    messages = [RawMessage("EventA", b'{"num": 1}', uuid4()) for _ in range(3)]
    store.raw.synchronize(stream, messages[:1], expected_version=0)
    last = store.raw.synchronize(stream, messages, expected_version=1)
    assert last.version == 3
    with pytest.raises(InvalidArgumentError, match="has none"):
        store.raw.synchronize(stream, [RawMessage("EventA", b"{}")], expected_version=1)


def test_the_id_of_a_raw_message_is_a_uuid(store: Store, stream: str) -> None:
    wrong: Any = str(uuid4())
    with pytest.raises(InvalidArgumentError, match="uuid"):
        store.raw.write(stream, RawMessage("EventA", b"{}", wrong))
    with pytest.raises(InvalidArgumentError, match="uuid"):
        store.raw.write_many(stream, [RawMessage("EventA", b"{}", wrong)])
