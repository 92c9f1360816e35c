"""read_matching: which messages contain a filter, in windows, and how far each call has looked."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Store
from tests.stores import Stores

TENANTS = ["a", "b", None, "a", "c"]
# Positions begin with 101: a gap before them is longer than any window below.
FIRST = 101
# The metadata of number n.
METADATA = [
    None
    if tenant is None
    else {"tenant": tenant, "n": n, "user": {"name": "Ada", "tags": ["x", n % 3]}}
    for n, tenant in enumerate(TENANTS * 8)
]
TYPES = ["A", "B", "C"]


@pytest.fixture(scope="module")
def filled(server_conninfo: str, stores: Stores) -> Iterator[Store]:
    """A store with 40 messages, in four categories, which tests only read."""
    with stores.taken() as name, psycopg.connect(server_conninfo, autocommit=True) as conn:
        store = Store(conn, name)
        store.query("SELECT setval('STORE.global_position_seq', %s)", [FIRST - 1])
        for n, metadata in enumerate(METADATA):
            text = None if metadata is None else json.dumps(metadata)
            assert store.write(f"c{n % 4}-{n % 8}", TYPES[n % 3], str(n), text)[1] == FIRST + n
        yield store


class Page(NamedTuple):
    """Numbers of the messages, and the last row: reached and looked position, and more."""

    numbers: list[int]
    reached: int | None
    looked: int | None
    more: bool | None


def page(store: Store, wanted: object, *given: object, **named: Any) -> Page:
    rows = store.call(
        "read_matching", None if wanted is None else json.dumps(wanted), *given, **named
    )
    last = rows.pop()[8:11] if rows[-1][0] is None else (None, None, None)
    assert all(row[8:11] == (None, None, None) for row in rows)
    return Page([row[3] - FIRST for row in rows], *last)


def everything(store: Store, wanted: object, **named: Any) -> list[int]:
    """Numbers of all messages, page by page, as a reader continues."""
    found: list[int] = []
    after = 0
    while True:
        read = page(store, wanted, **{"after_position": after, **named})
        assert len(read.numbers) <= int(named.get("max_count", 1000))
        found += read.numbers
        if read.more is False:
            return found
        before, after = after, read.numbers[-1] + FIRST if read.reached is None else read.reached
        assert after > before


FILTERS: list[Any] = [
    {"tenant": "a"},
    {"tenant": "none"},
    {"n": 8},
    {"user": {"name": "Ada"}},
    {"user": {"tags": [1]}},
    {"user": {"tags": ["x", 2]}, "tenant": "c"},
    {"tenant": ["a"]},
    {"tenant": None},
    {},
    None,
]


def contains(value: Any, wanted: Any) -> bool:
    """What jsonb's operator @> says of values like these."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            key in value and contains(value[key], each) for key, each in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and set(wanted) <= set(value)
    return type(value) is type(wanted) and bool(value == wanted)


@pytest.mark.parametrize("max_looked", [1, 3, 7, 40, 10_000, 2**63 - 1])
@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_read_matching_in_windows_of_every_size(
    filled: Store, wanted: Any, max_looked: int
) -> None:
    numbers = [
        n
        for n, metadata in enumerate(METADATA)
        if wanted is None or (metadata is not None and contains(metadata, wanted))
    ]
    for max_count in (1, 4, 1000):
        named = {"max_looked": max_looked, "max_count": max_count}
        assert everything(filled, wanted, **named) == numbers
        for categories in (["c1"], ["c1", "c3", "none"], [], ["none"]):
            assert everything(filled, wanted, categories=categories, **named) == [
                n for n in numbers if f"c{n % 4}" in categories
            ]


def test_read_matching_with_every_other_filter(filled: Store) -> None:
    numbers = [n for n, metadata in enumerate(METADATA) if metadata and metadata["tenant"] == "a"]
    wanted = {"tenant": "a"}
    assert everything(filled, wanted, types=["B"], max_looked=5) == [
        n for n in numbers if n % 3 == 1
    ]
    assert everything(filled, wanted, stream_pattern="%-5", max_looked=5) == [
        n for n in numbers if n % 8 == 5
    ]
    shares = [
        everything(filled, wanted, partition=k, partitions=3, partition_by="metadata:n")
        for k in range(3)
    ]
    assert sorted(n for share in shares for n in share) == numbers
    assert page(filled, wanted, up_to_position=FIRST + 5) == Page(
        [0, 3, 5], FIRST + 5, FIRST + 5, False
    )


