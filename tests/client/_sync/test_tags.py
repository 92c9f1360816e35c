# Generated from tests/client/_async/test_tags.py by `python tools/unasync.py`.

"""Tags of messages: given, carried, declared; written, read, refused."""

import dataclasses
from datetime import timedelta
from enum import IntEnum, StrEnum
from functools import partial
from typing import Any, ClassVar
from unittest.mock import patch
from uuid import UUID, uuid4

import attrs
import msgspec
import pydantic
import pytest

from pgstore import (
    AppendConditionError,
    InvalidArgumentError,
    MessageStore,
    QueryItem,
    RawMessage,
    StoredMessage,
    Upcaster,
)
from pgstore._core import statements as s
from pgstore.testing import given, handle, stored
from tests.client._sync.conftest import OpenStore
from tests.client._sync.running import running
from tests.client.messages import Carrying, Enrolled, EventA, EventB, Signed
from tests.stores import Stores

Store = MessageStore[Any]


@pytest.fixture(params=[False, True], ids=["single", "grouped"])
def store(request: pytest.FixtureRequest, open_store: OpenStore) -> Store:
    return open_store(EventA | EventB | Enrolled | Carrying, group_writes=request.param)


def stored_tags(store: Store, stream: str) -> list[tuple[str, ...]]:
    return [stored.tags for stored in store.read(stream)]


def test_a_message_has_its_own_tags_and_those_given_once_in_order(
    store: Store, stream: str
) -> None:
    odd = ['q"uote', "back\\slash", "{a,b}", "NULL", "zeile\nzwei", "ä", "\U0001f600", "\uffff"]
    store.write(stream, Enrolled("7", "42"), tags=(each for each in ["z", "course:42", "z"]))
    store.write(stream, EventA(1), tags=odd)
    store.write(stream, EventA(2))
    store.write(stream, EventA(3), tags=[])
    store.write(stream, Carrying(), tags={"a"})
    store.write_many(stream, [Carrying(odd), EventA(4), Enrolled("1", "2")], tags=["b", "a"])
    store.write_many(stream, [Carrying(["x"]), Carrying([]), EventA(5)])
    store.write_many(stream, [EventA(6)], tags=())
    assert stored_tags(store, stream) == [
        ("course:42", "student:7", "z"),
        tuple(sorted(odd, key=str.encode)),
        (),
        (),
        ("a",),
        tuple(sorted([*odd, "a", "b"], key=str.encode)),
        ("a", "b"),
        ("a", "b", "course:2", "student:1"),
        ("x",),
        (),
        (),
        (),
    ]


class Colour(StrEnum):
    RED = "colour:red"


class Disguised(str):
    def __str__(self) -> str:
        return "other"

    def encode(self, *_: object, **__: object) -> bytes:
        return b"other"


def test_texts_of_other_classes_are_tags_by_what_they_hold(store: Store, stream: str) -> None:
    tags = [Colour.RED, Disguised(stream)]
    store.write(stream, EventA(1), tags=tags)
    store.write_many(stream, [EventA(2), Carrying()], tags=tags)
    plain = ("colour:red", stream)
    assert stored_tags(store, stream) == [tuple(sorted(plain))] * 3
    item = QueryItem(tags=tags, types=[Disguised("EventA")])
    assert item == QueryItem(tags=plain, types=["EventA"])
    found = store.read_tagged(item)
    assert len(found) == 2
    assert len(list(store.read_all(tags=tags))) == 3
    store.write(stream, EventA(3), tags=tags, unless=found)
    with pytest.raises(AppendConditionError):
        store.write(stream, EventA(4), unless=found)


class Level(IntEnum):
    LOW = 1


class Declared(msgspec.Struct):
    course: str
    student: int | msgspec.UnsetType = msgspec.UNSET
    room: UUID | None = None
    level: Level = Level.LOW
    weight: float = 0.5
    tags_from = ("student", "course", "room", "level")


@dataclasses.dataclass
class AsDataclass:
    course: str
    tags_from: ClassVar = ["course", "campus"]

    @property
    def campus(self) -> str:
        return "north"

    def get_tags(self) -> list[str]:
        return ["all", "course:42"]


@attrs.define
class AsAttrs:
    course: int
    tags_from: ClassVar = ("course",)


class AsPydantic(pydantic.BaseModel):
    course: int
    tags_from: ClassVar = ("course",)


def test_a_class_declares_the_fields_that_are_tags(open_store: OpenStore, stream: str) -> None:
    store = open_store(Declared | AsDataclass | AsAttrs | AsPydantic)
    room = uuid4()
    store.write(stream, Declared("a b", 7, room), tags=["z"])
    store.write_many(
        stream,
        [Declared(""), AsDataclass("42"), AsAttrs(1), AsPydantic(course=2)],
    )
    assert stored_tags(store, stream) == [
        ("course:a b", "level:1", f"room:{room}", "student:7", "z"),
        ("course:", "level:1"),
        ("all", "campus:north", "course:42"),
        ("course:1",),
        ("course:2",),
    ]
    assert stored(AsAttrs(1)).tags == ("course:1",)


