"""Subscriptions that choose messages by their metadata."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sql.store import Store
from tests.sql.subscriptions import Batch, Lease, Subscription

A, B = '{"tenant": "a"}', '{"tenant": "b"}'


def write(
    reader: Subscription, metadata: str | None, stream: int = 1, message_id: UUID | None = None
) -> int:
    _, position = reader.store.write(
        f"{reader.category}-{stream}", "A", "{}", metadata, message_id=message_id
    )
    return position


# More than fetch_batch looks at.
MANY = 120_000


@pytest.fixture(scope="module")
def far(store: Store) -> tuple[str, int, int]:
    """A category, and the positions of its first and last message, which differ from the others."""
    category = f"c{uuid4().hex[:12]}"

    def different() -> int:
        return store.write(f"{category}-7", "X", "{}", A)[1]

    first = different()
    store.call("skip_positions", 200_000)
    _, other = store.write(f"{category}-1", "A", "{}", B)
    # Faster than the store's functions; nobody else writes.
    store.query(
        "INSERT INTO STORE.messages (global_position, stream_id, version, category_key, added_at,"
        " message_id, type, data, metadata)"
        " SELECT nextval('STORE.global_position_seq'), m.stream_id, m.version + n, m.category_key,"
        " m.added_at, gen_random_uuid(), m.type, m.data, m.metadata"
        " FROM STORE.messages AS m CROSS JOIN generate_series(1, %s) AS n"
        " WHERE m.global_position = %s",
        [MANY, other],
    )
    return category, first, different()


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("categories", [0, 1, 2])
def test_subscription_reads_what_contains_its_metadata(
    store: Store, partitions: int, categories: int
) -> None:
    tag = uuid4().hex
    wanted, both = json.dumps({"tag": tag}), json.dumps({"tag": tag, "tenant": "a"})
    category = f"c{tag}"
    reader = Subscription(
        store,
        partitions=partitions,
        metadata=wanted,
        start_position=None,
        categories=[None, [category], [category, "none"]][categories],
    )
    reader.category = category
    positions = []
    for n in range(12):
        write(reader, A, n)
        positions.append(write(reader, both, n))
        write(reader, None, n)
    assert sorted(reader.work()) == positions
    ((last,),) = store.call("safe_position")
    assert reader.position() == last
    positions = [write(reader, both, n) for n in range(12)]
    assert sorted(reader.work()) == positions


def test_create_subscription_compares_the_metadata(store: Store) -> None:
    reader = Subscription(store, metadata='{"b": 1, "a": {"c": []}}')
    named: dict[str, Any] = {"categories": [reader.category]}
    assert not reader.create(metadata='{"a": {"c": []}, "b": 1.0}', **named)
    for other in ['{"b": 1}', "{}", None]:
        with reader.refused("MS022", metadata={"b": 1, "a": {"c": []}}):
            reader.create(metadata=other, **named)
    unfiltered = Subscription(store)
    with unfiltered.refused("MS022", metadata=None):
        unfiltered.create(categories=[unfiltered.category], metadata=A)
    rows = store.query(
        "SELECT l.metadata FROM STORE.list_subscriptions() AS l WHERE l.subscription = %s",
        [reader.name],
    ).fetchall()
    assert rows == [({"b": 1, "a": {"c": []}},)]


@pytest.mark.parametrize("value", ["[]", "1", "null", '"x"'])
def test_create_subscription_refuses_metadata_that_is_no_object(store: Store, value: str) -> None:
    with store.refused("22023", argument="metadata"):
        store.call("create_subscription", "bad", metadata=value)


@pytest.mark.parametrize(
    "filters", [{"metadata": A}, {"types": ["X"]}, {"stream_pattern": "%-7"}], ids=str
)
def test_a_fetch_looks_at_a_window_if_most_is_left_out(
    store: Store, far: tuple[str, int, int], filters: dict[str, Any]
) -> None:
    category, first, last = far
    reader = Subscription(store, categories=[category], start_position=first - 1, **filters)
    lease = reader.claimed()
    batch = lease.fetch()
    # It does not look for a hundred in all that there is.
    assert batch.positions == [first]
    assert batch.checkpoint == first - 1 + 100_000
    lease.acknowledge(batch.checkpoint)
    # Positions that nobody used, and then as many messages: the checkpoint is behind them.
    assert lease.fetch() == Batch([], None, False)
    (partition,) = reader.partitions()
    assert first + 300_000 <= int(str(partition["checkpoint"])) < last
    lease.release()
    # A claim looks at a bounded number of messages too.
    while (rows := store.call("claim_partition", [reader.name], "w"))[0][0] is None:
        pass
    assert Lease(store, *rows[0][:3]).work() == [last]


def test_a_match_beyond_positions_that_nobody_used_is_found(store: Store) -> None:
    reader = Subscription(store, metadata=A)
    write(reader, B)
    store.call("skip_positions", 1_000_000)
    position = write(reader, A)
    lease = reader.claimed()
    assert lease.fetch().positions == [position]


@pytest.mark.parametrize("partitions", [1, 4])
def test_what_redaction_takes_from_the_filter_is_not_handed_out(
    store: Store, partitions: int
) -> None:
    reader = Subscription(store, partitions=partitions, metadata=A)
    ids = [uuid4() for _ in range(3)]
    positions = [write(reader, A, 1, each) for each in ids]
    if partitions > 1:  # what waits is listed before
        lease = reader.claimed()
        lease.release()
    store.call("redact_message", ids[1], "{}", "test", metadata=B)
    store.call("redact_message", ids[2], "{}", "test")
    assert reader.work() == [positions[0], positions[2]]
    assert reader.claim() is None


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_message_that_redaction_has_taken_away_from_its_worker_fails_without_a_trace(
    store: Store, partitions: int
) -> None:
    reader = Subscription(store, partitions=partitions, metadata=A, max_attempts=1)
    message_id = uuid4()
    position = write(reader, A, 1, message_id)
    lease = reader.claimed()
    assert lease.fetch().positions == [position]
    store.call("redact_message", message_id, "{}", "test", metadata=B)
    assert lease.fail(position) == "retry"
    assert reader.work() == []


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_message_is_parked_after_one_that_redaction_has_taken_away(
    store: Store, partitions: int
) -> None:
    reader = Subscription(
        store, partitions=partitions, metadata=A, max_attempts=1, on_failure="park"
    )
    message_id = uuid4()
    write(reader, A, 1, message_id)
    position = write(reader, A)
    reader.claimed().release()  # what waits is listed before
    store.call("redact_message", message_id, "{}", "test", metadata=B)
    lease = reader.claimed()
    assert lease.fetch().positions == [position]
    assert lease.fail(position) == "park"


def test_redaction_adds_no_message_to_a_subscription(store: Store) -> None:
    reader = Subscription(store, metadata=A)
    message_id = uuid4()
    write(reader, B, 1, message_id)
    with store.refused("22023", argument="metadata"):
        store.call("redact_message", message_id, "{}", "test", metadata='{"tenant": "a", "b": 1}')
    store.call("redact_message", message_id, "{}", "test", metadata='{"tenant": "c"}')


def test_verify_compares_the_lists_with_what_the_metadata_leaves(store: Store) -> None:
    reader = Subscription(store, partitions=3, metadata=A)
    write(reader, A)
    write(reader, B)
    reader.claimed().release()
    checks = {row[0]: row[2] for row in store.call("verify_store")}
    assert checks["what waits in partitions is listed"] == 0
