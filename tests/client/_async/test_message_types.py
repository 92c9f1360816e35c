"""Classes of every kind go in and come out equal; their names; what cannot be read."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Union
from uuid import uuid4

import msgspec
import pydantic
import pytest
from psycopg import sql
from typing_extensions import TypeAliasType

import pgstore
from tests.client._async.conftest import OpenStore
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
async def test_message_comes_back_equal(
    open_store: OpenStore, stream: str, message: object
) -> None:
    alone = await open_store(type(message))
    mixed = await open_store(Anything)
    await alone.write(stream, message)
    await mixed.write_many(stream, [message, EventA(1), message])
    for store in (mixed, await open_store({type(message).__name__: type(message)})):
        assert (await anext(store.read(stream))).message == message
    found = [stored.message async for stored in mixed.read(stream)]
    assert found == [message, message, EventA(1), message]
    assert [type(each) for each in found] == [type(message)] * 2 + [EventA, type(message)]


async def test_message_brings_its_id(open_store: OpenStore, stream: str) -> None:
    store = await open_store(AccountOpened | Signed | EventA)
    opened, signed = AccountOpened(owner="Ada", happened_at=HAPPENED_AT), Signed(text="x")
    await store.write(stream, opened)
    await store.write_many(stream, [signed, EventA(1)])
    ids = [stored.message_id async for stored in store.read(stream)]
    assert ids[:2] == [opened.event_id, signed.event_id]
    assert ids[2].version == 7
    stored = await store.get(opened.event_id)
    assert stored.message == opened
    assert stored.message.get_message_time() == HAPPENED_AT


class NoId(msgspec.Struct):
    text: str | None = None
    number: int | None = None

    def get_message_id(self) -> Any:
        return self.number if self.text is None else self.text


@pytest.mark.parametrize("wrong", [NoId(text=str(uuid4())), NoId(), NoId(number=1)])
async def test_message_with_a_wrong_id_is_refused(
    open_store: OpenStore, stream: str, wrong: NoId
) -> None:
    store = await open_store(NoId | Signed)
    with pytest.raises(pgstore.InvalidArgumentError, match=r"get_message_id\(\) of NoId"):
        await store.write(stream, wrong)
    with pytest.raises(pgstore.InvalidArgumentError, match=r"get_message_id\(\) of NoId"):
        await store.write_many(stream, [Signed(text="x"), wrong])
    assert await store.stream_version(stream) == 0


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
async def test_messages_can_be_told_in_every_form(
    open_store: OpenStore, stream: str, messages: Any
) -> None:
    store = await open_store(messages)
    await store.write_many(stream, [EventA(1), EventB("x")])
    assert [stored.message async for stored in store.read(stream)] == [EventA(1), EventB("x")]


async def test_mapping_gives_the_written_name_and_reads_the_old_ones(
    open_store: OpenStore, stream: str, shared: str, connect: Connect
) -> None:
    old = await open_store({"Old": EventA, "Other": EventB})
    await old.write_many(stream, [EventA(1), EventB("x")])
    new = await open_store({"account.counted": EventA, "Old": EventA, "Other": EventB})
    await new.write(stream, EventA(2))
    await new.write_many(stream, [EventA(3)])
    found = [stored.message async for stored in new.read(stream)]
    assert found == [EventA(1), EventB("x"), EventA(2), EventA(3)]
    query = sql.SQL("SELECT type FROM {}.read_stream(%s)").format(sql.Identifier(shared))
    names = [name for (name,) in connect().execute(query, (stream,))]
    assert names == ["Old", "Other", "account.counted", "account.counted"]
    last = await new.last(stream, type="Old")
    assert last is not None
    assert last.version == 1


async def test_hooks_are_used_both_ways(open_store: OpenStore, stream: str) -> None:
    store = await open_store(Priced, enc_hook=encode_money, dec_hook=decode_money)
    await store.write(stream, Priced(Money(1050)))
    await store.write_many(stream, [Priced(Money(1))])
    prices = [stored.message.price.cents async for stored in store.read(stream)]
    assert prices == [1050, 1]


async def test_hooks_can_make_a_message_itself(open_store: OpenStore, stream: str) -> None:
    store = await open_store(Money, enc_hook=encode_money, dec_hook=decode_money)
    await store.write(stream, Money(7))
    assert (await anext(store.read(stream))).message == Money(7)


async def test_a_message_of_another_class_is_refused(open_store: OpenStore, stream: str) -> None:
    store = await open_store(EventA | Opened)

    class Special(EventA):
        pass

    for wrong in (EventB("x"), Special(1), {"num": 1}, None):
        with pytest.raises(pgstore.InvalidArgumentError, match="it has: EventA, Opened"):
            await store.write(stream, wrong)
        with pytest.raises(pgstore.InvalidArgumentError, match="it has: EventA, Opened"):
            await store.write_many(stream, [EventA(1), wrong])
    with pytest.raises(pgstore.InvalidArgumentError, match=r"EventA is a class: .* EventA\(…\)"):
        await store.write(stream, EventA)
    assert await store.stream_version(stream) == 0


async def test_a_message_that_cannot_be_encoded_is_refused(
    open_store: OpenStore, stream: str
) -> None:
    store = await open_store(Opened)
    with pytest.raises(pgstore.InvalidArgumentError, match=r"tags\[1\] is <object"):
        await store.write(stream, Opened("Ada", ["x", object()]))  # type: ignore[list-item]
    assert await store.stream_version(stream) == 0


async def keep(read: list[object], messages: AsyncIterator[pgstore.StoredMessage[Any]]) -> None:
    """Collect messages one by one, so that those before an error are there."""
    async for stored in messages:
        read.append(stored.message)  # noqa: PERF401


async def test_an_unknown_type_is_told_after_the_messages_before(
    open_store: OpenStore, stream: str
) -> None:
    both, one = await open_store(), await open_store(EventA)
    await both.write_many(stream, [EventA(1), EventA(2), EventB("x"), EventA(4)])
    read: list[object] = []
    with pytest.raises(pgstore.UnknownMessageTypeError) as caught:
        await keep(read, one.read(stream))
    assert read == [EventA(1), EventA(2)]
    error = caught.value
    assert (error.stream, error.version, error.type) == (stream, 3, "EventB")
    assert isinstance(error, pgstore.PgstoreError)
    assert isinstance(error, LookupError)
    assert (await anext(one.read(stream, backward=True))).message == EventA(4)


async def test_an_undecodable_payload_is_told_after_the_messages_before(
    open_store: OpenStore, stream: str
) -> None:
    store = await open_store(EventA | AccountOpened)
    for name in ("EventA", "AccountOpened"):
        await store.write(stream, EventA(1))
        wrong = await store.raw.write(stream, pgstore.RawMessage(name, b'{"num": "not a number"}'))
        read: list[object] = []
        with pytest.raises(pgstore.MessageDecodeError) as caught:
            await keep(read, store.read(stream, from_version=wrong.version - 1))
        assert read == [EventA(1)]
        error = caught.value
        assert (error.stream, error.version, error.type) == (stream, wrong.version, name)
        assert isinstance(error, ValueError)
        assert isinstance(error.__cause__, ValueError | msgspec.MsgspecError)
        with pytest.raises(pgstore.MessageDecodeError):
            await store.last(stream)


async def test_raw_reads_and_writes_everything(open_store: OpenStore, stream: str) -> None:
    store = await open_store(EventA)
    await store.write(stream, EventA(1), metadata={"by": "me"})
    position = await store.raw.write(
        stream, pgstore.RawMessage("Strange", b'[\n1,\n"two\\n"\n]'), expected_version=1
    )
    await store.raw.write_many(
        stream, [pgstore.RawMessage("A", b"{\n}"), pgstore.RawMessage("B", b"null")]
    )
    stored = [message async for message in store.raw.read(stream)]
    assert [message.message for message in stored] == [
        pgstore.RawMessage("EventA", b'{"num": 1}'),
        pgstore.RawMessage("Strange", b'[1, "two\\n"]'),
        pgstore.RawMessage("A", b"{}"),
        pgstore.RawMessage("B", b"null"),
    ]
    assert stored[0].metadata == {"by": "me"}
    assert position.version == 2
    assert (await store.raw.last(stream)) == stored[-1]
    assert await store.raw.get(stored[1].message_id) == stored[1]


@pytest.mark.parametrize(
    ("name", "data"), [("A", b"{"), ("A", b""), ("", b"{}"), ("A" * 256, b"1")]
)
async def test_raw_refuses_what_is_not_json_or_a_name(
    store: pgstore.AsyncMessageStore[Any], stream: str, name: str, data: bytes
) -> None:
    message = pgstore.RawMessage(name, data)
    for messages in ([message], [pgstore.RawMessage("A", b"{}"), message]):
        with pytest.raises(pgstore.InvalidArgumentError):
            await store.raw.write_many(stream, messages)
    with pytest.raises(pgstore.InvalidArgumentError):
        await store.raw.write(stream, message)
    assert await store.stream_version(stream) == 0


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
async def test_store_refuses_messages_that_it_could_not_read(
    messages: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        pgstore.AsyncMessageStore[Any](messages=messages)


async def test_type_name_can_have_255_bytes(open_store: OpenStore, stream: str) -> None:
    name = "ä" * 127 + "x"
    store = await open_store({name: EventA})
    await store.write(stream, EventA(1))
    assert (await store.raw.last(stream)).message.type == name  # type: ignore[union-attr]


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
async def test_messages_are_nested_up_to_100_deep(
    open_store: OpenStore, stream: str, cls: type[Any]
) -> None:
    store = await open_store(Nested | NestedModel)
    message = cls(inside=nested(99))
    await store.write(stream, message, metadata={"inside": nested(99)})
    stored = await store.last(stream)
    assert stored is not None
    assert (stored.message, stored.metadata) == (message, {"inside": nested(99)})
    raw = await store.raw.last(stream)
    assert raw is not None
    assert raw.message.data.count(b"[") == 99
    for levels in (100, 800, 5_000, 50_000):
        deep = cls.model_construct(inside=nested(levels)) if cls is NestedModel else None
        with pytest.raises(pgstore.InvalidArgumentError):
            await store.write(stream, deep or Nested(nested(levels)))
        with pytest.raises(pgstore.InvalidArgumentError):
            await store.write(stream, message, metadata={"inside": nested(levels)})
        text = b"[" * (levels + 1) + b"\n" + b"]" * (levels + 1)
        for data in (text, text.replace(b"\n", b"")):
            with pytest.raises(pgstore.InvalidArgumentError):
                await store.raw.write(stream, pgstore.RawMessage("Nested", data))
            with pytest.raises(pgstore.InvalidArgumentError):
                await store.raw.write_many(stream, [pgstore.RawMessage("Nested", data)])
    assert await store.stream_version(stream) == 1
