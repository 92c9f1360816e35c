# Generated from tests/client/_async/test_tags.py by `python tools/unasync.py`.

"""Tags of messages, queries for them, and writes on the condition that no other one has come."""

from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import msgspec
import pytest

from pgstore import (
    AppendCondition,
    AppendConditionError,
    InvalidArgumentError,
    MessageIdInUseError,
    MessageStore,
    OptimisticConcurrencyError,
    PositionBeyondEndError,
    QueryItem,
    RawMessage,
    ReadIsolationError,
    StoredMessage,
    TaggedMessages,
    UnknownMessageTypeError,
    Upcaster,
)
from pgstore._core import statements as s
from pgstore.testing import given, handle, stored
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client._sync.running import running
from tests.client.messages import EventA, EventB
from tests.client.parallel import Parallel
from tests.client.proxy import Proxy
from tests.stores import Stores

Store = MessageStore[Any]


class Enrolled(msgspec.Struct):
    """A message with tags of its own, and an id."""

    student: str
    course: str
    event_id: UUID = msgspec.field(default_factory=uuid4)

    def get_message_id(self) -> UUID:
        return self.event_id

    def get_tags(self) -> list[str]:
        return [f"student:{self.student}", f"course:{self.course}"]


class Carrying(msgspec.Struct):
    """A message whose tags can be anything."""

    tags: Any = None

    def get_tags(self) -> Any:
        return self.tags


@pytest.fixture(params=[False, True], ids=["single", "grouped"])
def store(request: pytest.FixtureRequest, open_store: OpenStore) -> Store:
    return open_store(EventA | EventB | Enrolled | Carrying, group_writes=request.param)


@pytest.fixture
def tag(stream: str) -> str:
    return f"course:{stream}"


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


def test_a_query_looks_for_all_tags_of_any_item_and_any_type(
    store: Store, stream: str, tag: str
) -> None:
    store.write(stream, EventA(1), tags=[tag])
    store.write(stream, EventB("2"), tags=[tag, "other"])
    store.write(stream, EventA(3), tags=["other", f"{tag}2"])
    store.write(stream, EventA(4))

    def versions(*items: QueryItem, after_position: int = 0) -> list[int]:
        found = store.read_tagged(items, after_position=after_position)
        assert len(found) == len(found.messages)
        return [each.version for each in found]

    assert versions(QueryItem(tags=[tag])) == [1, 2]
    assert versions(QueryItem(tags=[tag, "other"])) == [2]
    assert versions(QueryItem(tags={tag}, types=[EventA])) == [1]
    assert versions(QueryItem(tags=[tag], types=["EventB", Enrolled])) == [2]
    both = [QueryItem(tags=[f"{tag}2"]), QueryItem(tags=[tag, "other"]), QueryItem(tags=[tag])]
    assert versions(*both) == [1, 2, 3]
    (first,) = store.read_tagged(QueryItem(tags=[tag], types=[EventA]))
    assert versions(*both, after_position=first.global_position) == [2, 3]
    assert versions(QueryItem(tags=[f"no{tag}"])) == []


def test_a_class_stands_for_all_its_names(open_store: OpenStore, stream: str) -> None:
    store = open_store({"New": EventA, "Older": EventA})
    store.raw.write(stream, RawMessage("Older", b'{"num": 1}'), tags=[stream])
    found = store.read_tagged(QueryItem(tags=[stream], types=[EventA]))
    assert found.query == (QueryItem(tags=[stream], types=["New", "Older"]),)
    assert len(found) == 1
    store.raw.write(stream, RawMessage("Older", b'{"num": 2}'), tags=[stream])
    with pytest.raises(AppendConditionError):
        store.raw.write(stream, RawMessage("New", b"{}"), unless=found)
    condition = AppendCondition(QueryItem(tags=[stream], types=[EventA]), found.decided_upon)
    with pytest.raises(AppendConditionError):
        store.write_many(stream, [EventA(3)], unless=condition)


def test_a_write_is_refused_if_a_message_has_come_since_the_decision(
    store: Store, stream: str, tag: str
) -> None:
    store.write(stream, EventA(1), tags=[tag])
    found = store.read_tagged(QueryItem(tags=[tag], types=[EventA]))
    assert [each.message for each in found] == [EventA(1)]
    store.write(f"{stream}2", EventB("another type"), tags=[tag])
    store.write(f"{stream}2", EventA(0), tags=["another"])
    place = store.write_many(f"{stream}2", [EventA(2), EventA(3)], tags=[tag], unless=found)
    assert place.version == 4
    for write in (
        partial(store.write, f"{stream}3", EventA(4), unless=found),
        partial(store.write_many, f"{stream}3", [EventA(4), EventA(5)], unless=found),
        partial(store.write, f"{stream}3", Carrying(["x"]), unless=found, expected_version=0),
    ):
        with pytest.raises(AppendConditionError, match="EventA has come at position") as caught:
            write()
        error = caught.value
        assert (error.stream, error.version, error.type) == (f"{stream}2", 3, "EventA")
        assert error.global_position == place.global_position - 1
        (third, _) = list(store.read(f"{stream}2", from_version=3))
        assert error.message_id == third.message_id
        assert "decide again" in error.__notes__[0]
    assert store.stream_version(f"{stream}3") == 0


