"""read_all and read_category: order, filters, shares, and where they stop."""

from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import COLUMNS, Store
from tests.stores import Stores

STREAMS = [
    "account-1",
    "account-2+a",
    "account-2+b",
    "account_x-1",
    "accountax-1",
    "order-1",
    "order",
    "100%-1",
    "back\\slash-1",
    "-1",
]
TYPES = ["A", "B", "C"]
# Positions begin with 11: number n of these messages has 10 + n.
MESSAGES = [
    (stream, TYPES[n % 3], {"tenant": n % 4} if n % 5 else None)
    for n, stream in enumerate(STREAMS * 4)
]
FIRST = 11


@pytest.fixture(scope="module")
def filled(server_conninfo: str, stores: Stores) -> Iterator[Store]:
    """A store with a few messages, which tests only read."""
    with stores.taken() as name, psycopg.connect(server_conninfo, autocommit=True) as conn:
        store = Store(conn, name)
        store.query("SELECT setval('STORE.global_position_seq', %s)", [FIRST - 1])
        for n, (stream, type_, metadata) in enumerate(MESSAGES):
            tenant = None if metadata is None else f'{{"tenant": {metadata["tenant"]}}}'
            assert store.write(stream, type_, str(n), tenant)[1] == FIRST + n
        yield store


def found(store: Store, *given: Any, **named: Any) -> list[int]:
    """Numbers of the messages that read_all answers."""
    return [row[3] - FIRST for row in store.call("read_all", *given, **named)]


def expected(
    types: list[str] | None = None,
    categories: list[str] | None = None,
    streams: list[str] | None = None,
) -> list[int]:
    return [
        n
        for n, (stream, type_, _) in enumerate(MESSAGES)
        if (types is None or type_ in types)
        and (categories is None or stream.partition("-")[0] in categories)
        and (streams is None or stream in streams)
    ]


EVERYTHING = list(range(len(MESSAGES)))


def test_read_all_answers_messages_in_global_order(filled: Store) -> None:
    cursor = filled.query("SELECT * FROM STORE.read_all()")
    assert [column.name for column in cursor.description or ()] == COLUMNS
    rows = cursor.fetchall()
    assert [(row[1], *row[3:7]) for row in rows] == [
        (stream, FIRST + n, type_, n, metadata)
        for n, (stream, type_, metadata) in enumerate(MESSAGES)
    ]
    stored = filled.query("SELECT * FROM STORE.all_messages AS a ORDER BY a.global_position")
    assert rows == stored.fetchall()


def test_read_all_begins_after_a_position(filled: Store) -> None:
    last = FIRST + EVERYTHING[-1]
    for after, numbers in [
        (0, EVERYTHING),
        (FIRST - 1, EVERYTHING),
        (FIRST, EVERYTHING[1:]),
        (last - 1, EVERYTHING[-1:]),
        (last, []),
    ]:
        assert found(filled, after) == numbers


@pytest.mark.parametrize("beyond", [1, 2**31, 2**63 - 1 - FIRST - EVERYTHING[-1]])
def test_reads_refuse_a_position_beyond_the_last_one(filled: Store, beyond: int) -> None:
    """A reader that is there has seen another history, and would skip what is written next."""
    last = FIRST + EVERYTHING[-1]
    calls: list[tuple[object, ...]] = [("read_all",), ("read_category", "account"), ("read_page",)]
    for function, *given in calls:
        with filled.refused("MS006", position=last + beyond, last_position=last):
            filled.call(str(function), *given, after_position=last + beyond)
        assert filled.call(str(function), *given, after_position=last)[:-1] == []


@pytest.mark.parametrize("max_count", [0, 1, 7, 40, 41, 2**63 - 1])
def test_read_all_ends_after_max_count(filled: Store, max_count: int) -> None:
    assert found(filled, 0, max_count) == EVERYTHING[:max_count]
    assert (
        found(filled, categories=["account", "order"], max_count=max_count)
        == (expected(categories=["account", "order"])[:max_count])
    )


