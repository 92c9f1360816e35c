"""Queries for tagged messages, and writes on the condition that no other one has come."""

import copy
import pickle
from functools import partial
from typing import Any

import msgspec
import pytest

from pgstore import (
    AppendCondition,
    AppendConditionError,
    AsyncMessageStore,
    InvalidArgumentError,
    MessageIdInUseError,
    OptimisticConcurrencyError,
    PositionBeyondEndError,
    QueryItem,
    RawMessage,
    ReadIsolationError,
    TaggedMessages,
    UnknownMessageTypeError,
)
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client.messages import Carrying, Enrolled, EventA, EventB
from tests.client.parallel import AsyncParallel
from tests.client.proxy import Proxy

Store = AsyncMessageStore[Any]


@pytest.fixture
def tag(stream: str) -> str:
    return f"course:{stream}"


@pytest.fixture(params=[False, True], ids=["single", "grouped"])
async def store(request: pytest.FixtureRequest, open_store: OpenStore) -> Store:
    return await open_store(EventA | EventB | Enrolled | Carrying, group_writes=request.param)


async def test_a_query_looks_for_all_tags_of_any_item_and_any_type(
    store: Store, stream: str, tag: str
) -> None:
    await store.write(stream, EventA(1), tags=[tag])
    await store.write(stream, EventB("2"), tags=[tag, "other"])
    await store.write(stream, EventA(3), tags=["other", f"{tag}2"])
    await store.write(stream, EventA(4))

    async def versions(*items: QueryItem, after_position: int = 0) -> list[int]:
        found = await store.read_tagged(items, after_position=after_position)
        assert len(found) == len(found.messages)
        return [each.version for each in found]

    assert await versions(QueryItem(tags=[tag])) == [1, 2]
    assert await versions(QueryItem(tags=[tag, "other"])) == [2]
    assert await versions(QueryItem(tags={tag}, types=[EventA])) == [1]
    assert await versions(QueryItem(tags=[tag], types=["EventB", Enrolled])) == [2]
    both = [QueryItem(tags=[f"{tag}2"]), QueryItem(tags=[tag, "other"]), QueryItem(tags=[tag])]
    assert await versions(*both) == [1, 2, 3]
    (first,) = await store.read_tagged(QueryItem(tags=[tag], types=[EventA]))
    assert await versions(*both, after_position=first.global_position) == [2, 3]
    assert await versions(QueryItem(tags=[f"no{tag}"])) == []


async def test_a_class_stands_for_all_its_names(open_store: OpenStore, stream: str) -> None:
    store = await open_store({"New": EventA, "Older": EventA})
    await store.raw.write(stream, RawMessage("Older", b'{"num": 1}'), tags=[stream])
    found = await store.read_tagged(QueryItem(tags=[stream], types=[EventA]))
    assert found.query == (QueryItem(tags=[stream], types=["New", "Older"]),)
    assert len(found) == 1
    await store.raw.write(stream, RawMessage("Older", b'{"num": 2}'), tags=[stream])
    with pytest.raises(AppendConditionError):
        await store.raw.write(stream, RawMessage("New", b"{}"), unless=found)
    condition = AppendCondition(QueryItem(tags=[stream], types=[EventA]), found.decided_upon)
    with pytest.raises(AppendConditionError):
        await store.write_many(stream, [EventA(3)], unless=condition)


async def test_a_write_is_refused_if_a_message_has_come_since_the_decision(
    store: Store, stream: str, tag: str
) -> None:
    await store.write(stream, EventA(1), tags=[tag])
    found = await store.read_tagged(QueryItem(tags=[tag], types=[EventA]))
    assert [each.message for each in found] == [EventA(1)]
    await store.write(f"{stream}2", EventB("another type"), tags=[tag])
    await store.write(f"{stream}2", EventA(0), tags=["another"])
    place = await store.write_many(f"{stream}2", [EventA(2), EventA(3)], tags=[tag], unless=found)
    assert place.version == 4
    for write in (
        partial(store.write, f"{stream}3", EventA(4), unless=found),
        partial(store.write_many, f"{stream}3", [EventA(4), EventA(5)], unless=found),
        partial(store.write, f"{stream}3", Carrying(["x"]), unless=found, expected_version=0),
    ):
        with pytest.raises(AppendConditionError, match="EventA has come at position") as caught:
            await write()
        error = caught.value
        assert (error.stream, error.version, error.type) == (f"{stream}2", 3, "EventA")
        assert error.global_position == place.global_position - 1
        (third, _) = [each async for each in store.read(f"{stream}2", from_version=3)]
        assert error.message_id == third.message_id
        assert "decide again" in error.__notes__[0]
    assert await store.stream_version(f"{stream}3") == 0


async def test_a_condition_of_an_empty_reading_is_a_condition(
    store: Store, stream: str, tag: str
) -> None:
    found = await store.read_tagged([QueryItem(tags=[tag])])
    assert (list(found), len(found)) == ([], 0)
    await store.write(stream, EventA(1), tags=[tag], unless=found)
    with pytest.raises(AppendConditionError):
        await store.write(stream, EventA(1), tags=[tag], unless=found)