def test_read_matching_tells_how_far_it_has_looked(filled: Store) -> None:
    wanted, last = {"n": 39 - 1}, FIRST + 39
    # Ten positions, and as many messages after them.
    assert page(filled, wanted, FIRST - 1, max_looked=10) == Page([], FIRST + 19, FIRST + 19, True)
    # As many positions are enough if there is one among them.
    assert page(filled, {"n": 1}, FIRST - 1, max_looked=10) == Page([1], FIRST + 9, FIRST + 9, True)
    # A full page says nothing.
    assert page(filled, {"n": 1}, FIRST - 1, 1, max_looked=10) == Page([1], None, None, None)
    # Where nobody has used the positions, it counts messages.
    assert page(filled, wanted, 5, max_looked=10) == Page([], FIRST + 9, FIRST + 9, True)
    assert page(filled, wanted, 0, max_looked=1000) == Page([38], last, last, False)
    assert page(filled, wanted, last) == Page([], last, last, False)
    # Messages of a category are counted, not those between them.
    assert page(filled, {"tenant": "none"}, FIRST - 1, categories=["c1"], max_looked=4) == Page(
        [], FIRST + 3 + 14, FIRST + 3 + 14, True
    )
    # Never back.
    assert page(filled, wanted, FIRST + 9, up_to_position=FIRST) == Page(
        [], FIRST + 9, FIRST + 9, False
    )


def test_a_reader_that_continues_skips_nothing_in_flight(
    store: Store, stream: str, connect: Connect
) -> None:
    conn = connect(autocommit=False)
    _, before = store.write(stream + "-0", "A", "{}", '{"tenant": "z"}')
    store.write(stream + "-1", "A", "{}", '{"tenant": "z"}', on=conn)
    store.write(stream + "-2", "A", "{}", '{"tenant": "z"}')

    def read(after: int) -> tuple[list[str], tuple[Any, ...]]:
        rows = store.call("read_matching", '{"tenant": "z"}', after, max_looked=1)
        return [row[1] for row in rows[:-1]], rows[-1][8:11]

    assert read(before) == ([], (before, before, False))
    conn.commit()
    assert read(before) == ([stream + "-1"], (before + 1, before + 1, True))
    assert read(before + 1) == ([stream + "-2"], (before + 2, before + 2, False))


def test_positions_of_a_rollback_are_looked_at_but_not_reached(
    store: Store, stream: str, connect: Connect
) -> None:
    _, last = store.write(stream)
    conn = connect(autocommit=False)
    for _ in range(5):
        store.write(stream, on=conn)
    conn.rollback()
    rows = store.call("read_matching", '{"a": 1}', last, max_looked=2)
    assert [row[8:11] for row in rows] == [(last, last + 5, False)]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("metadata_filter", "[]"),
        ("metadata_filter", "1"),
        ("metadata_filter", "null"),
        ("after_position", -1),
        ("after_position", None),
        ("max_count", 0),
        ("max_looked", 0),
        ("max_looked", None),
        ("partition_by", "x"),
        ("stream_pattern", "\\"),
    ],
)
def test_read_matching_refuses_a_bad_argument(store: Store, argument: str, value: object) -> None:
    named: dict[str, Any] = {"metadata_filter": "{}", argument: value}
    with store.refused("22023", argument=argument):
        store.call("read_matching", **named)


def test_read_matching_refuses_a_position_beyond_the_last_one(filled: Store) -> None:
    last = FIRST + len(METADATA) - 1
    with filled.refused("MS006", position=last + 1, last_position=last):
        filled.call("read_matching", "{}", last + 1)


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_read_matching_refuses_an_old_snapshot(
    store: Store, connect: Connect, isolation: str
) -> None:
    conn = connect()
    conn.execute(f"BEGIN ISOLATION LEVEL {isolation}".encode())
    with store.refused("MS004", isolation=isolation.lower()):
        store.call("read_matching", "{}", on=conn)
