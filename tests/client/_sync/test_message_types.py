# Generated from tests/client/_async/test_message_types.py by `python tools/unasync.py`.

"""Classes of every kind go in and come out equal; their names; what cannot be read."""

from collections.abc import Iterator
from typing import Annotated, Any, Union
from uuid import uuid4

import msgspec
import pydantic
import pytest
from psycopg import sql
from typing_extensions import TypeAliasType

import pgstore
from tests.client._sync.conftest import OpenStore
from tests.client.messages import (
    HAPPENED_AT,
    KINDS,
    AccountOpened,
    Anything,
    EventA,
    EventB,
    Money,
    Opened,
    Priced,
    Signed,
    decode_money,
    encode_money,
)
from tests.conftest import Connect


@pytest.mark.parametrize("message", KINDS, ids=lambda message: type(message).__name__)
def test_message_comes_back_equal(open_store: OpenStore, stream: str, message: object) -> None:
    alone = open_store(type(message))
    mixed = open_store(Anything)
    alone.write(stream, message)
    mixed.write_many(stream, [message, EventA(1), message])
    for store in (mixed, open_store({type(message).__name__: type(message)})):
        assert next(store.read(stream)).message == message
    found = [stored.message for stored in mixed.read(stream)]
    assert found == [message, message, EventA(1), message]
    assert [type(each) for each in found] == [type(message)] * 2 + [EventA, type(message)]


def test_message_brings_its_id(open_store: OpenStore, stream: str) -> None:
    store = open_store(AccountOpened | Signed | EventA)
    opened, signed = AccountOpened(owner="Ada", happened_at=HAPPENED_AT), Signed(text="x")
    store.write(stream, opened)
    store.write_many(stream, [signed, EventA(1)])
    ids = [stored.message_id for stored in store.read(stream)]
    assert ids[:2] == [opened.event_id, signed.event_id]
    assert ids[2].version == 7
    stored = store.get(opened.event_id)
    assert stored.message == opened
    assert stored.message.get_message_time() == HAPPENED_AT


class NoId(msgspec.Struct):
    text: str | None = None
    number: int | None = None

    def get_message_id(self) -> Any:
        return self.number if self.text is None else self.text


@pytest.mark.parametrize("wrong", [NoId(text=str(uuid4())), NoId(), NoId(number=1)])
def test_message_with_a_wrong_id_is_refused(
    open_store: OpenStore, stream: str, wrong: NoId
) -> None:
    store = open_store(NoId | Signed)
    with pytest.raises(pgstore.InvalidArgumentError, match=r"get_message_id\(\) of NoId"):
        store.write(stream, wrong)
    with pytest.raises(pgstore.InvalidArgumentError, match=r"get_message_id\(\) of NoId"):
        store.write_many(stream, [Signed(text="x"), wrong])
    assert store.stream_version(stream) == 0


@pytest.mark.parametrize(
    "messages",
    [
        EventA | EventB,
        Union[EventA, EventB],  # noqa: UP007
        Annotated[EventA | EventB, "said about it"],
        Annotated[EventA, "said about it"] | EventB,
        TypeAliasType("Event", EventA | EventB),
        {"EventA": EventA, "EventB": EventB},
    ],
    ids=["new", "old", "annotated", "annotated member", "alias", "mapping"],
)
def test_messages_can_be_told_in_every_form(
    open_store: OpenStore, stream: str, messages: Any
) -> None:
    store = open_store(messages)
    store.write_many(stream, [EventA(1), EventB("x")])
    assert [stored.message for stored in store.read(stream)] == [EventA(1), EventB("x")]


def test_mapping_gives_the_written_name_and_reads_the_old_ones(
    open_store: OpenStore, stream: str, shared: str, connect: Connect
) -> None:
    old = open_store({"Old": EventA, "Other": EventB})
    old.write_many(stream, [EventA(1), EventB("x")])
    new = open_store({"account.counted": EventA, "Old": EventA, "Other": EventB})
    new.write(stream, EventA(2))
    new.write_many(stream, [EventA(3)])
    found = [stored.message for stored in new.read(stream)]
    assert found == [EventA(1), EventB("x"), EventA(2), EventA(3)]
    query = sql.SQL("SELECT type FROM {}.read_stream(%s)").format(sql.Identifier(shared))
    names = [name for (name,) in connect().execute(query, (stream,))]
    assert names == ["Old", "Other", "account.counted", "account.counted"]
    last = new.last(stream, type="Old")
    assert last is not None
    assert last.version == 1