def test_read_all_up_to_a_position(filled: Store) -> None:
    for up_to, count in [(0, 0), (FIRST - 1, 0), (FIRST, 1), (FIRST + 9, 10), (2**63 - 1, 40)]:
        assert found(filled, up_to_position=up_to) == EVERYTHING[:count]
        assert found(filled, up_to_position=up_to, categories=["order"]) == [
            n for n in expected(categories=["order"]) if n < count
        ]
    assert found(filled, FIRST + 9, up_to_position=FIRST + 4) == []


@pytest.mark.parametrize("types", [None, [], ["A"], ["A", "C"], ["none"], ["A", "A"], [None, "B"]])
@pytest.mark.parametrize(
    "categories",
    [None, [], ["account"], ["order", "account"], ["order", "order"], ["none"], [""], [None]],
)
def test_read_all_of_types_and_categories(
    filled: Store, types: list[str] | None, categories: list[str] | None
) -> None:
    wanted = expected(types, categories)
    assert found(filled, types=types, categories=categories) == wanted
    assert found(filled, 0, 3, types, categories) == wanted[:3]
    if wanted:
        assert found(filled, FIRST + wanted[0], 2, types, categories) == wanted[1:3]


@pytest.mark.parametrize(
    ("pattern", "streams"),
    [
        ("%", STREAMS),
        ("account-%", ["account-1", "account-2+a", "account-2+b"]),
        ("account_x-1", ["account_x-1", "accountax-1"]),
        ("account\\_x-1", ["account_x-1"]),
        ("100\\%-1", ["100%-1"]),
        ("back\\\\slash-_", ["back\\slash-1"]),
        ("order", ["order"]),
        ("ORDER", []),
        ("", []),
    ],
)
def test_read_all_of_streams_by_pattern(filled: Store, pattern: str, streams: list[str]) -> None:
    assert found(filled, stream_pattern=pattern) == expected(streams=streams)
    categories = ["account", "order", "account_x", "accountax", "100%", "back\\slash", ""]
    assert found(filled, stream_pattern=pattern, categories=categories) == expected(
        categories=categories, streams=streams
    )
    assert found(filled, stream_pattern=pattern, types=["B"]) == expected(["B"], None, streams)


@pytest.mark.parametrize("category", ["account", "order", "", "none", "100%", "back\\slash"])
def test_read_category_reads_one_category(filled: Store, category: str) -> None:
    def read(*given: Any, **named: Any) -> list[int]:
        return [row[3] - FIRST for row in filled.call("read_category", *given, **named)]

    wanted = expected(categories=[category])
    assert read(category) == wanted
    assert read(category, FIRST + 5, 2) == [n for n in wanted if n > 5][:2]
    assert read(category, types=["A", "B"]) == expected(["A", "B"], [category])
    assert read(category, stream_pattern="%-1", up_to_position=FIRST + 20) == [
        n for n in wanted if MESSAGES[n][0].endswith("-1") and n <= 20
    ]


def test_read_category_tells_categories_of_one_key_apart(store: Store) -> None:
    """Two categories may have the same key; 64 bits are too many to find such a pair."""
    one, other = f"one{uuid4().hex}", f"other{uuid4().hex}"
    store.write(f"{one}-1")
    store.write(f"{other}-1")
    for table in ("streams", "messages"):
        store.query(
            f"UPDATE STORE.{table} SET category_key = STORE._category_key(%s)"
            " WHERE category_key = STORE._category_key(%s)",
            [one, other],
        )
    assert [row[1] for row in store.call("read_category", one)] == [f"{one}-1"]
    assert [row[1] for row in store.call("read_all", categories=[one])] == [f"{one}-1"]


