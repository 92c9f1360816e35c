# Generated from tests/client/_async/test_read_all.py by `python tools/unasync.py`.

"""Reading across streams."""

from typing import Any

import psycopg
import pytest

from pgstore import InvalidArgumentError, MessageStore, ReadIsolationError
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client.messages import EventA, EventB

Store = MessageStore[Any]


def numbers(messages: Any) -> list[int]:
    return [stored.message.num for stored in messages]


def test_safe_position_is_that_of_the_last_message(store: Store, stream: str) -> None:
    position = store.write(stream, EventA(1))
    assert store.safe_position() == position.global_position


def test_safe_position_stays_before_what_is_in_flight(
    store: Store, open_connection: OpenConnection, stream: str
) -> None:
    conn = open_connection(autocommit=False)
    in_flight = store.write(f"{stream}-1", EventA(1), conn=conn)
    after = store.write(stream, EventA(2))
    start = in_flight.global_position - 1
    assert store.safe_position() <= start
    assert numbers(store.read_all(after_position=start)) == []
    conn.commit()
    assert store.safe_position() == after.global_position
    assert numbers(store.read_all(after_position=start)) == [1, 2]


def test_read_all_is_in_global_order_across_streams(store: Store, category: str) -> None:
    start = store.safe_position()
    for number in range(6):
        store.write(f"{category}-{number % 2}", EventA(number))
    store.write(category, EventB("x"))
    found = list(store.read_all(after_position=start))
    assert [getattr(stored.message, "num", None) for stored in found] == [0, 1, 2, 3, 4, 5, None]
    assert found == sorted(found, key=lambda stored: stored.global_position)
    last = found[-1].global_position
    assert list(store.read_all(after_position=last)) == []


@pytest.mark.parametrize(
    "max_count", [0, 1, 99, 100, 101, 1099, 1100, 1101, 1149, 1150, 1151, None]
)
def test_read_category_limits_at_page_borders(
    store: Store, long_stream: str, max_count: int | None
) -> None:
    wanted = list(range(1, 1151))[:max_count]
    assert numbers(store.read_category("long", max_count=max_count)) == wanted


def test_read_all_continues_after_any_position(store: Store, long_stream: str) -> None:
    seen: list[int] = []
    after = 0
    while True:
        messages = store.read_category("long", after_position=after, max_count=333)
        page = list(messages)
        if not page:
            break
        seen += [stored.message.num for stored in page]
        after = page[-1].global_position
    assert seen == list(range(1, 1151))


def test_read_all_is_lazy(store: Store, category: str) -> None:
    store.write_many(f"{category}-1", [EventA(number) for number in range(100)])
    messages = store.read_category(category)
    assert next(messages).message == EventA(0)
    store.write_many(f"{category}-1", [EventA(100), EventA(101)])
    assert numbers(messages) == list(range(1, 102))


def test_filters_leave_out_the_rest(store: Store, category: str) -> None:
    other = f"{category}other"
    start = store.safe_position()
    store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)])
    store.write(f"{other}-1", EventA(3))
    store.write(f"{category}-2", EventA(4))

    def read(**filters: Any) -> list[int]:
        return numbers(store.read_all(after_position=start, **filters))

    assert read(types=["EventA"]) == [1, 2, 3, 4]
    assert read(types=[EventA]) == [1, 2, 3, 4]
    assert read(types=[EventA], categories=[category]) == [1, 2, 4]
    assert read(types=[EventA], categories=[category, other]) == [1, 2, 3, 4]
    assert read(types=[EventA], stream_pattern="%-1") == [1, 2, 3]
    assert numbers(store.read_category(category, types=[EventA])) == [1, 2, 4]
    assert numbers(store.read_category(category, types=["Other"])) == []


def test_a_class_stands_for_all_its_names(
    open_store: OpenStore, store: Store, category: str
) -> None:
    renamed = open_store({"Counted": EventA, "EventA": EventA, "EventB": EventB})
    store.write(f"{category}-1", EventA(1))
    renamed.write(f"{category}-1", EventA(2))
    assert numbers(renamed.read_category(category, types=[EventA])) == [1, 2]
    assert numbers(renamed.read_category(category, types=["EventA"])) == [1]
    assert numbers(renamed.read_category(category, types=["Counted"])) == [2]


@pytest.mark.parametrize("by", ["stream", "cardinal_id", "metadata:tenant"])
def test_partitions_share_everything_out(store: Store, category: str, by: str) -> None:
    for number in range(24):
        stream = f"{category}-{number % 8}+{number % 3}"
        store.write(stream, EventA(number), metadata={"tenant": str(number % 8)})
    shares = [
        numbers(store.read_category(category, partition=share, partitions=3, partition_by=by))
        for share in range(3)
    ]
    assert sorted(number for share in shares for number in share) == list(range(24))
    assert max(map(len, shares)) < 24
    if by != "stream":
        homes = [{number % 8 for number in share} for share in shares]
        assert sum(map(len, homes)) == 8  # what belongs together is in one share


def test_arguments_that_make_no_sense_are_refused(store: Store) -> None:
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
            numbers(store.read_all(**arguments))


def test_read_all_on_a_connection_of_the_callers(
    store: Store, open_connection: OpenConnection, category: str
) -> None:
    conn = open_connection(autocommit=False)
    store.write(f"{category}-1", EventA(1))
    assert numbers(store.read_category(category, conn=conn)) == [1]
    store.write(f"{category}-1", EventA(2))
    assert numbers(store.read_category(category, conn=conn)) == [1, 2]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_older_snapshot_is_refused(
    store: Store, open_connection: OpenConnection, level: str
) -> None:
    conn = open_connection(autocommit=False)
    conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    with pytest.raises(ReadIsolationError) as caught:
        numbers(store.read_all(conn=conn))
    assert caught.value.sqlstate == "MS004"
    assert conn.info.transaction_status is psycopg.pq.TransactionStatus.INERROR


def test_the_raw_store_reads_types_that_are_unknown(
    open_store: OpenStore, store: Store, category: str
) -> None:
    store.write(f"{category}-1", EventB("x"))
    narrow = open_store(EventA)
    found = [stored.message.type for stored in narrow.raw.read_category(category)]
    assert found == ["EventB"]
