"""Reads and subscriptions that choose messages by their tags."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.sql.store import Store
from tests.sql.subscriptions import Lease, Subscription
from tests.sql.test_tags import BAD_TAGS
from tests.stores import Stores

# Positions begin with 101: a gap before them is longer than any window below.
FIRST = 101
# The tags of number n.
TAGS: list[list[str] | None] = [
    [["all"], ["all", f"mod:{n % 3}"], ["Z", "all", "ä"], None][n % 4] for n in range(40)
]
CHOICES: list[list[str]] = [
    ["all"],
    ["mod:1"],
    ["all", "mod:2"],
    ["ä", "all", "Z"],
    ["z"],
    ["mod:1", "mod:2"],
    ["all", "none"],
    ["mod:1", "mod:1"],
]


@pytest.fixture(scope="module")
def filled(server_conninfo: str, stores: Stores) -> Iterator[Store]:
    """A store with 40 messages, in five categories, which tests only read."""
    with stores.taken() as name, psycopg.connect(server_conninfo, autocommit=True) as conn:
        store = Store(conn, name)
        store.query("SELECT setval('STORE.global_position_seq', %s)", [FIRST - 1])
        for n, tags in enumerate(TAGS):
            metadata = json.dumps({"n": n % 2})
            written = store.write(
                f"c{n % 5}-{n % 10}", "AB"[n % 2], str(n), metadata=metadata, tags=tags
            )
            assert written[1] == FIRST + n
        # As if mod:1 and mod:2 shared a key with Z.
        store.query(
            "INSERT INTO STORE.message_tags SELECT STORE._tag_key(u.tag), t.global_position"
            " FROM STORE.message_tags AS t, unnest('{mod:1,mod:2}'::text[]) AS u (tag)"
            " WHERE t.tag_key = STORE._tag_key('Z')"
        )
        yield store


def has(n: int, wanted: list[str]) -> bool:
    return set(wanted) <= set(TAGS[n] or ())


def everything(store: Store, wanted: list[str], **named: Any) -> list[int]:
    """Numbers of all messages, page by page, as a reader continues."""
    found: list[int] = []
    after = 0
    while True:
        rows = store.call("read_matching", after_position=after, tags_filter=wanted, **named)
        *_, reached, looked, more, _ = rows[-1]
        last = rows.pop() if rows[-1][0] is None else None
        assert all(row[8:11] == (None, None, None) for row in rows)
        assert [row[11] for row in rows] == [TAGS[row[3] - FIRST] for row in rows]
        found += [row[3] - FIRST for row in rows]
        if last is None:
            after = rows[-1][3]
        elif more:
            assert after < reached <= looked
            after = reached
        else:
            return found


@pytest.mark.parametrize("max_looked", [1, 3, 7, 40, 10_000, 2**63 - 1])
@pytest.mark.parametrize("wanted", CHOICES, ids=str)
def test_read_matching_in_windows_of_every_size(
    filled: Store, wanted: list[str], max_looked: int
) -> None:
    numbers = [n for n in range(40) if has(n, wanted)]
    for max_count in (1, 4, 1000):
        named = {"max_looked": max_looked, "max_count": max_count}
        assert everything(filled, wanted, **named) == numbers
        for categories in (["c1"], ["c1", "c3", "none"], [], ["none"]):
            assert everything(filled, wanted, categories=categories, **named) == [
                n for n in numbers if f"c{n % 5}" in categories
            ]


def test_read_matching_with_every_other_filter(filled: Store) -> None:
    numbers = [n for n in range(40) if has(n, ["all"])]

    def read(**named: Any) -> list[int]:
        return everything(filled, ["all"], max_looked=5, **named)

    assert read(types=["B"]) == [n for n in numbers if n % 2 == 1]
    assert read(stream_pattern="%-5") == [n for n in numbers if n % 10 == 5]
    assert read(metadata_filter='{"n": 0}') == [n for n in numbers if n % 2 == 0]
    assert read(up_to_position=FIRST + 5) == [n for n in numbers if n <= 5]
    for by in ("stream", "cardinal_id", "metadata:n"):
        shares = [read(partition=k, partitions=3, partition_by=by) for k in range(3)]
        assert sorted(n for share in shares for n in share) == numbers
        assert by == "metadata:n" or all(shares)


def test_a_page_is_filled_with_messages_that_are_far_apart(filled: Store) -> None:
    rows = filled.call("read_matching", None, FIRST - 1, max_looked=8, tags_filter=["Z"])
    *_, looked, more, _ = rows.pop()
    assert [row[3] - FIRST for row in rows] == [n for n in range(40) if has(n, ["Z"])]
    assert (looked, more) == (FIRST + 38, True)


def test_the_rarest_tag_is_looked_along(filled: Store) -> None:
    def rarest(tags: list[str], after: int = 0) -> str:
        ((tag,),) = filled.call("_rarest_tag", tags, after)
        return str(tag)

    for n in range(200):
        filled.query(
            "INSERT INTO STORE.message_tags VALUES (STORE._tag_key('often'), %s)", [10_000 + n]
        )
    try:
        assert rarest(["often", "all"]) == "all"
        assert rarest(["all", "often"]) == "all"
        assert rarest(["often"]) == "often"
    finally:
        filled.query("DELETE FROM STORE.message_tags AS t WHERE t.global_position >= 10000")


BAD = {name: tags for name, tags in BAD_TAGS.items() if name != "null"} | {
    "null": [None],
    "none": [],
    "nested": [["a"], ["b"]],
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_tags_that_no_message_can_have_are_refused(store: Store, bad: list[object]) -> None:
    with store.refused("22023", argument="tags_filter"):
        store.call("read_matching", tags_filter=bad)
    with store.refused("22023", argument="tags"):
        store.call("create_subscription", "bad", tags=bad)
    reader = Subscription(store)
    with reader.refused("22023", argument="tags"):
        store.call("refilter_subscription", reader.name, tags=bad)


def write(reader: Subscription, tags: list[str] | None, stream: int = 1, type_: str = "A") -> int:
    return reader.store.write(f"{reader.category}-{stream}", type_, "{}", tags=tags)[1]


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("categories", [0, 1, 2])
def test_subscription_reads_what_has_all_its_tags(
    store: Store, partitions: int, categories: int
) -> None:
    run = uuid4().hex
    category = f"c{run}"
    reader = Subscription(
        store,
        partitions=partitions,
        tags=[f"b:{run}", f"a:{run}"],
        start_position=None,
        categories=[None, [category], [category, "none"]][categories],
    )
    reader.category = category
    positions = []
    for n in range(12):
        write(reader, [f"a:{run}"], n)
        positions.append(write(reader, ["other", f"a:{run}", f"b:{run}"], n))
        store.write(f"x{category}-{n}", tags=[f"a:{run}", f"b:{run}"])
        write(reader, None, n)
    if not categories:
        positions = [each for position in positions for each in (position, position + 1)]
    assert sorted(reader.work()) == positions
    ((last,),) = store.call("safe_position")
    assert reader.position() == last
    positions = [write(reader, [f"b:{run}", f"a:{run}"], n) for n in range(12)]
    assert sorted(reader.work()) == positions
    checks = {row[0]: row[2] for row in store.call("verify_store")}
    assert checks["what waits in partitions is listed"] == 0


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize(
    "filters", [{"types": ["B"]}, {"stream_pattern": "%-2"}, {"metadata": '{"m": 1}'}], ids=str
)
def test_subscription_with_tags_and_another_filter(
    store: Store, partitions: int, filters: dict[str, Any]
) -> None:
    reader = Subscription(store, partitions=partitions, tags=["t"], **filters)
    stream = f"{reader.category}-"
    store.write(stream + "1", "A", "{}", '{"m": 2}', tags=["t"])
    store.write(stream + "2", "B", "{}", '{"m": 1}')
    _, position = store.write(stream + "2", "B", "{}", '{"m": 1}', tags=["t"])
    assert reader.work() == [position]


@pytest.mark.parametrize("partitions", [1, 4])
def test_subscription_compares_texts_not_only_keys(store: Store, partitions: int) -> None:
    reader = Subscription(store, partitions=partitions, tags=["x"])
    position = write(reader, ["y"])
    store.query("INSERT INTO STORE.message_tags VALUES (STORE._tag_key('x'), %s)", [position])
    assert reader.work() == []
    store.query("DELETE FROM STORE.message_tags AS t WHERE t.tag_key = STORE._tag_key('x')")


def test_create_subscription_compares_the_tags(store: Store) -> None:
    reader = Subscription(store, tags=["b", "a", "b"])
    named: dict[str, Any] = {"categories": [reader.category]}
    assert not reader.create(tags=["a", "b"], **named)
    for other in (["a"], ["A", "b"], None):
        with reader.refused("MS022", tags=["a", "b"]):
            reader.create(tags=other, **named)
    unfiltered = Subscription(store)
    with unfiltered.refused("MS022", tags=None):
        unfiltered.create(categories=[unfiltered.category], tags=["a"])
    rows = store.query(
        "SELECT l.tags FROM STORE.list_subscriptions() AS l WHERE l.subscription = %s",
        [reader.name],
    ).fetchall()
    assert rows == [(["a", "b"],)]


@pytest.mark.parametrize("partitions", [1, 4])
def test_refilter_changes_the_tags(store: Store, partitions: int) -> None:
    reader = Subscription(store, partitions=partitions, tags=["a"])
    first = write(reader, ["a"])
    reader.claimed().release()  # what waits is listed before
    second = write(reader, ["b", "a"])
    store.call("refilter_subscription", reader.name, [reader.category], tags=["b"])
    assert reader.work() == [second]
    store.call("refilter_subscription", reader.name, [reader.category])
    assert reader.work() == []
    third = write(reader, None)
    assert reader.work() == [third]
    assert first < second


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_message_with_tags_is_parked_and_replayed(store: Store, partitions: int) -> None:
    reader = Subscription(
        store, partitions=partitions, tags=["a"], max_attempts=1, on_failure="park"
    )
    write(reader, ["b"])
    position = write(reader, ["a"])
    lease = reader.claimed()
    assert lease.fetch().positions == [position]
    assert lease.fail(position) == "park"
    lease.release()
    store.call("replay_parked", reader.name, position)
    lease = reader.claimed()
    assert lease.fetch() == ([position], lease.fetch().checkpoint, True)
    lease.settle(position)


# More than fetch_batch looks at.
MANY = 150_000


def test_a_fetch_looks_at_a_window_of_the_tags_messages(store: Store) -> None:
    reader = Subscription(store, tags=["often"], start_position=None)
    first = write(reader, ["often"])
    store.call("skip_positions", 200_000)
    other = write(reader, None)
    # Messages of a tag with the same key. Faster than the store's functions; nobody else writes.
    store.query(
        "WITH added AS ("
        " INSERT INTO STORE.messages (global_position, stream_id, version, category_key, added_at,"
        " message_id, type, data)"
        " SELECT nextval('STORE.global_position_seq'), m.stream_id, m.version + n, m.category_key,"
        " m.added_at, gen_random_uuid(), m.type, m.data"
        " FROM STORE.messages AS m CROSS JOIN generate_series(1, %s) AS n"
        " WHERE m.global_position = %s RETURNING global_position"
        ")"
        " INSERT INTO STORE.message_tags"
        " SELECT STORE._tag_key('often'), a.global_position FROM added AS a",
        [MANY, other],
    )
    last = write(reader, ["often"])
    lease = reader.claimed()
    batch = lease.fetch()
    # The first hundred thousand positions, and then as many messages of the tag.
    assert batch.positions == [first]
    assert batch.checkpoint == other + 100_000
    lease.acknowledge(batch.checkpoint)
    lease.release()
    # A claim looks at a bounded number of messages too.
    assert store.call("claim_partition", [reader.name], "w")[0][0] is None
    while (rows := store.call("claim_partition", [reader.name], "w"))[0][0] is None:
        pass
    assert Lease(store, *rows[0][:3]).work() == [last]


def test_messages_in_flight_are_waited_for(store: Store, stream: str, connect: Any) -> None:
    tag = uuid4().hex
    reader = Subscription(store, tags=[tag], categories=None, start_position=None)
    conn = connect(autocommit=False)
    first = store.write(stream + "-1", tags=[tag], on=conn)[1]
    second = store.write(stream + "-2", tags=[tag])[1]
    assert reader.work() == []
    rows = store.call("read_matching", None, first - 1, tags_filter=[tag])
    assert [row[3] for row in rows if row[0] is not None] == []
    conn.commit()
    assert reader.work() == [first, second]
    rows = store.call("read_matching", None, first - 1, tags_filter=[tag])
    assert [row[3] for row in rows if row[0] is not None] == [first, second]


@pytest.mark.parametrize("partitions", [1, 4])
def test_deleted_messages_of_a_tag_are_left_out(store: Store, partitions: int) -> None:
    reader = Subscription(store, partitions=partitions, tags=["gone"])
    write(reader, ["gone"], 1)
    second = write(reader, ["gone"], 2)
    reader.claimed().release()  # what waits is listed before
    store.call("delete_stream", f"{reader.category}-1")
    assert reader.work() == [second]


def test_verify_compares_the_lists_with_what_the_tags_leave(store: Store) -> None:
    reader = Subscription(store, partitions=3, tags=["a"])
    write(reader, ["a"])
    write(reader, ["b"])
    write(reader, None)
    reader.claimed().release()
    checks = {row[0]: row[2] for row in store.call("verify_store")}
    assert checks["what waits in partitions is listed"] == 0