def test_hooks_are_used_both_ways(open_store: OpenStore, stream: str) -> None:
    store = open_store(Priced, enc_hook=encode_money, dec_hook=decode_money)
    store.write(stream, Priced(Money(1050)))
    store.write_many(stream, [Priced(Money(1))])
    prices = [stored.message.price.cents for stored in store.read(stream)]
    assert prices == [1050, 1]


def test_hooks_can_make_a_message_itself(open_store: OpenStore, stream: str) -> None:
    store = open_store(Money, enc_hook=encode_money, dec_hook=decode_money)
    store.write(stream, Money(7))
    assert next(store.read(stream)).message == Money(7)


def test_a_message_of_another_class_is_refused(open_store: OpenStore, stream: str) -> None:
    store = open_store(EventA | Opened)

    class Special(EventA):
        pass

    for wrong in (EventB("x"), Special(1), {"num": 1}, None):
        with pytest.raises(pgstore.InvalidArgumentError, match="it has: EventA, Opened"):
            store.write(stream, wrong)
        with pytest.raises(pgstore.InvalidArgumentError, match="it has: EventA, Opened"):
            store.write_many(stream, [EventA(1), wrong])
    with pytest.raises(pgstore.InvalidArgumentError, match=r"EventA is a class: .* EventA\(…\)"):
        store.write(stream, EventA)
    assert store.stream_version(stream) == 0


def test_a_message_that_cannot_be_encoded_is_refused(open_store: OpenStore, stream: str) -> None:
    store = open_store(Opened)
    with pytest.raises(pgstore.InvalidArgumentError, match=r"tags\[1\] is <object"):
        store.write(stream, Opened("Ada", ["x", object()]))  # type: ignore[list-item]
    assert store.stream_version(stream) == 0


def keep(read: list[object], messages: Iterator[pgstore.StoredMessage[Any]]) -> None:
    """Collect messages one by one, so that those before an error are there."""
    for stored in messages:
        read.append(stored.message)  # noqa: PERF401


def test_an_unknown_type_is_told_after_the_messages_before(
    open_store: OpenStore, stream: str
) -> None:
    both, one = open_store(), open_store(EventA)
    both.write_many(stream, [EventA(1), EventA(2), EventB("x"), EventA(4)])
    read: list[object] = []
    with pytest.raises(pgstore.UnknownMessageTypeError) as caught:
        keep(read, one.read(stream))
    assert read == [EventA(1), EventA(2)]
    error = caught.value
    assert (error.stream, error.version, error.type) == (stream, 3, "EventB")
    assert isinstance(error, pgstore.PgstoreError)
    assert isinstance(error, LookupError)
    assert next(one.read(stream, backward=True)).message == EventA(4)


def test_an_undecodable_payload_is_told_after_the_messages_before(
    open_store: OpenStore, stream: str
) -> None:
    store = open_store(EventA | AccountOpened)
    for name in ("EventA", "AccountOpened"):
        store.write(stream, EventA(1))
        wrong = store.raw.write(stream, pgstore.RawMessage(name, b'{"num": "not a number"}'))
        read: list[object] = []
        with pytest.raises(pgstore.MessageDecodeError) as caught:
            keep(read, store.read(stream, from_version=wrong.version - 1))
        assert read == [EventA(1)]
        error = caught.value
        assert (error.stream, error.version, error.type) == (stream, wrong.version, name)
        assert isinstance(error, ValueError)
        assert isinstance(error.__cause__, ValueError | msgspec.MsgspecError)
        with pytest.raises(pgstore.MessageDecodeError):
            store.last(stream)


