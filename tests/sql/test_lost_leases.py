"""Leases that were not given back: what ends its worker is counted, and nothing else is."""

from typing import Any

import pytest

from tests.conftest import Connect
from tests.sql.store import Store
from tests.sql.subscriptions import Lease, Subscription

WHY = "the worker ended without releasing its lease"


def claim_batch(reader: Subscription, max_count: int = 100) -> tuple[Lease, list[int]] | None:
    """Claim and fetch as Python does; None if there is nothing to do."""
    name = None
    while name is None:  # there can be more to look at
        rows = reader.store.call("claim_batch", [reader.name], "w", "1 minute", max_count)
        if not rows:
            return None
        name = rows[0][0]
    lease = Lease(reader.store, reader.name, rows[0][1], rows[0][2])
    return lease, [row[6] for row in rows if row[3]]


def work_until_death(reader: Subscription, poison: int, handled: list[int]) -> bool:
    """Handle what is handed out; whether the worker died of a message, its lease as it was."""
    while (claimed := claim_batch(reader)) is not None:
        lease, positions = claimed
        while positions:
            if poison in positions:
                return True
            handled += positions
            lease.acknowledge(positions[-1])
            positions = lease.fetch().positions
        lease.release()
    return False


def set_row(reader: Subscription, assignments: str) -> None:
    reader.store.query(
        f"UPDATE STORE.subscription_partitions AS p SET {assignments}"
        " FROM STORE.subscriptions AS s"
        " WHERE s.subscription_id = p.subscription_id AND s.subscription = %s",
        [reader.name],
    )


def attempts(reader: Subscription) -> int:
    ((number,),) = reader.store.query(
        "SELECT sum(p.attempts)::bigint FROM STORE.list_partitions() AS p"
        " WHERE p.subscription = %s",
        [reader.name],
    ).fetchall()
    return int(number)


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("max_attempts", [1, 2, 5])
def test_message_that_ends_its_worker_is_parked_and_no_other(
    store: Store, partitions: int, max_attempts: int
) -> None:
    reader = Subscription(
        store, partitions=partitions, on_failure="park", max_attempts=max_attempts
    )
    positions = [reader.write(stream) for stream in range(100)]
    poison = positions[56]
    handled: list[int] = []
    deaths = 0
    while work_until_death(reader, poison, handled):
        deaths += 1
        reader.expire()
    assert sorted(handled) == positions[:56] + positions[57:]
    assert reader.parked() == [(poison, max_attempts, False, WHY)]
    # The first time it is one of many, the second time others came before it in the same lease.
    assert deaths <= max_attempts + 2


def test_message_that_ends_its_worker_stops_the_partition(store: Store) -> None:
    reader = Subscription(store, max_attempts=2)
    position = reader.write()
    handled: list[int] = []
    for _ in range(2):
        assert work_until_death(reader, position, handled)
        reader.expire()
    assert not work_until_death(reader, position, handled)
    (row,) = reader.partitions()
    assert (row["state"], row["attempts"], row["failed_position"], row["error"]) == (
        *("stopped", 2, position),
        WHY,
    )
    store.call("resume_subscription", reader.name)
    assert reader.work() == [position]


def test_worker_that_ends_with_a_batch_in_hand_has_it_handed_out_one_by_one(store: Store) -> None:
    """One of them may have ended it; so may one that was only fetched when it ended again."""
    reader = Subscription(store, on_failure="park", max_attempts=1)
    positions = [reader.write() for _ in range(9)]
    assert claim_batch(reader, 4)
    reader.expire()
    for _ in range(3):
        (lease, handed) = claim_batch(reader, 4) or pytest.fail("nothing")
        assert handed == positions[:1]
        lease.acknowledge(positions.pop(0))
        assert lease.fetch(4).positions == positions[:1]
        reader.expire()
    (lease, handed) = claim_batch(reader, 4) or pytest.fail("nothing")
    for _ in range(4):
        assert handed == positions[:1]
        lease.acknowledge(positions.pop(0))
        handed = lease.fetch(4).positions
    assert handed == positions  # several again
    assert attempts(reader) == 0
    assert reader.parked() == []