@pytest.mark.parametrize("partition_by", ["stream", "cardinal_id", "metadata:tenant", "metadata:x"])
@pytest.mark.parametrize("partitions", [1, 2, 7, 65536])
@pytest.mark.parametrize("categories", [None, ["account", "order"]])
def test_partitions_cover_everything_once(
    filled: Store, partition_by: str, partitions: int, categories: list[str] | None
) -> None:
    numbers = list(range(partitions))
    if partitions > 10:
        of_message = filled.query(
            "SELECT DISTINCT STORE._partition_of("
            "m.stream_id, s.stream, m.metadata, %s::bigint, %s::text)"
            " FROM STORE.messages AS m JOIN STORE.streams AS s USING (stream_id)",
            [partitions, partition_by],
        )
        numbers = sorted(number for (number,) in of_message)
        assert len(numbers) > 2
        assert numbers[-1] < partitions
    shares = [
        found(
            filled,
            partition=number,
            partitions=partitions,
            partition_by=partition_by,
            categories=categories,
        )
        for number in numbers
    ]
    assert sorted(n for share in shares for n in share) == expected(categories=categories)
    assert all(share == sorted(share) for share in shares)
    kept = [{key(MESSAGES[n], partition_by) for n in share} for share in shares]
    assert sum(len(keys) for keys in kept) == len(set().union(*kept))


def key(message: tuple[str, str, dict[str, int] | None], partition_by: str) -> object:
    """What is not torn apart."""
    stream, _, metadata = message
    if partition_by == "metadata:tenant" and metadata is not None:
        return metadata["tenant"]
    if partition_by == "cardinal_id" and "-" in stream:
        return ("id", stream.partition("-")[2].partition("+")[0])
    return stream


def test_partition_of_does_not_change(store: Store) -> None:
    """Checkpoints mean what they mean only as long as these stay as they are."""
    ((found,),) = store.query(
        """
        SELECT array_agg(STORE._partition_of(v.id, v.stream, v.metadata::jsonb, 1000, v.by))
        FROM (VALUES
          (1, 'account-1', NULL, 'stream'),
          (4294967297, 'account-1', NULL, 'stream'),
          (9223372036854775807, 'account-1', NULL, 'stream'),
          (1, 'account-1', NULL, 'cardinal_id'),
          (2, 'other-1+x', NULL, 'cardinal_id'),
          (1, 'account', NULL, 'cardinal_id'),
          (1, 'account-1', '{"tenant": "a"}', 'metadata:tenant'),
          (2, 'account-2', '{"tenant": "a"}', 'metadata:tenant'),
          (1, 'account', '{"tenant": null}', 'metadata:tenant')
        ) AS v (id, stream, metadata, by)
        """
    ).fetchall()
    assert found == [55, 55, 808, 116, 116, 335, 699, 699, 335]


def test_partitions_by_stream_are_the_same_by_the_function_that_is_inlined(store: Store) -> None:
    differing = store.query(
        """
        SELECT v.id, n.partitions
        FROM (
          SELECT unnest(ARRAY[1, 55, 2147483647, 2147483648, 4294967297, 9223372036854775807])
          UNION ALL SELECT g FROM generate_series(1, 1000) AS g
        ) AS v (id)
        CROSS JOIN unnest(ARRAY[1, 2, 8, 1000, 9223372036854775807]) AS n (partitions)
        WHERE STORE._stream_partition(v.id, n.partitions)
          <> STORE._partition_of(v.id, '', NULL, n.partitions, 'stream')
        """
    )
    assert differing.fetchall() == []


def test_the_partition_by_stream_is_inlined(store: Store) -> None:
    """A call for each message would take longer than all else that a look does with it."""
    plan = store.query(
        "EXPLAIN (VERBOSE) SELECT STORE._stream_partition(s.stream_id, 8) FROM STORE.streams AS s"
    )
    assert "_stream_partition" not in "".join(line for (line,) in plan)


def test_partitions_by_stream_are_even(store: Store) -> None:
    for partitions in (2, 3, 8, 10, 16, 100):
        counts = store.query(
            "SELECT count(*) FROM generate_series(1, 10000) AS g (id)"
            " GROUP BY STORE._partition_of(g.id, '', NULL, %s::bigint, 'stream')",
            [partitions],
        )
        shares = [count for (count,) in counts]
        assert len(shares) == partitions
        assert max(shares) < 1.25 * 10000 / partitions


