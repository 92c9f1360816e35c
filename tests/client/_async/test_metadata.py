"""Reads and subscriptions that choose messages by their metadata, and correlation ids."""

from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from pgstore import AsyncMessageStore, InvalidArgumentError, SubscriptionExistsError
from tests.client._async.conftest import OpenConnection
from tests.client.messages import EventA

Store = AsyncMessageStore[Any]

# More than two windows of the server.
MANY = 25_000


async def numbers(messages: Any) -> list[int]:
    return [stored.message.num async for stored in messages]


@pytest.fixture
async def sparse(
    store: Store, category: str, shared: str, open_connection: OpenConnection
) -> dict[str, Any]:
    """A category in which every ten thousandth message is of tenant a; options to read it."""
    conn = await open_connection()
    ((start,),) = await (await conn.execute(f"SELECT {shared}.safe_position()".encode())).fetchall()
    await conn.execute(
        f"SELECT {shared}.write_arrays(%s, array_agg('EventA'::text),"
        " array_agg(jsonb_build_object('num', n) ORDER BY n), array_agg(jsonb_build_object("
        "'tenant', CASE WHEN n %% 10000 = 1 THEN 'a' ELSE 'b' END) ORDER BY n))"
        " FROM generate_series(0, %s) AS n".encode(),
        (f"{category}-1", MANY - 1),
    )
    return {"after_position": start, "category": category, "metadata": {"tenant": "a"}}


async def test_read_all_goes_on_where_a_window_has_nothing(
    store: Store, sparse: dict[str, Any]
) -> None:
    assert await numbers(store.read_all(**sparse)) == [1, 10_001, 20_001]
    assert await numbers(store.read_all(**sparse, max_count=2)) == [1, 10_001]
    sparse["metadata"] = {"tenant": "none"}
    assert await numbers(store.read_all(**sparse)) == []
    sparse["metadata"] = {"tenant": "b"}
    assert len(await numbers(store.read_all(**sparse))) == MANY - 3


async def test_read_category_by_metadata_up_to_a_position(
    store: Store, sparse: dict[str, Any], category: str
) -> None:
    del sparse["category"]
    position = sparse["after_position"] + 10_002
    assert await numbers(store.read_category(category, **sparse, up_to_position=position)) == [
        1,
        10_001,
    ]
    assert await numbers(store.read_category(category, **sparse, up_to_position=position - 1)) == [
        1
    ]


async def test_follow_by_metadata_looks_to_the_end_before_it_waits(
    store: Store, sparse: dict[str, Any], category: str
) -> None:
    follower = store.follow(**sparse, timeout=0)
    assert await numbers(follower) == [1, 10_001, 20_001]
    assert follower.position >= sparse["after_position"] + MANY
    await store.write(f"{category}-2", EventA(1), metadata={"tenant": "b"})
    last = await store.write(f"{category}-2", EventA(2), metadata={"tenant": "a", "more": 1})
    assert await numbers(follower) == [2]
    assert follower.position == last.global_position


@pytest.mark.parametrize("partitions", [1, 3])
async def test_subscription_by_metadata(
    store: Store, sparse: dict[str, Any], category: str, partitions: int
) -> None:
    options: dict[str, Any] = {
        "category": category,
        "metadata": {"tenant": "a"},
        "partitions": partitions,
        "start": sparse["after_position"],
    }
    name = str(uuid4())
    subscription = store.subscription(name, **options)
    handled: list[int] = []

    @subscription.handler
    async def handle(message: EventA) -> None:
        handled.append(message.num)

    assert await store.run_once(subscription) == 3
    assert handled == [1, 10_001, 20_001]
    assert await subscription.position() >= sparse["after_position"] + MANY
    await store.subscription(name, **options).create()
    with pytest.raises(SubscriptionExistsError):
        await store.subscription(name, **options | {"metadata": {"tenant": "b"}}).create()
    with pytest.raises(SubscriptionExistsError):
        await store.subscription(name, **options | {"metadata": None}).create()


async def test_a_filter_that_is_no_object_is_refused(store: Store) -> None:
    wrong: Any
    for wrong in (["a"], "a", 7):
        for call in (store.read_all, store.follow, partial(store.subscription, str(uuid4()))):
            with pytest.raises(InvalidArgumentError, match="metadata must be a mapping"):
                call(metadata=wrong)


async def test_read_correlated_in_pages(store: Store, stream: str) -> None:
    correlation_id = f"request {uuid4()}"
    events = [EventA(number) for number in range(1150)]
    await store.write_many(stream, events, metadata={"correlation_id": correlation_id})
    await store.write_many(f"{stream}-2", events, metadata={"correlation_id": "another"})
    wanted = list(range(1150))
    assert await numbers(store.read_correlated(correlation_id)) == wanted
    for count in (0, 1, 99, 100, 101, 1100, 1150, 2000):
        read = store.read_correlated(correlation_id, max_count=count)
        assert await numbers(read) == wanted[:count]
    assert await numbers(store.read_correlated("none")) == []


async def test_read_correlated_sees_what_its_transaction_has_written(
    store: Store, stream: str
) -> None:
    correlation_id = f"request {uuid4()}"
    async with store.transaction() as conn:
        metadata = {"correlation_id": correlation_id}
        await store.write(stream, EventA(1), metadata=metadata, conn=conn)
        assert await numbers(store.read_correlated(correlation_id, conn=conn)) == [1]
        assert await numbers(store.read_correlated(correlation_id)) == []


async def test_read_correlated_refuses_wrong_arguments(store: Store) -> None:
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (None, {}),
        (7, {}),
        ("", {}),
        ("x" * 256, {}),
        ("x", {"max_count": -1}),
    ]
    for correlation_id, named in wrong:
        with pytest.raises(InvalidArgumentError):
            await numbers(store.read_correlated(correlation_id, **named))