WRONG_DECLARATIONS: dict[str, Any] = {
    "a text": ("course", "several"),
    "a list of no texts": ([5], "each of tags_from"),
    "None": (None, "several"),
    "no field": (["curse"], "names of its fields, not 'curse'"),
    "a number with a fraction": (["weight"], r"weight is 0\.5, write a get_tags"),
    "a truth": (["is_new"], "is_new is True"),
    "a list": (["students"], "students is"),
    "a method": (["get_message_id"], "get_message_id is"),
    "too long": (["long"], "32 names of 1 to 255 bytes"),
}


@pytest.mark.parametrize(("declared", "said"), WRONG_DECLARATIONS.values(), ids=WRONG_DECLARATIONS)
def test_a_declaration_that_makes_no_tags_is_refused(
    open_store: OpenStore, stream: str, declared: Any, said: str
) -> None:
    class Wrong(Signed):
        course: str = "42"
        weight: float = 0.5
        is_new: bool = True
        students: tuple[int, ...] = ()
        long: str = "x" * 251
        tags_from = declared

    store = open_store(Wrong)
    with pytest.raises(InvalidArgumentError, match=said):
        store.write(stream, Wrong(text=""))
    with pytest.raises(InvalidArgumentError, match=said):
        store.write_many(stream, [Wrong(text="")])
    with pytest.raises(InvalidArgumentError):
        stored(Wrong(text=""))
    assert store.stream_version(stream) == 0


def test_a_raw_message_carries_the_tags_to_write_it_with(store: Store, stream: str) -> None:
    raw = RawMessage("EventA", b'{"num": 1}', tags=("b", "a"))
    store.raw.write(stream, raw, tags=["c"])
    store.raw.write_many(stream, [raw, RawMessage("EventA", b'{"num": 2}')])
    assert stored_tags(store, stream) == [("a", "b", "c"), ("a", "b"), ()]
    (first, *_) = list(store.raw.read(stream))
    assert (first.tags, first.message.tags) == (("a", "b", "c"), ())


def test_a_subscription_under_test_gets_tagged_messages(
    open_store: OpenStore, stores: Stores
) -> None:
    with stores.taken() as own:
        store = open_store(EventA | EventB, store=own)
        subscription = store.subscription("s")
        seen: list[tuple[str, ...]] = []

        @subscription.handler
        def note(message: StoredMessage[EventA]) -> None:
            seen.append(message.tags)

        (given(subscription).when(stored(EventA(1), tags=["b", "a"]))).then()
        handle(subscription, stored(EventA(1), tags=["c"]))
        assert seen == [("a", "b"), ("c",)]


def test_every_reader_gets_the_tags(open_store: OpenStore, stores: Stores, category: str) -> None:
    with stores.taken() as own:
        store = open_store(EventA, store=own)
        stream = f"{category}-1"
        place = store.write(stream, EventA(1), tags=["b", "a"], metadata={"a": 1})
        store.write(stream, EventA(2), metadata={"a": 1, "correlation_id": "x"}, tags=["c"])
        store.write(stream, EventA(3), metadata={"a": 1})
        expected = [("a", "b"), ("c",), ()]
        last = store.last(stream)
        assert last is not None
        (first, *_) = list(store.read(stream))
        assert store.get(first.message_id).tags == ("a", "b")
        assert last.tags == ()
        for reading in (store.read_all(), store.read_all(metadata={"a": 1})):
            assert [each.tags for each in reading] == expected
        assert [each.tags for each in store.read_correlated("x")] == [("c",)]
        followed = store.follow(timeout=0)
        assert [each.tags for each in followed] == expected
        seen: list[tuple[str, ...]] = []
        for name in ("once", "running"):
            subscription = store.subscription(name)

            @subscription.handler
            def note(stored: StoredMessage[EventA]) -> None:
                seen.append(stored.tags)

            if name == "once":
                store.run_once(subscription)
            else:
                with running(store, subscription):
                    subscription.wait_until(place.global_position + 2, timeout=30)
        assert seen == expected * 2


def test_upcasting_and_skipping_leave_the_stored_tags(open_store: OpenStore, stream: str) -> None:
    old = open_store({"Old": EventA, "Gone": EventB})
    old.write(stream, EventA(1), tags=["a", stream])
    old.write(stream, EventB("x"), tags=["b", stream])

    store = open_store(
        {"Carrying": Carrying, "EventB": EventB},
        upcasters=[Upcaster("Old", made), Upcaster("Gone", gone)],
    )
    found = store.read_tagged(QueryItem(tags=[stream]))
    assert [(each.message, each.tags) for each in found] == [(Carrying(["made"]), ("a", stream))]
    assert stored_tags(store, stream) == [("a", stream)]
    assert store.skipped == {"Gone": 2}
    # The one that is passed over counts for the condition all the same.
    old.write(stream, EventB("y"), tags=[stream])
    with pytest.raises(AppendConditionError) as caught:
        store.write(stream, Carrying(), unless=found)
    assert caught.value.type == "Gone"