def test_a_condition_of_an_empty_reading_is_a_condition(
    store: Store, stream: str, tag: str
) -> None:
    found = store.read_tagged([QueryItem(tags=[tag])])
    assert (list(found), len(found)) == ([], 0)
    store.write(stream, EventA(1), tags=[tag], unless=found)
    with pytest.raises(AppendConditionError):
        store.write(stream, EventA(1), tags=[tag], unless=found)


def test_the_token_is_a_text_that_may_go_elsewhere_and_back(
    store: Store, stream: str, tag: str
) -> None:
    query = [QueryItem(tags=[tag])]
    token = msgspec.json.encode(store.read_tagged(query).decided_upon)
    condition = AppendCondition(query, msgspec.json.decode(token))
    assert isinstance(condition.query, tuple)
    store.write(stream, EventA(1), tags=[tag], unless=condition)
    with pytest.raises(AppendConditionError):
        store.write(stream, EventA(1), unless=condition)


def test_conditions_and_expected_versions_are_combined(store: Store, stream: str, tag: str) -> None:
    found = store.read_tagged(QueryItem(tags=[tag]))
    with pytest.raises(OptimisticConcurrencyError):
        store.write(stream, EventA(1), expected_version=3, unless=found, tags=[tag])
    with store.transaction() as conn:
        store.write(stream, EventA(1), expected_version=0, unless=found, tags=[tag], conn=conn)
        again = store.read_tagged(QueryItem(tags=[tag]), conn=conn)
        store.write(stream, EventA(2), expected_version=1, unless=again, tags=[tag], conn=conn)
    assert len(store.read_tagged(QueryItem(tags=[tag]))) == 2


def test_a_condition_needs_read_committed_and_a_position_of_this_store(
    store: Store, stream: str, tag: str, open_connection: OpenConnection
) -> None:
    found = store.read_tagged(QueryItem(tags=[tag]))
    conn = open_connection(options="-c default_transaction_isolation=serializable")
    with pytest.raises(ReadIsolationError):
        store.read_tagged(QueryItem(tags=[tag]), conn=conn)
    with pytest.raises(ReadIsolationError):
        store.write(stream, EventA(1), unless=found, conn=conn)
    with pytest.raises(PositionBeyondEndError):
        store.read_tagged(QueryItem(tags=[tag]), after_position=10**15)
    beyond = AppendCondition(QueryItem(tags=[tag]), f"{10**15}+")
    with pytest.raises(PositionBeyondEndError):
        store.write(stream, EventA(1), unless=beyond)


def test_read_tagged_raises_for_a_type_that_the_store_does_not_know(
    store: Store, stream: str, tag: str
) -> None:
    store.raw.write(stream, RawMessage("Unknown", b"{}"), tags=[tag])
    with pytest.raises(UnknownMessageTypeError):
        store.read_tagged(QueryItem(tags=[tag]))
    assert len(store.raw.read_tagged(QueryItem(tags=[tag]))) == 1


def test_a_conditional_write_is_repeated_by_its_id_and_another_message_of_it_is_refused(
    store: Store, stream: str, tag: str
) -> None:
    """It matches its own condition: its repetition is told from another message."""
    query = QueryItem(tags=[f"course:{tag}"])
    found = store.read_tagged(query)
    message = Enrolled("7", tag)
    first = store.write(stream, message, unless=found)
    assert store.write(stream, message, unless=found) == first
    assert store.write_many(stream, [message], unless=found) == first
    with pytest.raises(MessageIdInUseError):
        store.write(stream, message, tags=["other"])


@pytest.mark.parametrize("many", [False, True])
def test_a_conditional_write_whose_answer_is_lost_is_repeated(
    open_store: OpenStore, conninfo: str, stream: str, tag: str, many: bool
) -> None:
    with Proxy.running(conninfo) as proxy:
        store = open_store(conninfo=proxy.conninfo)
        found = store.read_tagged(QueryItem(tags=[tag]))
        proxy.lose_answer_to(tag.encode())
        if many:
            messages = [EventA(1), EventA(2)]
            place = store.write_many(stream, messages, tags=[tag], unless=found)
        else:
            place = store.write(stream, EventA(1), tags=[tag], unless=found)
        assert proxy.lost == 1
        again = store.read_tagged(QueryItem(tags=[tag]))
        assert len(again) == place.version == 1 + many
        assert again.messages[-1].global_position == place.global_position
        store.write(f"{stream}2", EventA(3), tags=[tag], unless=again)
        proxy.lose_answer_to(tag.encode())
        with pytest.raises(AppendConditionError):  # the first answer was this error, too
            store.write(f"{stream}3", EventA(4), tags=[tag], unless=again)
        assert proxy.lost == 2
        store.close()