def test_progress_before_each_end_of_a_worker_parks_nothing(store: Store) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=2)
    positions = [reader.write() for _ in range(12)]
    for _ in range(10):
        (lease, handed) = claim_batch(reader) or pytest.fail("nothing")
        lease.acknowledge(handed[0])
        reader.expire()
    assert attempts(reader) == 0
    assert reader.work() == positions[10:]
    assert reader.parked() == []


RESTARTS = {
    "another server": "server_started_at = p.server_started_at - interval '1 hour'",
    "before an upgrade": "server_started_at = NULL",
    "a crash of one of its processes": "token = 1",
    "a clock that was ahead": "leased_until = now() + interval '1 hour'",
}


@pytest.mark.parametrize("what", RESTARTS)
def test_what_ended_the_worker_is_not_its_message(store: Store, what: str) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1)
    first, second = reader.write(), reader.write()
    for _ in range(10):
        (_, handed) = claim_batch(reader) or pytest.fail("nothing")
        assert handed == [first, second]
        reader.expire()
        set_row(reader, RESTARTS[what])
    assert attempts(reader) == 0
    assert reader.work() == [first, second]


@pytest.mark.parametrize("partitions", [1, 3])
def test_lease_from_a_clock_that_was_ahead_has_ended(store: Store, partitions: int) -> None:
    reader = Subscription(store, partitions=partitions)
    position = reader.write()
    lease = reader.claimed()
    assert reader.claim() is None
    set_row(reader, "leased_until = p.leased_until + interval '1 hour'")
    assert [row["state"] for row in reader.partitions() if row["behind"]] == ["waiting"]
    assert reader.claimed().work() == [position]
    with reader.refused("MS020"):
        lease.acknowledge(position)


def test_worker_whose_clock_was_ahead_has_its_lease_set_right(store: Store) -> None:
    reader = Subscription(store)
    position = reader.write()
    lease = reader.claimed()
    set_row(reader, "leased_until = p.leased_until + interval '1 hour'")
    assert lease.fetch().positions == [position]
    assert reader.claim() is None


@pytest.mark.parametrize("alone", [True, False])
def test_count_of_a_lost_lease_is_on_disk_before_the_message_is_handed_out(
    store: Store, connect: Connect, alone: bool
) -> None:
    """Python claims without waiting for the disk, which a lease can do without."""
    reader = Subscription(store)
    reader.write()
    reader.claimed()
    reader.expire()
    if not alone:
        set_row(reader, "leased_until = NULL")
    conn = connect(autocommit=False)
    store.query("SET LOCAL synchronous_commit = off", on=conn)
    assert store.call("claim_batch", [reader.name], "w", on=conn)
    ((setting,),) = store.query("SHOW synchronous_commit", on=conn).fetchall()
    assert setting == ("local" if alone else "off")


@pytest.mark.parametrize("partitions", [1, 3])
def test_replayed_message_that_ends_its_worker_is_parked_again(
    store: Store, partitions: int
) -> None:
    reader = Subscription(store, partitions=partitions, on_failure="park", max_attempts=1)
    poison = reader.write()
    assert reader.claimed().fail(poison) == "park"
    reader.expire()
    reader.work()
    store.call("replay_parked", reader.name)
    assert reader.claimed().fetch().parked
    reader.expire()
    (lease, handed) = claim_batch(reader) or pytest.fail("nothing")
    assert handed == []
    lease.release()
    assert reader.parked() == [(poison, 2, False, WHY)]
    assert reader.claim() is None


def test_failure_that_is_reported_again_is_not_counted_again(store: Store) -> None:
    reader = Subscription(store, max_attempts=2)
    position, other = reader.write(), reader.write()
    lease = reader.claimed()
    assert [lease.fail(position) for _ in range(3)] == ["retry"] * 3
    assert attempts(reader) == 1
    with reader.refused("MS020"):
        lease.fail(other)
    reader.expire()
    lease = reader.claimed()
    assert [lease.fail(position) for _ in range(3)] == ["stop"] * 3
    assert attempts(reader) == 2


