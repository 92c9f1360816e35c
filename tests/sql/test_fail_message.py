"""Failures: tried again after a pause, then the partition stops or the message is put aside."""

import pytest

from tests.conftest import Connect
from tests.sql.store import Store
from tests.sql.subscriptions import Subscription


def failed(reader: Subscription, position: int) -> str:
    """Claim, and fail at this message after the others of the batch; the answer."""
    reader.expire()
    lease = reader.claimed()
    while position not in (batch := lease.fetch()).positions:
        lease.acknowledge(batch.checkpoint)
    return lease.fail(position)


def test_failed_message_comes_again_alone_after_a_pause(store: Store) -> None:
    reader = Subscription(store)
    first, second, third, fourth = (reader.write() for _ in range(4))
    assert failed(reader, third) == "retry"
    assert reader.claim() is None  # too early
    assert [row["state"] for row in reader.partitions()] == ["retrying"]
    reader.expire()
    lease = reader.claimed()
    for position in (first, second, third):
        assert lease.fetch() == ([position], position, False)
        lease.acknowledge(position)
    assert lease.fetch().positions == [fourth]
    assert reader.partitions()[0]["attempts"] == 0


@pytest.mark.parametrize("delay", ["1 second", "10 days", "0"])
def test_pause_doubles_up_to_an_hour(store: Store, delay: str) -> None:
    reader = Subscription(store, max_attempts=100, retry_delay=delay)
    position = reader.write()
    for n in range(40):
        assert failed(reader, position) == "retry"
        ((right,),) = store.query(
            "SELECT abs(extract(epoch FROM p.retry_at - clock_timestamp()"
            " - least(%s::interval * power(2, least(%s, 20)), '1 hour'))) < 5"
            " FROM STORE.list_partitions() AS p WHERE p.subscription = %s",
            [delay, n, reader.name],
        ).fetchall()
        assert right


def test_partition_stops_after_the_last_attempt(store: Store) -> None:
    reader = Subscription(store, max_attempts=3)
    first, second = reader.write(), reader.write()
    answers = [failed(reader, first) for _ in range(3)]
    assert answers == ["retry", "retry", "stop"]
    reader.expire()
    reader.write()
    assert reader.claim() is None
    (row,) = reader.partitions()
    assert (row["state"], row["attempts"], row["failed_position"], row["error"]) == (
        *("stopped", 3, first),
        "E",
    )
    store.call("resume_subscription", reader.name, 0)
    assert reader.work()[:2] == [first, second]


def test_stopped_partition_does_not_stop_the_others(store: Store) -> None:
    reader = Subscription(store, partitions=2, max_attempts=1)
    positions = [reader.write(n) for n in range(10)]
    lease = reader.claimed()
    own = lease.fetch().positions
    assert lease.fail(own[0]) == "stop"
    assert sorted([*own, *reader.work()]) == positions
    assert reader.position() < own[0]


@pytest.mark.parametrize("max_attempts", [1, 2, 3])
@pytest.mark.parametrize("everything", [False, True])
def test_parked_message_is_the_only_one_left_out(
    store: Store, max_attempts: int, everything: bool
) -> None:
    reader = Subscription(
        store,
        partitions=2,
        on_failure="park",
        max_attempts=max_attempts,
        retry_delay="0",
        **({"categories": None, "start_position": None} if everything else {}),
    )
    positions = [reader.write(n) for n in range(20)]
    poison = positions[10]
    handled: list[int] = []
    while (lease := reader.claim()) is not None:
        while (batch := lease.fetch()).positions:
            if poison in batch.positions:
                if lease.fail(poison) == "retry":
                    break
                continue
            handled += batch.positions
            lease.acknowledge(batch.checkpoint)
        lease.release()
    assert sorted(handled) == [position for position in positions if position != poison]
    ((parked, attempts, _, _),) = reader.parked()
    assert (parked, attempts) == (poison, max(2, max_attempts))


def test_parked_message_is_replayed_and_settled(store: Store, connect: Connect) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1)
    first, second = reader.write(), reader.write()
    assert failed(reader, first) == "park"
    reader.expire()
    assert reader.work() == [second]
    assert reader.parked() == [(first, 1, False, "E")]
    assert store.call("replay_parked", reader.name, first) == [(1,)]
    third = reader.write()
    lease = reader.claimed()
    batch = lease.fetch()
    assert batch.parked
    assert batch.positions == [first]
    assert lease.fail(first, "again") == "park"
    assert reader.parked() == [(first, 2, False, "again")]
    assert lease.work() + reader.work() == [third]
    store.call("replay_parked", reader.name)
    lease, conn = reader.claimed(), connect(autocommit=False)
    lease.settle(first, on=conn)
    conn.rollback()
    assert lease.fetch().positions == [first]
    lease.settle(first)
    assert reader.parked() == []
    with reader.refused("22023", argument="global_position"):
        lease.settle(first)
    lease.release()
    assert reader.claim() is None


def test_parked_messages_are_dropped(store: Store) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1)
    positions = [reader.write() for _ in range(3)]
    lease = reader.claimed()
    for position in positions:
        assert lease.fail(position) == "park"
    assert store.call("drop_parked", reader.name, positions[1]) == [(1,)]
    assert [row[0] for row in reader.parked()] == [positions[0], positions[2]]
    assert store.call("drop_parked", reader.name) == [(2,)]
    assert store.call("drop_parked", reader.name) == [(0,)]


