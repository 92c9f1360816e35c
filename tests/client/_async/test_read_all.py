"""Reading across streams."""

from typing import Any

import psycopg
import pytest

from pgstore import AsyncMessageStore, InvalidArgumentError, ReadIsolationError
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client.messages import EventA, EventB

Store = AsyncMessageStore[Any]


async def numbers(messages: Any) -> list[int]:
    return [stored.message.num async for stored in messages]


async def test_safe_position_is_that_of_the_last_message(store: Store, stream: str) -> None:
    position = await store.write(stream, EventA(1))
    assert await store.safe_position() == position.global_position


async def test_safe_position_stays_before_what_is_in_flight(
    store: Store, open_connection: OpenConnection, stream: str
) -> None:
    conn = await open_connection(autocommit=False)
    in_flight = await store.write(f"{stream}-1", EventA(1), conn=conn)
    after = await store.write(stream, EventA(2))
    start = in_flight.global_position - 1
    assert await store.safe_position() <= start
    assert await numbers(store.read_all(after_position=start)) == []
    await conn.commit()
    assert await store.safe_position() == after.global_position
    assert await numbers(store.read_all(after_position=start)) == [1, 2]


async def test_read_all_is_in_global_order_across_streams(store: Store, category: str) -> None:
    start = await store.safe_position()
    for number in range(6):
        await store.write(f"{category}-{number % 2}", EventA(number))
    await store.write(category, EventB("x"))
    found = [stored async for stored in store.read_all(after_position=start)]
    assert [getattr(stored.message, "num", None) for stored in found] == [0, 1, 2, 3, 4, 5, None]
    assert found == sorted(found, key=lambda stored: stored.global_position)
    last = found[-1].global_position
    assert [stored async for stored in store.read_all(after_position=last)] == []


@pytest.mark.parametrize(
    "max_count", [0, 1, 99, 100, 101, 1099, 1100, 1101, 1149, 1150, 1151, None]
)
async def test_read_category_limits_at_page_borders(
    store: Store, long_stream: str, max_count: int | None
) -> None:
    wanted = list(range(1, 1151))[:max_count]
    assert await numbers(store.read_category("long", max_count=max_count)) == wanted


async def test_read_all_continues_after_any_position(store: Store, long_stream: str) -> None:
    seen: list[int] = []
    after = 0
    while True:
        messages = store.read_category("long", after_position=after, max_count=333)
        page = [stored async for stored in messages]
        if not page:
            break
        seen += [stored.message.num for stored in page]
        after = page[-1].global_position
    assert seen == list(range(1, 1151))


async def test_read_all_is_lazy(store: Store, category: str) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(100)])
    messages = store.read_category(category)
    assert (await anext(messages)).message == EventA(0)
    await store.write_many(f"{category}-1", [EventA(100), EventA(101)])
    assert await numbers(messages) == list(range(1, 102))


async def test_filters_leave_out_the_rest(store: Store, category: str) -> None:
    other = f"{category}other"
    start = await store.safe_position()
    await store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)])
    await store.write(f"{other}-1", EventA(3))
    await store.write(f"{category}-2", EventA(4))

    async def read(**filters: Any) -> list[int]:
        return await numbers(store.read_all(after_position=start, **filters))

    assert await read(types=["EventA"]) == [1, 2, 3, 4]
    assert await read(types=[EventA]) == [1, 2, 3, 4]
    assert await read(types=[EventA], categories=[category]) == [1, 2, 4]
    assert await read(types=[EventA], categories=[category, other]) == [1, 2, 3, 4]
    assert await read(types=[EventA], stream_pattern="%-1") == [1, 2, 3]
    assert await numbers(store.read_category(category, types=[EventA])) == [1, 2, 4]
    assert await numbers(store.read_category(category, types=["Other"])) == []


async def test_a_class_stands_for_all_its_names(
    open_store: OpenStore, store: Store, category: str
) -> None:
    renamed = await open_store({"Counted": EventA, "EventA": EventA, "EventB": EventB})
    await store.write(f"{category}-1", EventA(1))
    await renamed.write(f"{category}-1", EventA(2))
    assert await numbers(renamed.read_category(category, types=[EventA])) == [1, 2]
    assert await numbers(renamed.read_category(category, types=["EventA"])) == [1]
    assert await numbers(renamed.read_category(category, types=["Counted"])) == [2]


@pytest.mark.parametrize("by", ["stream", "cardinal_id", "metadata:tenant"])
async def test_partitions_share_everything_out(store: Store, category: str, by: str) -> None:
    for number in range(24):
        stream = f"{category}-{number % 8}+{number % 3}"
        await store.write(stream, EventA(number), metadata={"tenant": str(number % 8)})
    shares = [
        await numbers(store.read_category(category, partition=share, partitions=3, partition_by=by))
        for share in range(3)
    ]
    assert sorted(number for share in shares for number in share) == list(range(24))
    assert max(map(len, shares)) < 24
    if by != "stream":
        homes = [{number % 8 for number in share} for share in shares]
        assert sum(map(len, homes)) == 8  # what belongs together is in one share


async def test_arguments_that_make_no_sense_are_refused(store: Store) -> None:
    wrong: list[dict[str, Any]] = [
        {"after_position": -1},
        {"max_count": -1},
        {"partition": (3, 3)},
        {"partition": (0, 0)},
        {"partition": (0, 2), "partition_by": "moon"},
        {"types": [int]},
        {"types": "EventA"},
        {"categories": "account"},
    ]
    for arguments in wrong:
        with pytest.raises(InvalidArgumentError):
            await numbers(store.read_all(**arguments))


async def test_read_all_on_a_connection_of_the_callers(
    store: Store, open_connection: OpenConnection, category: str
) -> None:
    conn = await open_connection(autocommit=False)
    await store.write(f"{category}-1", EventA(1))
    assert await numbers(store.read_category(category, conn=conn)) == [1]
    await store.write(f"{category}-1", EventA(2))
    assert await numbers(store.read_category(category, conn=conn)) == [1, 2]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_an_older_snapshot_is_refused(
    store: Store, open_connection: OpenConnection, level: str
) -> None:
    conn = await open_connection(autocommit=False)
    await conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    with pytest.raises(ReadIsolationError) as caught:
        await numbers(store.read_all(conn=conn))
    assert caught.value.sqlstate == "MS004"
    assert conn.info.transaction_status is psycopg.pq.TransactionStatus.INERROR


async def test_the_raw_store_reads_types_that_are_unknown(
    open_store: OpenStore, store: Store, category: str
) -> None:
    await store.write(f"{category}-1", EventB("x"))
    narrow = await open_store(EventA)
    found = [stored.message.type async for stored in narrow.raw.read_category(category)]
    assert found == ["EventB"]
