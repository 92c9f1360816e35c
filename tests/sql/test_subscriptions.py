"""Subscriptions: what they read, from where, in which order, and how they are changed."""

from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Connect
from tests.sql.store import Store
from tests.sql.subscriptions import Subscription


def test_create_subscription_again_changes_nothing(store: Store) -> None:
    reader = Subscription(store, types=["A"], partitions=3, partition_by="cardinal_id")
    reader.write()
    reader.claimed()
    before = reader.state()
    same = {"categories": [reader.category], "types": ["A"], "partitions": 3}
    assert not reader.create(**same, partition_by="cardinal_id", start_position=None)
    assert reader.state() == before


@pytest.mark.parametrize(
    "other",
    [
        {"types": ["B"]},
        {"types": None},
        {"categories": None},
        {"stream_pattern": "%"},
        {"partition_by": "cardinal_id"},
    ],
)
def test_create_subscription_of_something_else_is_refused(
    store: Store, other: dict[str, Any]
) -> None:
    reader = Subscription(store, types=["A"])
    named = {"categories": [reader.category], "types": ["A"]}
    with reader.refused("MS022", subscription=reader.name, **named):
        reader.create(**named | other)


def test_create_subscription_again_leaves_its_partitions(store: Store) -> None:
    reader = Subscription(store, partitions=3)
    before = reader.state()
    assert not reader.create(categories=[reader.category], partitions=5)
    assert reader.state() == before


def test_filters_are_sets(store: Store) -> None:
    reader = Subscription(store, categories=["b", "a", "b"], types=["Y", "X"])
    assert not reader.create(categories=["a", "b"], types=["X", "Y", "Y"])


def test_create_subscription_again_updates_what_happens_on_failure(store: Store) -> None:
    reader = Subscription(store)
    named = {"on_failure": "park", "max_attempts": 9, "retry_delay": "3 seconds"}
    assert not reader.create(categories=[reader.category], **named)
    cursor = store.query(
        "SELECT l.on_failure, l.max_attempts, l.retry_delay::text"
        " FROM STORE.list_subscriptions() AS l WHERE l.subscription = %s",
        [reader.name],
    )
    assert cursor.fetchall() == [("park", 9, "00:00:03")]


def test_subscription_starts_where_it_is_told(store: Store) -> None:
    reader = Subscription(store)
    positions = [reader.write() for _ in range(3)]
    ((time,),) = store.query(
        "SELECT m.added_at FROM STORE.messages AS m WHERE m.global_position = %s", [positions[1]]
    ).fetchall()

    def handled(**start: Any) -> list[int]:
        other = Subscription(store, categories=[reader.category], **start)
        return other.work()

    assert handled() == positions
    assert handled(start_position=positions[0]) == positions[1:]
    assert handled(start_position=None) == []
    assert handled(start_time=time) == positions[1:]
    assert handled(start_time="infinity") == []
    assert handled(start_time="-infinity") == positions


def test_subscription_from_the_end_gets_what_is_in_flight(store: Store, connect: Connect) -> None:
    conn = connect(autocommit=False)
    reader = Subscription(store)
    _, position = store.write(f"{reader.category}-1", on=conn)
    reader.write(2)
    late = Subscription(store, categories=[reader.category], start_position=None)
    conn.commit()
    assert late.work()[0] == position


@pytest.mark.parametrize(
    ("argument", "values"),
    {
        "subscription": [None, "", "x" * 256],
        "partitions": [None, 0, 65537],
        "partition_by": [None, "x"],
        "start_position": [-1],
        "on_failure": [None, "skip"],
        "max_attempts": [None, 0],
        "retry_delay": [None, "-1 second", "1001 years"],
        "categories": [[], [None], [["a"], ["b"]], ["a", "b-1"]],
        "types": [[], ["A", None], [["A"], ["B"]], ["A", ""]],
        "metadata": ["1", '{"a":' * 101 + "1" + "}" * 101],
    }.items(),
)
def test_create_subscription_refuses_a_bad_argument(
    store: Store, argument: str, values: list[object]
) -> None:
    for value in values:
        named: dict[str, Any] = {"subscription": "bad", argument: value}
        with store.refused("22023", argument=argument):
            store.call("create_subscription", **named)
    assert "bad" not in [row[0] for row in store.call("list_subscriptions")]


