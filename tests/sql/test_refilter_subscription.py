"""Subscriptions whose filter changes in place: what they gain, lose, and never handle twice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from pgstore import LeaseLostError
from tests.conftest import Connect
from tests.sql.store import Connection, Store
from tests.sql.subscriptions import Subscription

each_number = pytest.mark.parametrize("partitions", [1, 4])


def refilter(reader: Subscription, from_position: int | None = None, **filters: Any) -> int:
    """Change the types, or other filters, of a reader of its own category."""
    named = {"categories": [reader.category], "from_position": from_position} | filters
    ((position,),) = reader.store.call("refilter_subscription", reader.name, **named)
    return int(position)


def wrong(store: Store) -> list[tuple[object, ...]]:
    """The promises that the store breaks."""
    return [row for row in store.call("verify_store") if row[2]]


def after_checkpoints(reader: Subscription, positions: list[int]) -> list[int]:
    """Those messages that are after their partition's checkpoint."""
    reached = {row["partition"]: row["checkpoint"] for row in reader.partitions()}
    rows = reader.store.query(
        "SELECT m.global_position, STORE._stream_partition(m.stream_id, %s)"
        " FROM STORE.messages AS m WHERE m.global_position = ANY (%s)",
        [len(reached), positions],
    ).fetchall()
    return [position for position, partition in rows if position > reached[partition]]


@each_number
@pytest.mark.parametrize("handled_before", [0, 1, 100])
def test_refilter_gains_after_the_checkpoints_and_repeats_nothing(
    store: Store, partitions: int, handled_before: int
) -> None:
    reader = Subscription(store, types=["A"], partitions=partitions)
    of_a = [reader.write(n, "A") for n in range(9)]
    of_b = [reader.write(n, "B") for n in range(9)]
    handled: list[int] = []
    for _ in range(handled_before):
        if (lease := reader.claim()) is None:
            break
        batch = lease.fetch(2)
        lease.acknowledge(batch.checkpoint)
        lease.release()
        handled += batch.positions
    gained = after_checkpoints(reader, of_b)
    lowest = reader.position()

    assert refilter(reader, types=["A", "B"]) == lowest

    assert wrong(store) == []
    gained += [reader.write(n, "B") for n in range(9)]
    of_a += [reader.write(n, "A") for n in range(9)]
    handled += reader.work()
    assert sorted(handled) == sorted(of_a + gained)
    assert wrong(store) == []


def test_refilter_is_followed_by_other_partitions_without_loss(store: Store) -> None:
    reader = Subscription(store, types=["A"], partitions=4)
    written = [reader.write(n, type_) for n in range(9) for type_ in ("A", "B")]
    lease = reader.claimed()
    first = lease.fetch(1)
    lease.acknowledge(first.checkpoint)
    reader.claim()  # looks for work, and keeps a partition

    store.call("repartition_subscription", reader.name, 3)
    waiting = after_checkpoints(reader, written)
    refilter(reader, types=None)
    handled = reader.work()

    assert len(reader.partitions()) == 3
    assert sorted(handled) == sorted(waiting)
    assert len(waiting) > 6


@each_number
def test_refilter_loses_at_once(store: Store, partitions: int) -> None:
    reader = Subscription(store, partitions=partitions)
    for n in range(5):
        reader.write(n, "A")
    of_b = [reader.write(n, "B") for n in range(5)]
    reader.claimed().release()
    refilter(reader, types=["B"])
    assert sorted(reader.work()) == of_b
    refilter(reader, stream_pattern=f"{reader.category}-3", types=["B"])
    reader.write(1, "B")
    last = reader.write(3, "B")
    assert reader.work() == [last]


@each_number
def test_refilter_changes_the_metadata(store: Store, partitions: int) -> None:
    reader = Subscription(store, metadata='{"tenant": "a"}', partitions=partitions)
    written = [
        store.write(f"{reader.category}-1", "A", "{}", metadata=f'{{"tenant": "{tenant}"}}')[1]
        for tenant in ("a", "b", "a")
    ]
    refilter(reader, metadata='{"tenant": "b"}')
    assert reader.work() == written[1:2]
    assert wrong(store) == []