def test_of_grouped_writes_those_with_tags_or_a_condition_go_singly(
    open_store: OpenStore, stream: str, tag: str
) -> None:
    store = open_store(EventA | Enrolled, group_writes=True)
    found = store.read_tagged(QueryItem(tags=[tag]))
    with Parallel() as parallel:
        for n in range(20):
            parallel.start(
                partial(store.write, f"{stream}-{n}", EventA(n)),
                partial(store.write, f"{stream}-{n}a", EventA(n), tags=[tag], unless=found),
                partial(store.write, f"{stream}-{n}b", Enrolled(str(n), tag)),
            )
        results = parallel.results()
    lost = [each for each in results if isinstance(each, AppendConditionError)]
    assert len(lost) == 19
    assert len(store.read_tagged(QueryItem(tags=[tag]))) == 1
    assert len(store.read_tagged(QueryItem(tags=[f"course:{tag}"]))) == 20


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
        with pytest.raises(InvalidArgumentError, match=r"messages\[1\]: get_tags\(\)") as caught:
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


@pytest.mark.parametrize(
    "query",
    [None, [], "course:42", [None], [["a"]], {"tags": ["a"]}, 5, QueryItem, ["a"]],
    ids=str,
)
def test_a_wrong_query_is_refused_and_named(store: Store, query: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="query must be"):
        store.read_tagged(query)
    with pytest.raises(InvalidArgumentError, match="query must be"):
        AppendCondition(query, "0+")


def test_items_that_no_query_has_are_refused(store: Store, stream: str) -> None:
    good = QueryItem(tags=["a"])
    with pytest.raises(InvalidArgumentError, match="query must be a JSON array of 1 to 100"):
        store.read_tagged([good] * 101)
    for wrong, name in (
        ([good, QueryItem(tags=[])], '"tags"'),
        ([QueryItem(tags=["a"], types=[])], '"types"'),
    ):
        with pytest.raises(InvalidArgumentError, match=name) as caught:
            store.read_tagged(wrong)
        assert caught.value.argument == "query"
        with pytest.raises(InvalidArgumentError, match=name) as caught:
            store.write(stream, EventA(1), unless=AppendCondition(wrong, "0+"))
        assert caught.value.argument == "condition"
    for types in ("EventA", [5], [None], ["\0"], ["\ud800"], EventA):
        with pytest.raises(InvalidArgumentError, match="types"):
            QueryItem(tags=["a"], types=types)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="int"):
        store.read_tagged(QueryItem(tags=["a"], types=[int]))
    with pytest.raises(InvalidArgumentError, match="after_position"):
        store.read_tagged(good, after_position="1")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="after_position"):
        store.read_tagged(good, after_position=-1)


@pytest.mark.parametrize("token", ["", "1", "+1", "1+a", "-1+", "1+2,", "a", "1+2\n"])
def test_a_token_that_is_none_is_refused(store: Store, stream: str, token: str) -> None:
    condition = AppendCondition(QueryItem(tags=["a"]), token)
    with pytest.raises(InvalidArgumentError) as caught:
        store.write(stream, EventA(1), unless=condition)
    assert caught.value.argument == "decided_upon"


@pytest.mark.parametrize("token", [None, 5, b"0+", "0+\0", "\ud800"])
def test_what_can_be_no_token_is_refused(token: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="decided_upon"):
        AppendCondition(QueryItem(tags=["a"]), token)


@pytest.mark.parametrize("unless", [QueryItem(tags=["a"]), "0+", (), False, AppendCondition])
def test_what_is_no_condition_is_refused(store: Store, stream: str, unless: Any) -> None:
    for call in (
        partial(store.write, stream, EventA(1), unless=unless),
        partial(store.write_many, stream, [EventA(1)], unless=unless),
    ):
        with pytest.raises(InvalidArgumentError, match="unless must be an AppendCondition"):
            call()
    assert store.stream_version(stream) == 0


def test_conditions_are_values() -> None:
    item = QueryItem(tags=["a"], types=[EventA])
    assert item == QueryItem(tags=("a",), types=(EventA,))
    assert len({item, QueryItem(tags=iter(["a"]), types=iter([EventA]))}) == 1
    assert repr(QueryItem(tags=["a"])) == "QueryItem(tags=('a',))"
    assert AppendCondition(item, "0+") == AppendCondition(iter([item]), "0+")
    found = TaggedMessages[Any](item, "0+", ())
    assert isinstance(found, AppendCondition)
    assert list(found) == []