@pytest.mark.parametrize("partitions", [1, 3])
def test_message_that_was_not_handed_out_cannot_fail(store: Store, partitions: int) -> None:
    reader = Subscription(store, partitions=partitions)
    other = store.write(f"other{reader.category}-1")[1]
    first = reader.write()
    lease = reader.claimed()
    lease.acknowledge(first)
    second = reader.write()
    lease.release()
    lease = reader.claimed()
    for position in (None, other, first, second + 1, 0, -(2**63), 2**63 - 1):
        with reader.refused("22023", argument="global_position"):
            store.call("fail_message", *lease.key, position, "E")


def test_parked_message_of_another_partition_is_not_settled(store: Store) -> None:
    reader = Subscription(store, partitions=2, on_failure="park", max_attempts=1)
    positions = [reader.write(n) for n in range(10)]
    lease = reader.claimed()
    parked = lease.fetch().positions[0]
    assert lease.fail(parked) == "park"
    store.call("replay_parked", reader.name)
    other = reader.claimed()
    assert other.partition != lease.partition
    assert parked in positions
    with reader.refused("22023", argument="global_position"):
        other.settle(parked)
    lease.settle(parked)


def test_replay_does_not_end_the_pause_of_another_message(store: Store) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=2)
    first, second = reader.write(), reader.write()
    assert [failed(reader, first) for _ in range(2)] == ["retry", "park"]
    reader.expire()
    assert failed(reader, second) == "retry"
    store.call("replay_parked", reader.name)
    assert reader.claim() is None
    reader.expire()
    assert reader.claimed().fetch().parked


def test_message_that_is_not_to_be_replayed_is_not_settled(store: Store) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1)
    position = reader.write()
    lease = reader.claimed()
    lease.fail(position)
    with reader.refused("22023", argument="global_position"):
        lease.settle(position)


@pytest.mark.parametrize("new", [1, 3, 7])
def test_repartition_moves_parked_messages_along(store: Store, new: int) -> None:
    reader = Subscription(store, partitions=2, on_failure="park", max_attempts=1)
    positions = [reader.write(n) for n in range(12)]
    while (lease := reader.claim()) is not None:
        for position in lease.fetch().positions:
            assert lease.fail(position) == "park"
        lease.release()
    store.call("repartition_subscription", reader.name, new)
    assert reader.claim() is None
    store.call("replay_parked", reader.name)
    replayed = []
    while (lease := reader.claim()) is not None:
        while (batch := lease.fetch()).parked:
            ((partition,),) = store.query(
                "SELECT STORE._partition_of(s.stream_id, s.stream, m.metadata, %s::bigint,"
                " 'stream')"
                " FROM STORE.messages AS m JOIN STORE.streams AS s USING (stream_id)"
                " WHERE m.global_position = %s",
                [new, batch.positions[0]],
            ).fetchall()
            assert lease.partition == partition
            replayed += batch.positions
            lease.settle(batch.positions[0])
        lease.release()
    assert sorted(replayed) == positions
    assert reader.parked() == []


@pytest.mark.parametrize("partitions", [1, 3])
def test_failure_of_a_message_that_was_deleted_meanwhile(store: Store, partitions: int) -> None:
    """There is nothing to try again: the next ones are handed out, at once."""
    reader = Subscription(store, partitions=partitions)
    gone = reader.write()
    lease = reader.claimed()
    assert lease.fetch().positions == [gone]
    store.query("DELETE FROM STORE.messages AS m WHERE m.global_position = %s", [gone])
    assert lease.fail(gone) == "retry"
    assert [row["attempts"] for row in reader.partitions()] == [0] * partitions
    after = reader.write()
    assert reader.work() == [after]


def test_error_of_a_replay_that_was_deleted_meanwhile_is_not_kept(store: Store) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1)
    position = reader.write()
    lease = reader.claimed()
    assert lease.fail(position) == "park"
    store.call("replay_parked", reader.name)
    assert lease.fetch().parked
    store.query("DELETE FROM STORE.messages AS m WHERE m.global_position = %s", [position])
    assert lease.fail(position, "what the message said") == "park"
    errors = store.query(
        "SELECT k.error FROM STORE.parked_messages AS k JOIN STORE.subscriptions AS s"
        " USING (subscription_id) WHERE s.subscription = %s",
        [reader.name],
    ).fetchall()
    assert errors == [(None,)]


@pytest.mark.parametrize("on_failure", ["stop", "park"])
def test_long_error_is_cut(store: Store, on_failure: str) -> None:
    reader = Subscription(store, on_failure=on_failure, max_attempts=1)
    position = reader.write()
    lease = reader.claimed()
    lease.fail(position, "é" * 30_000)
    errors = [row["error"] for row in reader.partitions()] + [row[3] for row in reader.parked()]
    if on_failure == "park":
        store.call("replay_parked", reader.name)
        lease.fail(position, "è" * 30_000)
        errors += [row[3] for row in reader.parked()]
    kept = ["é" * 10_000, "è" * 10_000] if on_failure == "park" else ["é" * 10_000]
    assert [error for error in errors if error] == kept