@each_number
def test_refilter_takes_the_leases(store: Store, partitions: int) -> None:
    reader = Subscription(store, types=["B"], partitions=partitions)
    of_a, of_b = reader.write(1, "A"), reader.write(1, "B")
    lease = reader.claimed()
    batch = lease.fetch()
    assert batch.positions == [of_b]
    refilter(reader, types=["A", "B"])
    with reader.refused("MS020"):
        lease.acknowledge(batch.checkpoint)
    assert reader.work() == [of_a, of_b]


def test_refilter_waits_for_an_open_acknowledgement(store: Store, connect: Connect) -> None:
    reader = Subscription(store, types=["A"])
    position = reader.write(1, "A")
    lease, conn = reader.claimed(), connect(autocommit=False)
    lease.acknowledge(lease.fetch().checkpoint, on=conn)
    impatient = connect(options="-c lock_timeout=50ms")
    with store.refused("55P03"):
        store.call("refilter_subscription", reader.name, on=impatient)
    conn.commit()
    assert refilter(reader) >= position
    assert reader.work() == []


@each_number
def test_refilter_gains_after_the_position_that_is_given(store: Store, partitions: int) -> None:
    reader = Subscription(store, types=["A"], partitions=partitions)
    reader.write(1, "A")
    reader.work()
    passed_over = reader.write(1, "B")
    gained = reader.write(1, "B")
    assert refilter(reader, passed_over, types=["A", "B"]) == passed_over
    assert wrong(store) == []
    assert reader.work() == [gained]
    assert wrong(store) == []


@each_number
def test_refilter_refuses_a_position_that_was_passed(store: Store, partitions: int) -> None:
    reader = Subscription(store, types=["A"], partitions=partitions)
    reader.write(1, "B")
    last = reader.write(1, "A")
    reader.work()
    with reader.refused("22023", argument="from_position", reason="was passed"):
        refilter(reader, last - 1, types=["A", "B"])
    with pytest.raises(psycopg.Error) as caught:
        refilter(reader, 0, types=["A", "B"])
    assert "second subscription" in str(caught.value.diag.message_hint)


@each_number
def test_refilter_refuses_a_position_that_is_not_reached(store: Store, partitions: int) -> None:
    reader = Subscription(store, types=["A"], partitions=partitions)
    of_a, of_b = reader.write(1, "A"), reader.write(1, "B")
    with reader.refused("22023", argument="from_position", reason="is not reached yet"):
        refilter(reader, of_b, types=["A", "B"])
    with reader.refused("22023", argument="from_position", from_position=2**62):
        refilter(reader, 2**62, types=["A", "B"])
    assert refilter(reader, of_a - 1, types=["A", "B"]) == of_a - 1
    assert reader.work() == [of_a, of_b]


@pytest.mark.parametrize(
    "named",
    [
        {"categories": []},
        {"types": [None]},
        {"types": [["A"], ["B"]]},
        {"stream_pattern": "a\\"},
        {"metadata": "[1]"},
        {"metadata": '{"a":' * 101 + "1" + "}" * 101},
    ],
)
def test_refilter_refuses_what_is_no_filter(store: Store, named: dict[str, Any]) -> None:
    reader = Subscription(store)
    with reader.refused("22023", argument=next(iter(named))):
        store.call("refilter_subscription", reader.name, **named)


def test_refilter_refuses_an_unknown_subscription(store: Store) -> None:
    with store.refused("MS021", subscription="nobody"):
        store.call("refilter_subscription", "nobody")


def test_another_filter_is_refused_with_the_way_to_change_it(store: Store) -> None:
    reader = Subscription(store, types=["A"])
    with pytest.raises(psycopg.Error) as caught:
        reader.create(categories=[reader.category], types=["A", "B"])
    assert "refilter_subscription" in str(caught.value.diag.message_hint)