@pytest.mark.parametrize("function", ["read_all", "read_page"])
@pytest.mark.parametrize(
    ("argument", "named"),
    [
        *[("after_position", {"after_position": value}) for value in (None, -1, -(2**63))],
        *[("max_count", {"max_count": value}) for value in (None, -1, -(2**63))],
        *[
            ("partitions", {"partitions": value, "partition": 0})
            for value in (0, -1, 65537, -(2**63))
        ],
        *[("partition", {"partitions": 2, "partition": value}) for value in (None, -1, 2)],
        ("partition", {"partition": 0}),
        *[
            ("partition_by", {"partition_by": value})
            for value in (None, "", "Stream", "metadata", "metadata:", "type", "metadata%x")
        ],
    ],
)
def test_read_refuses_a_bad_argument(
    filled: Store, function: str, argument: str, named: dict[str, Any]
) -> None:
    with filled.refused("22023", argument=argument):
        filled.call(function, **named)


@pytest.mark.parametrize("categories", ["{order}", "[0:0]={order}", "[5:5]={order}", "{{order}}"])
def test_read_all_takes_an_array_of_any_shape(filled: Store, categories: str) -> None:
    assert found(filled, categories=categories) == expected(categories=["order"])


def test_read_page_refuses_to_read_nothing(filled: Store) -> None:
    with filled.refused("22023", argument="max_count"):
        filled.call("read_page", max_count=0)


def test_read_category_refuses_no_category(filled: Store) -> None:
    with filled.refused("22023", argument="category"):
        filled.call("read_category", None)


def test_read_page_tells_how_far_it_looked(filled: Store) -> None:
    last = FIRST + EVERYTHING[-1]

    def end(**named: Any) -> tuple[int, int | None]:
        """How many messages, and the position in the row after them."""
        rows = filled.call("read_page", **named)
        (*messages, final) = rows
        if final[0] is not None:
            assert all(row[8:10] == (None, None) for row in rows)
            return len(rows), None
        assert final[:8] == (None,) * 8
        assert final[8] == final[9]  # nothing was rolled back
        return len(messages), final[8]

    assert end(max_count=40) == (40, None)
    assert end(max_count=41) == (40, last)
    assert end(after_position=last) == (0, last)
    assert end(types=["none"]) == (0, last)
    assert end(categories=["none"]) == (0, last)
    assert end(up_to_position=FIRST + 3) == (4, FIRST + 3)
    # Never back: who goes on from there would read again.
    assert end(after_position=FIRST + 9, up_to_position=FIRST + 3) == (0, FIRST + 9)


def test_positions_of_a_rollback_are_looked_at_but_not_reached(
    store: Store, stream: str, connect: Connect
) -> None:
    """A crash can have the sequence give them again: a reader must not store them."""
    _, last = store.write(stream)
    conn = connect(autocommit=False)
    for _ in range(3):
        store.write(stream, on=conn)
    conn.rollback()
    assert store.call("horizon") == [(last + 3, False)]
    assert store.call("safe_position") == [(last,)]
    for types in (None, ["none"]):
        assert store.call("read_page", last - 1, types=types)[-1][8:10] == (last, last + 3)
    assert store.call("read_page", last + 2)[-1][8:10] == (last + 2, last + 3)
    assert store.call("read_page", last - 1, up_to_position=last + 1)[-1][8:10] == (last, last + 1)


@pytest.mark.parametrize("way", list(product(["read_all", "read_page"], [None, ["account"]])))
def test_read_stops_at_the_safe_position(
    store: Store, connect: Connect, way: tuple[str, list[str] | None]
) -> None:
    function, categories = way
    ((after,),) = store.call("safe_position")
    conn = connect(autocommit=False)
    streams = [f"account-{uuid4().hex}" for _ in range(4)]
    first = store.write(streams[0])[1]
    store.write(streams[1], on=conn)
    store.write(streams[2])

    def read(after: int) -> list[str]:
        rows = store.call(function, after, categories=categories)
        if function == "read_page":
            assert rows.pop()[9] == store.call("horizon")[0][0]
        return [row[1] for row in rows]

    assert read(after) == streams[:1]
    conn.commit()
    store.write(streams[3])
    assert read(first) == streams[1:]


def test_read_in_the_writing_transaction_stops_before_its_own(
    store: Store, stream: str, connect: Connect
) -> None:
    conn = connect(autocommit=False)
    _, before = store.write(stream + "-before")
    store.write(stream, on=conn)
    assert store.call("read_all", before, on=conn) == []