async def test_the_token_is_a_text_that_may_go_elsewhere_and_back(
    store: Store, stream: str, tag: str
) -> None:
    query = [QueryItem(tags=[tag])]
    found = await store.read_tagged(query)
    made = AppendCondition(query, found.decided_upon)
    assert made.query[0].tags[0] == tag
    assert msgspec.json.encode(made.query) == f'[{{"tags":["{tag}"]}}]'.encode()  # as SQL has it
    sent = msgspec.json.decode(msgspec.json.encode(made), type=AppendCondition)
    pickled = pickle.loads(pickle.dumps(found))
    assert made == sent == AppendCondition(pickled.query, pickled.decided_upon)
    await store.write(stream, EventA(1), tags=[tag], unless=pickled)
    for condition in (made, sent, pickled, copy.deepcopy(found)):
        with pytest.raises(AppendConditionError):
            await store.write(stream, EventA(1), unless=condition)


async def test_conditions_and_expected_versions_are_combined(
    store: Store, stream: str, tag: str
) -> None:
    found = await store.read_tagged(QueryItem(tags=[tag]))
    with pytest.raises(OptimisticConcurrencyError):
        await store.write(stream, EventA(1), expected_version=3, unless=found, tags=[tag])
    async with store.transaction() as conn:
        await store.write(
            stream, EventA(1), expected_version=0, unless=found, tags=[tag], conn=conn
        )
        again = await store.read_tagged(QueryItem(tags=[tag]), conn=conn)
        await store.write(
            stream, EventA(2), expected_version=1, unless=again, tags=[tag], conn=conn
        )
    assert len(await store.read_tagged(QueryItem(tags=[tag]))) == 2


async def test_a_condition_needs_read_committed_and_a_position_of_this_store(
    store: Store, stream: str, tag: str, open_connection: OpenConnection
) -> None:
    found = await store.read_tagged(QueryItem(tags=[tag]))
    conn = await open_connection(options="-c default_transaction_isolation=serializable")
    with pytest.raises(ReadIsolationError):
        await store.read_tagged(QueryItem(tags=[tag]), conn=conn)
    with pytest.raises(ReadIsolationError):
        await store.write(stream, EventA(1), unless=found, conn=conn)
    with pytest.raises(PositionBeyondEndError):
        await store.read_tagged(QueryItem(tags=[tag]), after_position=10**15)
    beyond = AppendCondition(QueryItem(tags=[tag]), f"{10**15}+")
    with pytest.raises(PositionBeyondEndError):
        await store.write(stream, EventA(1), unless=beyond)


async def test_read_tagged_raises_for_a_type_that_the_store_does_not_know(
    store: Store, stream: str, tag: str
) -> None:
    await store.raw.write(stream, RawMessage("Unknown", b"{}"), tags=[tag])
    with pytest.raises(UnknownMessageTypeError):
        await store.read_tagged(QueryItem(tags=[tag]))
    assert len(await store.raw.read_tagged(QueryItem(tags=[tag]))) == 1


async def test_a_conditional_write_is_repeated_by_its_id_and_another_message_of_it_is_refused(
    store: Store, stream: str, tag: str
) -> None:
    """It matches its own condition: its repetition is told from another message."""
    query = QueryItem(tags=[f"course:{tag}"])
    found = await store.read_tagged(query)
    message = Enrolled("7", tag)
    first = await store.write(stream, message, unless=found)
    assert await store.write(stream, message, unless=found) == first
    assert await store.write_many(stream, [message], unless=found) == first
    with pytest.raises(MessageIdInUseError):
        await store.write(stream, message, tags=["other"])


@pytest.mark.parametrize("many", [False, True])
async def test_a_conditional_write_whose_answer_is_lost_is_repeated(
    open_store: OpenStore, conninfo: str, stream: str, tag: str, many: bool
) -> None:
    with Proxy.running(conninfo) as proxy:
        store = await open_store(conninfo=proxy.conninfo)
        found = await store.read_tagged(QueryItem(tags=[tag]))
        proxy.lose_answer_to(tag.encode())
        if many:
            messages = [EventA(1), EventA(2)]
            place = await store.write_many(stream, messages, tags=[tag], unless=found)
        else:
            place = await store.write(stream, EventA(1), tags=[tag], unless=found)
        assert proxy.lost == 1
        again = await store.read_tagged(QueryItem(tags=[tag]))
        assert len(again) == place.version == 1 + many
        assert again.messages[-1].global_position == place.global_position
        await store.write(f"{stream}2", EventA(3), tags=[tag], unless=again)
        proxy.lose_answer_to(tag.encode())
        with pytest.raises(AppendConditionError):  # the first answer was this error, too
            await store.write(f"{stream}3", EventA(4), tags=[tag], unless=again)
        assert proxy.lost == 2
        await store.aclose()