def made(old: EventA) -> Carrying:
    return Carrying(["made"])


def gone(old: dict[str, Any]) -> Carrying | None:
    return None


def test_writes_without_tags_use_the_statements_that_know_none(store: Store, stream: str) -> None:
    sent: list[str] = []
    rows = type(store._database).rows

    def noting(self: Any, statement: str, *args: Any, **named: Any) -> Any:
        sent.append(statement)
        return rows(self, statement, *args, **named)

    with patch.object(type(store._database), "rows", noting):
        store.write(stream, EventA(1))
        store.write(stream, EventA(1), tags=[])
        store.write(stream, Carrying())
        store.write_many(stream, [EventA(1), Carrying([])])
        store.write_many(stream, [EventA(1)], tags=[])
        store.write_many(stream, [EventA(1)], tags=["a"])
        store.write(stream, EventA(1), tags=["a"])
    assert sent == [
        *[s.WRITE] * 3,
        *[s.WRITE_ARRAYS] * 2,
        s.WRITE_ARRAYS_TAGGED,
        s.WRITE_TAGGED,
    ]


def test_synchronize_writes_tags(store: Store, stream: str) -> None:
    messages = [Enrolled("1", "2"), Enrolled("3", "4")]
    store.synchronize(stream, messages[:1], expected_version=0)
    place = store.synchronize(stream, messages, expected_version=1, tags=["a"])
    assert store.synchronize(stream, messages, expected_version=1, tags=["a"]) == place
    assert stored_tags(store, stream) == [
        ("course:2", "student:1"),
        ("a", "course:4", "student:3"),
    ]


def test_a_scheduled_message_is_written_with_its_tags(
    open_store: OpenStore, stores: Stores
) -> None:
    with stores.taken() as own:
        store = open_store(EventA | Enrolled, store=own)
        store.schedule("a-1", EventA(1), timedelta(), tags=["b", "a"])
        store.schedule("a-2", Enrolled("1", "2"), timedelta(), tags=["a"])
        store.schedule("a-3", EventA(1), timedelta())
        found = store.read_tagged(QueryItem(tags=["a"]))
        assert store.deliver_scheduled() == 3
        with pytest.raises(AppendConditionError):
            store.write("a-4", EventA(1), unless=found)
        assert [stored_tags(store, f"a-{n}") for n in (1, 2, 3)] == [
            [("a", "b")],
            [("a", "course:2", "student:1")],
            [()],
        ]


WRONG: dict[str, Any] = {
    "text": "course:42",
    "bytes": b"course:42",
    "list of bytes": [b"a"],
    "number": 5,
    "number in it": ["a", 5],
    "none in it": [None],
    "mapping": {"course": 42},
    "empty": ["a", ""],
    "NUL": ["a\0"],
    "surrogate": ["\ud800"],
    "256 bytes": ["ä" * 128],
    "33": [str(number) for number in range(33)],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_tags_are_refused_and_named(store: Store, stream: str, wrong: Any) -> None:
    for call in (
        partial(store.write, stream, EventA(1), tags=wrong),
        partial(store.write_many, stream, [EventA(1)], tags=wrong),
        partial(store.schedule, stream, EventA(1), timedelta(days=1), tags=wrong),
        partial(store.synchronize, stream, [Enrolled("1", "2")], expected_version=0, tags=wrong),
        partial(store.write, stream, Carrying(wrong)),
        partial(store.write_many, stream, [EventA(1), Carrying(wrong)]),
        partial(store.schedule, stream, Carrying(wrong), timedelta(days=1)),
    ):
        with pytest.raises(InvalidArgumentError, match="tags"):
            call()
    with pytest.raises(InvalidArgumentError, match="tags"):
        store.read_tagged(QueryItem(tags=wrong))
    assert store.stream_version(stream) == 0


def test_an_error_of_tags_names_the_message_of_the_batch(store: Store, stream: str) -> None:
    for wrong in (["\0"], "text"):
        with pytest.raises(InvalidArgumentError, match=r"messages\[1\]: .*get_tags\(\)") as caught:
            store.write_many(stream, [EventA(1), Carrying(wrong)])
        assert caught.value.detail["index"] == 1
    with pytest.raises(InvalidArgumentError) as caught:
        store.write_many(stream, [EventA(1), Carrying(["x" * 256])])
    assert (caught.value.argument, caught.value.detail["index"]) == ("tags", 1)


def test_more_than_1000_tags_of_a_call_are_refused(store: Store, stream: str) -> None:
    messages = [Carrying([f"{each}-{n}" for n in range(32)]) for each in range(32)]
    with pytest.raises(InvalidArgumentError, match="1000 different"):
        store.write_many(stream, messages)
    store.write_many(stream, messages[:31])
