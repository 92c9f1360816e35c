# Generated from tests/client/_async/test_batches.py by `python tools/unasync.py`.

"""Batches: the same messages and errors as of single writes, and an error names the message."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

import pgstore
from pgstore import InvalidArgumentError, MessageStore, RawMessage, StoredMessage
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client.messages import (
    AccountClosed,
    Anything,
    Closed,
    EventA,
    EventB,
    Opened,
    Signed,
)

Store = MessageStore[Any]
MANY = 1_000


class Measured(msgspec.Struct):
    value: float


class Tagged(msgspec.Struct):
    tags: set[str]


class Quoted(msgspec.Struct):
    raw: msgspec.Raw


def stored_in(store: Store, stream: str) -> list[StoredMessage[Any]]:
    return list(store.read(stream))


def of_all_kinds(count: int) -> list[Any]:
    """Messages of each kind in turn."""
    at = datetime(2024, 2, 29, tzinfo=UTC)
    kinds = (
        lambda n: EventA(n),
        lambda n: EventB("ä" * n),
        lambda n: Opened(f"number {n}", ["a", "b"]),
        lambda n: Closed(str(n), at),
        lambda n: AccountClosed(happened_at=at),
    )
    return [kinds[n % len(kinds)](n) for n in range(count)]


def test_a_batch_of_many_types_keeps_its_order(open_store: OpenStore, stream: str) -> None:
    store = open_store(Anything)
    batch = of_all_kinds(MANY)
    store.write(stream, EventA(-1))
    place = store.write_many(stream, batch)
    found = stored_in(store, stream)
    assert [stored.message for stored in found[1:]] == batch
    assert [type(stored.message) for stored in found[1:]] == [type(each) for each in batch]
    assert [stored.version for stored in found] == list(range(1, MANY + 2))
    positions = [stored.global_position for stored in found]
    assert positions == sorted(set(positions))
    assert positions[-1] == place.global_position


def test_new_ids_rise_within_a_batch_and_from_batch_to_batch(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write_many(stream, [EventA(n) for n in range(MANY)])
    ids = [stored.message_id for stored in stored_in(store, stream)]
    assert ids == sorted(set(ids))
    assert {each.version for each in ids} == {7}


def test_messages_with_and_without_ids_may_be_mixed(open_store: OpenStore, stream: str) -> None:
    store = open_store(EventA | Signed)
    batch: list[Any] = [EventA(1), Signed(text="a"), EventA(2), Signed(text="b")]
    store.write_many(stream, batch)
    found = stored_in(store, stream)
    assert [stored.message for stored in found] == batch
    assert [found[1].message_id, found[3].message_id] == [batch[1].event_id, batch[3].event_id]
    assert [found[0].message_id.version, found[2].message_id.version] == [7, 7]


class Counting(msgspec.Struct):
    """Its id is of a class of its own."""

    number: int

    def get_message_id(self) -> UUID:
        return OwnUUID(int=self.number)


class OwnUUID(UUID):
    pass


def test_ids_may_be_of_a_subclass(open_store: OpenStore, stream: str) -> None:
    store = open_store(Counting)
    numbers = [uuid4().int for _ in range(3)]
    store.write_many(stream, [Counting(number) for number in numbers])
    found = stored_in(store, stream)
    assert [stored.message_id.int for stored in found] == numbers


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Measured(float("nan")), "value is nan"),
        (Measured(float("-inf")), "value is -inf"),
        (EventA("1"), "num"),  # type: ignore[arg-type]
        (EventB("\ud800"), "text"),
        (EventB, "is a class"),
        (object(), "not a message type"),
        (Opened("Ada", ["a", object()]), "tags"),  # type: ignore[list-item]
        (Quoted(msgspec.Raw(b"[" * 2_000 + b"]" * 2_000)), "nested too deep"),
    ],
    ids=["nan", "infinity", "type", "surrogate", "class", "object", "no JSON", "deep"],
)
def test_an_error_names_the_message(
    open_store: OpenStore, stream: str, wrong: object, says: str
) -> None:
    store = open_store(EventA | EventB | Opened | Measured | Quoted)
    batch: list[Any] = [EventA(n) for n in range(MANY)]
    batch[700] = wrong
    with pytest.raises(InvalidArgumentError) as alone:
        store.write(stream, batch[700])
    with pytest.raises(InvalidArgumentError) as caught:
        store.write_many(stream, batch)
    assert says in str(caught.value)
    assert str(caught.value) == f"messages[700]: {alone.value}"
    assert caught.value.detail["index"] == 700
    assert store.stream_version(stream) == 0


def test_an_error_of_the_server_names_the_message(open_store: OpenStore, stream: str) -> None:
    store = open_store(RawMessage)
    deep = b"[" * 101 + b"]" * 101
    batch = [RawMessage("A", b"{}"), RawMessage("A", deep), RawMessage("A", b"{}")]
    with pytest.raises(InvalidArgumentError) as caught:
        store.write_many(stream, batch)
    assert (caught.value.argument, caught.value.detail["index"]) == ("data", 1)
    with pytest.raises(InvalidArgumentError) as caught:
        store.write_many(stream, batch[:1] * 2, metadata=[None, _nested(101)])
    assert (caught.value.argument, caught.value.detail["index"]) == ("metadata", 1)


def _nested(levels: int) -> dict[str, object]:
    return {} if levels == 1 else {"a": _nested(levels - 1)}


def test_an_error_names_the_message_whose_id_or_metadata_is_wrong(
    open_store: OpenStore, stream: str
) -> None:
    class NoId(msgspec.Struct):
        def get_message_id(self) -> str:
            return str(uuid4())

    store = open_store(Signed | NoId)
    batch = [Signed(text="a"), Signed(text="b"), NoId()]
    with pytest.raises(InvalidArgumentError, match=r"^messages\[2\]: get_message_id\(\) of NoId"):
        store.write_many(stream, batch)
    with pytest.raises(InvalidArgumentError, match=r"^messages\[2\]: get_message_id\(\) of NoId"):
        store.synchronize(stream, batch, expected_version=0)
    with pytest.raises(InvalidArgumentError, match=r"^metadata\[1\]: metadata\['by'\]"):
        store.write_many(stream, batch[:2], metadata=[None, {"by": object()}])
    wrong = Signed(text=1)  # type: ignore[arg-type]
    store.write_many(stream, batch[:1])
    with pytest.raises(InvalidArgumentError, match=r"^messages\[2\]: this Signed"):
        store.synchronize(stream, [*batch[:2], wrong], expected_version=1)
    assert store.stream_version(stream) == 1


def test_sets_and_raw_json_go_in_a_batch_too(open_store: OpenStore, stream: str) -> None:
    store = open_store(EventA | Tagged | Quoted)
    tags = {f"tag {n}" for n in range(20)}
    raw = Quoted(msgspec.Raw(b'{"a":\n[1,\r\n2]}\n'))
    store.write_many(stream, [EventA(1), Tagged(tags), raw, EventA(2)])
    found = stored_in(store, stream)
    assert [found[0].message, found[3].message] == [EventA(1), EventA(2)]
    assert found[1].message == Tagged(tags)
    assert msgspec.json.decode(found[2].message.raw) == {"a": [1, 2]}
    sorted_tags = [stored.message.data for stored in store.raw.read(stream)][1]
    assert msgspec.json.decode(sorted_tags) == {"tags": sorted(tags)}


def test_raw_messages_may_have_line_breaks(store: Store, stream: str) -> None:
    payloads = [b'{\n"a": 1\n}\n', b'"\\n"', b"null", b"\n[]", '"ä"'.encode()]
    store.raw.write_many(stream, [RawMessage("A", data) for data in payloads])
    found = [stored.message.data for stored in store.raw.read(stream)]
    assert [msgspec.json.decode(data) for data in found] == [{"a": 1}, "\n", None, [], "ä"]


@pytest.mark.parametrize("data", [b"", b"{", b"1 2", b'"\0"', b'"\\u0000"', b"\xff", b"1\n,\n2"])
def test_raw_messages_that_are_no_json_are_refused(store: Store, stream: str, data: bytes) -> None:
    wrong = RawMessage("A", data)
    for batch in ([wrong], [RawMessage("A", b"1"), wrong]):
        with pytest.raises(InvalidArgumentError):
            store.raw.write_many(stream, batch)
    assert store.stream_version(stream) == 0


def test_a_connection_of_another_encoding_passes_its_characters(
    open_store: OpenStore, open_connection: OpenConnection, stream: str
) -> None:
    store = open_store({"EventB": EventB, "Gelöscht": EventA})
    conn = open_connection(client_encoding="latin1")
    batch = [EventB("ä"), EventA(1), EventB("longer ÿ")]
    store.write_many(stream, batch, metadata=[{"von": "Köchin"}, None, {}], conn=conn)
    found = stored_in(store, stream)
    assert [stored.message for stored in found] == batch
    assert [stored.metadata for stored in found] == [{"von": "Köchin"}, None, {}]
    with pytest.raises(InvalidArgumentError, match="not a text"):
        store.write_many(stream, [EventB("€")], conn=conn)
    conn = open_connection(client_encoding="sql_ascii")
    store.write_many(stream, [EventB("€")], conn=conn)
    assert stored_in(store, stream)[-1].message == EventB("€")
    last = store.last(stream, conn=conn)
    assert last is not None
    assert (last.stream, last.message) == (stream, EventB("€"))


def test_batches_take_part_in_a_pipeline(
    store: Store, open_connection: OpenConnection, stream: str
) -> None:
    conn = open_connection()
    with conn.pipeline():
        for n in range(10):  # it is prepared meanwhile
            store.write_many(stream, [EventA(n), EventB("x")], conn=conn)
    found = stored_in(store, stream)
    assert [stored.message for stored in found[::2]] == [EventA(n) for n in range(10)]


def test_an_empty_batch_is_refused(store: Store, stream: str) -> None:
    given: list[Any] = [None, {}, []]
    for metadata in given:
        with pytest.raises(InvalidArgumentError) as caught:
            store.write_many(stream, [], metadata=metadata)
        assert caught.value.argument == "messages"


def test_the_same_messages_get_new_ids_again(store: Store, stream: str) -> None:
    batch = [EventA(1), EventA(2)]
    store.write_many(stream, batch)
    assert store.write_many(stream, batch).version == 4
    assert pgstore.new_message_id() > stored_in(store, stream)[-1].message_id