def test_subscription_reads_what_its_filters_leave(store: Store) -> None:
    reader = Subscription(store, types=["A", "B"], stream_pattern="%-_")
    wanted = []
    for n, type_ in enumerate("ABCABC"):
        wanted += [reader.write(n, type_)] if type_ != "C" else []
        reader.write(10 + n, type_)
        reader.write(n, "C")
    assert reader.work() == wanted


@pytest.mark.parametrize("pattern", [None, "c%"])
@pytest.mark.parametrize("partition_by", ["stream", "cardinal_id", "metadata:key"])
@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("categories", [0, 1, 2])
def test_every_message_is_handed_out_once(
    store: Store, categories: int, partitions: int, partition_by: str, pattern: str | None
) -> None:
    """Of everything, of one category and of two; also the last one that there is."""
    name = f"c{uuid4().hex[:12]}"
    reader = Subscription(
        store,
        categories=[name, f"{name}b"][:categories] or None,
        partitions=partitions,
        partition_by=partition_by,
        stream_pattern=pattern,
        start_position=None,
    )
    for _ in range(3):
        written = [
            store.write(f"{name}{'b' * (n % categories if categories else 0)}-{n}")[1]
            for n in range(10)
        ]
        assert sorted(reader.work()) == written
        assert reader.claim() is None


def test_checkpoint_moves_past_what_is_left_out(store: Store) -> None:
    reader = Subscription(store, types=["A"], partitions=2)
    first = reader.write()
    for n in range(50):
        last = reader.write(n, "B")
    lease = reader.claimed()
    batch = lease.fetch()
    assert batch.positions == [first]
    assert batch.checkpoint == last
    assert lease.fetch(1).checkpoint == first
    lease.acknowledge(batch.checkpoint)
    assert lease.fetch() == ([], None, False)
    assert reader.position() == last
    for row in reader.partitions():
        assert (row["checkpoint"], row["behind"]) == (last, 0)
    last = reader.write(1, "B")
    assert reader.claim() is None
    assert reader.position() == last


def test_subscription_position_stays_before_what_waits(store: Store, connect: Connect) -> None:
    reader = Subscription(store)
    first = reader.write()
    assert reader.position() < first
    lease, conn = reader.claimed(), connect(autocommit=False)
    lease.acknowledge(lease.fetch().checkpoint, on=conn)
    assert reader.position() < first
    conn.commit()
    assert reader.position() >= first


@pytest.mark.parametrize("where", ["before", "beyond", "none"])
def test_acknowledge_refuses_another_checkpoint(store: Store, where: str) -> None:
    reader = Subscription(store)
    first = reader.write()
    reader.write()
    lease = reader.claimed()
    lease.acknowledge(first)
    swept = reader.claim()
    assert swept is None
    beyond = reader.write()
    checkpoint = {"before": first - 1, "beyond": beyond, "none": None}[where]
    with reader.refused("22023", argument="checkpoint"):
        lease.acknowledge(checkpoint)


def test_subscriptions_of_the_same_messages_are_independent(store: Store) -> None:
    one = Subscription(store)
    other = Subscription(store, categories=[one.category], partitions=2)
    positions = [one.write(n) for n in range(5)]
    assert one.work() == positions
    assert other.position() < positions[0]
    store.call("pause_subscription", one.name)
    assert sorted(other.work()) == positions


def test_paused_subscription_hands_out_nothing(store: Store) -> None:
    reader = Subscription(store)
    position = reader.write()
    lease = reader.claimed()
    batch = lease.fetch()
    store.call("pause_subscription", reader.name)
    assert lease.fetch() == ([], None, False)
    lease.acknowledge(batch.checkpoint)  # what is in hand is finished
    later = reader.write()
    assert reader.claim() is None
    assert [row["state"] for row in reader.partitions()] == ["paused"]
    store.call("resume_subscription", reader.name)
    lease.release()
    assert reader.work() == [later]
    assert position < later


@pytest.mark.parametrize("partition", [-1, 2, 2**62])
def test_resume_refuses_a_partition_that_is_not_there(store: Store, partition: int) -> None:
    reader = Subscription(store, partitions=2)
    with store.refused("22023", argument="partition", partition=partition):
        store.call("resume_subscription", reader.name, partition)
    store.call("resume_subscription", reader.name, 1)