async def test_of_grouped_writes_those_with_tags_or_a_condition_go_singly(
    open_store: OpenStore, stream: str, tag: str
) -> None:
    store = await open_store(EventA | Enrolled, group_writes=True)
    found = await store.read_tagged(QueryItem(tags=[tag]))
    async with AsyncParallel() as parallel:
        for n in range(20):
            await parallel.start(
                partial(store.write, f"{stream}-{n}", EventA(n)),
                partial(store.write, f"{stream}-{n}a", EventA(n), tags=[tag], unless=found),
                partial(store.write, f"{stream}-{n}b", Enrolled(str(n), tag)),
            )
        results = await parallel.results()
    lost = [each for each in results if isinstance(each, AppendConditionError)]
    assert len(lost) == 19
    assert len(await store.read_tagged(QueryItem(tags=[tag]))) == 1
    assert len(await store.read_tagged(QueryItem(tags=[f"course:{tag}"]))) == 20


@pytest.mark.parametrize(
    "query",
    [
        None,
        [],
        "course:42",
        [None],
        [["a"]],
        {"tags": ["a"]},
        [{"tags": ["a"]}],
        5,
        QueryItem,
        ["a"],
    ],
    ids=str,
)
async def test_a_wrong_query_is_refused_and_named(store: Store, query: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="query must be"):
        await store.read_tagged(query)
    with pytest.raises(InvalidArgumentError, match="query must be"):
        AppendCondition(query, "0+")


async def test_a_mapping_for_a_query_is_shown_as_a_whole(store: Store) -> None:
    for query in ({"tags": ["a"]}, [{"tags": ["a"]}]):
        with pytest.raises(InvalidArgumentError, match=r"not \{'tags': \['a'\]\}"):
            await store.read_tagged(query)  # type: ignore[arg-type]


async def test_items_that_no_query_has_are_refused(store: Store, stream: str) -> None:
    good = QueryItem(tags=["a"])
    with pytest.raises(InvalidArgumentError, match="query must be a JSON array of 1 to 100"):
        await store.read_tagged([good] * 101)
    for wrong, name in (
        ([good, QueryItem(tags=[])], '"tags"'),
        ([QueryItem(tags=["a"], types=[])], '"types"'),
    ):
        with pytest.raises(InvalidArgumentError, match=name) as caught:
            await store.read_tagged(wrong)
        assert caught.value.argument == "query"
        with pytest.raises(InvalidArgumentError, match=name) as caught:
            await store.write(stream, EventA(1), unless=AppendCondition(wrong, "0+"))
        assert caught.value.argument == "condition"
    for types in ("EventA", [5], [None], ["\0"], ["\ud800"], EventA, {"EventA": EventA}):
        with pytest.raises(InvalidArgumentError, match="types"):
            QueryItem(tags=["a"], types=types)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="int"):
        await store.read_tagged(QueryItem(tags=["a"], types=[int]))
    with pytest.raises(InvalidArgumentError, match="after_position"):
        await store.read_tagged(good, after_position="1")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="after_position"):
        await store.read_tagged(good, after_position=-1)


@pytest.mark.parametrize("token", ["", "1", "+1", "1+a", "-1+", "1+2,", "a", "1+2\n"])
async def test_a_token_that_is_none_is_refused(store: Store, stream: str, token: str) -> None:
    condition = AppendCondition(QueryItem(tags=["a"]), token)
    with pytest.raises(InvalidArgumentError) as caught:
        await store.write(stream, EventA(1), unless=condition)
    assert caught.value.argument == "decided_upon"


@pytest.mark.parametrize("token", [None, 5, b"0+", "0+\0", "\ud800"])
def test_what_can_be_no_token_is_refused(token: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="decided_upon"):
        AppendCondition(QueryItem(tags=["a"]), token)


@pytest.mark.parametrize("unless", [QueryItem(tags=["a"]), "0+", (), False, AppendCondition])
async def test_what_is_no_condition_is_refused(store: Store, stream: str, unless: Any) -> None:
    for call in (
        partial(store.write, stream, EventA(1), unless=unless),
        partial(store.write_many, stream, [EventA(1)], unless=unless),
    ):
        with pytest.raises(InvalidArgumentError, match="unless must be an AppendCondition"):
            await call()
    assert await store.stream_version(stream) == 0


def test_conditions_are_values() -> None:
    item = QueryItem(tags=["a"], types=[EventA])
    assert item == QueryItem(tags=("a",), types=(EventA,))
    assert len({item, QueryItem(tags=iter(["a"]), types=iter([EventA]))}) == 1
    assert repr(QueryItem(tags=["a"])) == "QueryItem(tags=('a',))"
    assert AppendCondition(item, "0+") == AppendCondition(iter([item]), "0+")
    found = TaggedMessages[Any]((item,), "0+", ())
    assert isinstance(found, AppendCondition)
    assert list(found) == []