def test_raw_reads_and_writes_everything(open_store: OpenStore, stream: str) -> None:
    store = open_store(EventA)
    store.write(stream, EventA(1), metadata={"by": "me"})
    position = store.raw.write(
        stream, pgstore.RawMessage("Strange", b'[\n1,\n"two\\n"\n]'), expected_version=1
    )
    store.raw.write_many(
        stream, [pgstore.RawMessage("A", b"{\n}"), pgstore.RawMessage("B", b"null")]
    )
    stored = list(store.raw.read(stream))
    assert [message.message for message in stored] == [
        pgstore.RawMessage("EventA", b'{"num": 1}'),
        pgstore.RawMessage("Strange", b'[1, "two\\n"]'),
        pgstore.RawMessage("A", b"{}"),
        pgstore.RawMessage("B", b"null"),
    ]
    assert stored[0].metadata == {"by": "me"}
    assert position.version == 2
    assert (store.raw.last(stream)) == stored[-1]
    assert store.raw.get(stored[1].message_id) == stored[1]


@pytest.mark.parametrize(
    ("name", "data"), [("A", b"{"), ("A", b""), ("", b"{}"), ("A" * 256, b"1")]
)
def test_raw_refuses_what_is_not_json_or_a_name(
    store: pgstore.MessageStore[Any], stream: str, name: str, data: bytes
) -> None:
    message = pgstore.RawMessage(name, data)
    for messages in ([message], [pgstore.RawMessage("A", b"{}"), message]):
        with pytest.raises(pgstore.InvalidArgumentError):
            store.raw.write_many(stream, messages)
    with pytest.raises(pgstore.InvalidArgumentError):
        store.raw.write(stream, message)
    assert store.stream_version(stream) == 0


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (list[int], TypeError),
        (dict[str, EventA], TypeError),
        (EventA | list[int], TypeError),
        (Union[EventA, "EventB"], TypeError),
        ("EventA", TypeError),
        (EventA(1), TypeError),
        (None, TypeError),
        ([EventA, EventB], TypeError),
        ({"A": "EventA"}, TypeError),
        ({"A": EventA | EventB}, TypeError),
        (Money, TypeError),
        (EventA | Money, TypeError),
        (EventA | pytest.MonkeyPatch, TypeError),
        (EventA | None, TypeError),
        ({}, ValueError),
        ({"": EventA}, ValueError),
        ({"A" * 256: EventA}, ValueError),
        ({"ä" * 128: EventA}, ValueError),
        ({"a\nb": EventA}, ValueError),
        ({"a\0b": EventA}, ValueError),
        ({1: EventA}, ValueError),
        (EventA | type("EventA", (EventA,), {}), ValueError),
    ],
)
def test_store_refuses_messages_that_it_could_not_read(
    messages: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        pgstore.MessageStore[Any](messages=messages)


def test_type_name_can_have_255_bytes(open_store: OpenStore, stream: str) -> None:
    name = "ä" * 127 + "x"
    store = open_store({name: EventA})
    store.write(stream, EventA(1))
    assert store.raw.last(stream).message.type == name  # type: ignore[union-attr]


class Nested(msgspec.Struct):
    inside: list[Any]


class NestedModel(pydantic.BaseModel):
    inside: list[Any]


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("cls", [Nested, NestedModel])
def test_messages_are_nested_up_to_100_deep(
    open_store: OpenStore, stream: str, cls: type[Any]
) -> None:
    store = open_store(Nested | NestedModel)
    message = cls(inside=nested(99))
    store.write(stream, message, metadata={"inside": nested(99)})
    stored = store.last(stream)
    assert stored is not None
    assert (stored.message, stored.metadata) == (message, {"inside": nested(99)})
    raw = store.raw.last(stream)
    assert raw is not None
    assert raw.message.data.count(b"[") == 99
    for levels in (100, 800, 5_000, 50_000):
        deep = cls.model_construct(inside=nested(levels)) if cls is NestedModel else None
        with pytest.raises(pgstore.InvalidArgumentError):
            store.write(stream, deep or Nested(nested(levels)))
        with pytest.raises(pgstore.InvalidArgumentError):
            store.write(stream, message, metadata={"inside": nested(levels)})
        text = b"[" * (levels + 1) + b"\n" + b"]" * (levels + 1)
        for data in (text, text.replace(b"\n", b"")):
            with pytest.raises(pgstore.InvalidArgumentError):
                store.raw.write(stream, pgstore.RawMessage("Nested", data))
            with pytest.raises(pgstore.InvalidArgumentError):
                store.raw.write_many(stream, [pgstore.RawMessage("Nested", data)])
    assert store.stream_version(stream) == 1