def test_failure_and_parked_messages_stay(store: Store) -> None:
    reader = Subscription(store, types=["A"], max_attempts=1)
    first = reader.write(1, "A")
    reader.claimed().fail(first)
    refilter(reader, types=["A", "B"])
    (row,) = reader.partitions()
    assert (row["state"], row["failed_position"]) == ("stopped", first)
    store.call("resume_subscription", reader.name)
    assert reader.work() == [first]


def test_claim_that_has_read_the_former_filter_passes_no_message(store: Store) -> None:
    reader = Subscription(store, types=["A"])
    ((former,),) = store.query(
        "SELECT s::text FROM STORE.subscriptions AS s WHERE s.subscription = %s", [reader.name]
    ).fetchall()
    refilter(reader, types=["B"])
    gained = reader.write(1, "B")
    store.query(
        "SELECT * FROM STORE._lease_only_partition(%s::STORE.subscriptions, 'w', '1s', %s)",
        [former, gained],
    )
    assert reader.work() == [gained]


def test_claim_of_a_batch_that_has_read_the_former_filter_passes_no_message(
    store: Store, connect: Connect
) -> None:
    """By a claim_batch that waits between its snapshot and its lock of the partition."""
    reader = Subscription(store)
    ((claim,),) = store.query("SELECT pg_get_functiondef('STORE.claim_batch'::regproc)").fetchall()
    wait = "p.alone = 0 AND (SELECT pg_advisory_lock(4711)) IS NOT NULL"
    slow = claim.replace("claim_batch", "slow_claim_batch").replace("p.alone = 0", wait)
    assert wait in slow
    store.query(slow)
    gained = store.write(f"{reader.category}x-1", "A", "{}")[1]
    of_both = reader.write()
    conn = connect()
    store.query("SELECT pg_advisory_lock(4711)")
    with ThreadPoolExecutor(1) as pool:
        claiming = pool.submit(
            store.call, "slow_claim_batch", [reader.name], "w", "1 minute", 9, on=conn
        )
        store.wait_until_blocked(conn)
        refilter(reader, categories=[reader.category, f"{reader.category}x"])
        store.query("SELECT pg_advisory_unlock(4711)")
        rows = claiming.result()
    store.query("DROP FUNCTION STORE.slow_claim_batch")
    assert [row[6] for row in rows if row[3] is not None] == [gained, of_both]


@each_number
def test_running_workers_skip_and_repeat_nothing(
    store: Store, connect: Connect, partitions: int
) -> None:
    reader = Subscription(store, partitions=partitions)
    categories = [reader.category, *(f"{reader.category}x{n}" for n in range(20))]
    reader.store.call("refilter_subscription", reader.name, categories[:1])
    ended = threading.Event()
    handled: list[int] = []

    def work(conn: Connection) -> None:
        while not ended.is_set():
            rows = store.call("claim_batch", [reader.name], "w", "1 minute", 3, on=conn)
            if not rows or rows[0][0] is None:
                continue
            key = (reader.name, rows[0][1], rows[0][2])
            positions = [row[6] for row in rows if row[3] is not None]
            try:
                if positions:
                    store.call("acknowledge", *key, rows[-1][11], True, on=conn)
                else:
                    store.call("release_partition", *key, on=conn)
            except LeaseLostError:
                continue
            handled.extend(positions)

    expected: list[int] = []
    conns = [connect() for _ in range(2)]
    with ThreadPoolExecutor(2) as workers:
        working = [workers.submit(work, conn) for conn in conns]
        try:
            for count in range(1, len(categories) + 1):
                store.call("refilter_subscription", reader.name, categories[:count])
                for n, category in enumerate(categories):
                    position = store.write(f"{category}-{n}", "A", "{}")[1]
                    if n < count:
                        expected.append(position)
        finally:
            ended.set()
        for each in working:
            each.result()
    handled += reader.work()
    assert len(handled) == len(set(handled))
    assert set(expected) <= set(handled)