def test_rewind_subscription_hands_out_again(store: Store) -> None:
    reader = Subscription(store, partitions=2)
    positions = [reader.write(n) for n in range(10)]
    assert sorted(reader.work()) == positions
    store.call("rewind_subscription", reader.name, positions[4])
    assert sorted(reader.work()) == positions[5:]
    store.call("rewind_subscription", reader.name, to_time="-infinity")
    assert sorted(reader.work()) == positions
    store.call("rewind_subscription", reader.name, 0)
    last = store.call("rewind_subscription", reader.name, to_time="infinity")
    assert last == store.call("safe_position")
    assert reader.work() == []


def test_rewind_waits_for_an_open_acknowledgement(store: Store, connect: Connect) -> None:
    reader = Subscription(store)
    position = reader.write()
    lease, conn = reader.claimed(), connect(autocommit=False)
    lease.acknowledge(position, on=conn)
    rewinder = connect(options="-c lock_timeout=50ms")
    with store.refused("55P03"):
        store.call("rewind_subscription", reader.name, 0, on=rewinder)
    conn.commit()
    store.call("rewind_subscription", reader.name, 0, on=rewinder)
    with reader.refused("MS020"):
        lease.acknowledge(position)
    assert reader.work() == [position]


@pytest.mark.parametrize("position", [None, -1, 2**62])
def test_rewind_refuses_a_bad_position(store: Store, position: int | None) -> None:
    reader = Subscription(store)
    with reader.refused("22023", argument="to_position"):
        store.call("rewind_subscription", reader.name, position)


@pytest.mark.parametrize("partition_by", ["stream", "cardinal_id"])
@pytest.mark.parametrize(("old", "new"), [(1, 4), (4, 1), (4, 3), (2, 16)])
def test_repartition_loses_and_repeats_nothing(
    store: Store, partition_by: str, old: int, new: int
) -> None:
    reader = Subscription(store, partitions=old, partition_by=partition_by)
    written = [(reader.write(n % 9), n % 9) for n in range(60)]
    lease = reader.claimed()
    handled = lease.fetch(3).positions
    lease.acknowledge(handled[-1])
    store.call("repartition_subscription", reader.name, new)
    written += [(reader.write(n % 9), n % 9) for n in range(60)]
    assert not reader.create(
        categories=[reader.category], partitions=new, partition_by=partition_by
    )
    handled += lease.work(4)
    handled += reader.work()
    assert len(reader.partitions()) == new
    assert sorted(handled) == [position for position, _ in written]
    stream = dict(written)
    for n in range(9):
        of_stream = [position for position in handled if stream[position] == n]
        assert of_stream == sorted(of_stream)
    last = reader.write()
    assert reader.work() == [last]


def test_repartition_waits_for_those_that_are_not_done(store: Store, connect: Connect) -> None:
    reader = Subscription(store, partitions=2)
    position = reader.write()
    lease, conn = reader.claimed(), connect(autocommit=False)
    lease.acknowledge(lease.fetch().checkpoint, on=conn)
    store.call("repartition_subscription", reader.name, 3)
    assert reader.claim(on=connect(options="-c lock_timeout=1s")) is None
    assert len(reader.partitions()) == 2
    conn.rollback()
    assert lease.work() == [position]
    assert reader.claim() is None
    assert len(reader.partitions()) == 3


@pytest.mark.parametrize("partitions", [None, 0, -1, 65537])
def test_repartition_refuses_a_bad_number(store: Store, partitions: int | None) -> None:
    reader = Subscription(store)
    with reader.refused("22023", argument="partitions"):
        store.call("repartition_subscription", reader.name, partitions)


def test_dropped_subscription_leaves_nothing(store: Store) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1, partitions=2)
    position = reader.write()
    lease = reader.claimed()
    lease.fail(position)
    second = reader.write()
    reader.claim()
    assert all(reader.state())
    store.call("drop_subscription", reader.name)
    assert not any(reader.state())
    with store.refused("MS021", subscription=reader.name):
        lease.acknowledge(position)
    assert reader.create(categories=[reader.category])
    assert reader.work() == [position, second]


@pytest.mark.parametrize(
    "function",
    [
        *["drop_subscription", "pause_subscription", "resume_subscription", "rewind_subscription"],
        *["list_parked", "replay_parked", "drop_parked", "subscription_position"],
    ],
)
def test_unknown_subscription_is_refused(store: Store, function: str) -> None:
    with store.refused("MS021", subscription="none"):
        store.call(function, "none")