def test_failure_of_a_delivery_that_was_counted_as_lost_is_refused(store: Store) -> None:
    reader = Subscription(store)
    position = reader.write()
    zombie = reader.claimed()
    reader.expire()
    reader.claimed()
    assert attempts(reader) == 1
    with reader.refused("MS020"):
        zombie.fail(position)


def abandon(lease: Lease) -> bool:
    ((was_held,),) = lease._store.call("abandon_partition", *lease.key, "cut")
    return bool(was_held)


@pytest.mark.parametrize("restarted", [False, True])
def test_abandoned_lease_is_given_back_and_counts(store: Store, restarted: bool) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=3)
    position = reader.write()
    for attempt in range(1, 4):
        lease = reader.claimed()  # at once: most connections are lost by no message's doing
        if restarted:
            set_row(reader, RESTARTS["another server"])
        assert abandon(lease)
        assert not abandon(lease)
        assert attempts(reader) == (0 if restarted or attempt == 3 else attempt)
    assert reader.parked() == ([] if restarted else [(position, 3, False, "cut")])
    assert reader.work() == ([position] if restarted else [])


def test_abandoned_batch_is_handed_out_one_by_one(store: Store) -> None:
    reader = Subscription(store, on_failure="park", max_attempts=1)
    positions = [reader.write() for _ in range(3)]
    lease = reader.claimed()
    assert lease.fetch().positions == positions
    assert abandon(lease)
    lease = reader.claimed()
    assert lease.fetch().positions == positions[:1]
    assert reader.parked() == []


def test_abandoned_lease_of_no_subscription_is_refused(store: Store) -> None:
    with store.refused("MS021", subscription="none"):
        abandon(Lease(store, "none", 0, 1))


def test_claim_does_not_count_a_lease_while_its_handler_commits(
    store: Store, connect: Connect
) -> None:
    reader = Subscription(store)
    position = reader.write()
    lease = reader.claimed()
    reader.expire()
    with connect(autocommit=False) as conn:
        lease.acknowledge(position, on=conn)
        assert reader.claim() is None
        conn.commit()
    reader.write()
    assert claim_batch(reader)
    assert attempts(reader) == 0


def stuck(store: Store) -> list[tuple[Any, ...]]:
    return store.call("list_stuck")


@pytest.mark.parametrize("partitions", [1, 3])
def test_partition_is_stuck_whose_checkpoint_does_not_move(store: Store, partitions: int) -> None:
    reader = Subscription(store, partitions=partitions)
    position = reader.write()
    for _ in range(5):
        assert stuck(store) == []
        lease = reader.claimed()
        assert lease.fetch().positions == [position]
        lease.release()
    ((name, _, checkpoint, leases),) = stuck(store)
    assert (name, leases, checkpoint < position) == (reader.name, 5, True)
    lease = reader.claimed()
    lease.acknowledge(position)
    assert stuck(store) == []


def test_columns_of_a_lease_are_those_of_the_statement_that_begins_it(store: Store) -> None:
    """claim_batch begins most leases itself; it must write what _begin_lease writes."""
    written = []
    for claim in (claim_batch, lambda reader: reader.claimed().fetch()):
        reader = Subscription(store)
        reader.write()
        claim(reader)
        written.append(
            store.query(
                "SELECT p.worker, p.lease, p.leases, p.alone, p.batch_size, p.server_started_at,"
                " p.leased_until > clock_timestamp(), p.swept_position IS NOT NULL, p.retry_at"
                " FROM STORE.subscription_partitions AS p JOIN STORE.subscriptions AS s"
                " USING (subscription_id) WHERE s.subscription = %s",
                [reader.name],
            ).fetchone()
        )
    assert written[0] == written[1]
