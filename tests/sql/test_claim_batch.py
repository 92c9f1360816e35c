"""claim_batch takes a short way where it can; it must answer what claim and fetch would have."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Store
from tests.sql.subscriptions import Subscription

Twins = list[Subscription]


class Twin(Subscription):
    """A reader of a given category."""

    def __init__(self, store: Store, category: str, **named: Any) -> None:
        super().__init__(store, **{"categories": [category]} | named)
        self.category = category


def worked(reader: Subscription) -> None:
    reader.work()


def with_one_that_failed(reader: Subscription) -> None:
    lease = reader.claimed()
    lease.fail(lease.fetch().positions[0])


def with_one_whose_pause_is_over(reader: Subscription) -> None:
    with_one_that_failed(reader)
    reader.expire()


def stopped(reader: Subscription) -> None:
    for _ in range(5):
        with suppress(AssertionError):  # until it is stopped
            with_one_whose_pause_is_over(reader)


def leased(reader: Subscription) -> None:
    reader.claimed()


def with_a_lease_that_is_over(reader: Subscription) -> None:
    lease = reader.claimed()
    lease.acknowledge(lease.fetch(2).positions[-1])
    reader.expire()


def with_part_of_it_done(reader: Subscription) -> None:
    lease = reader.claimed()
    lease.acknowledge(lease.fetch(2).positions[-1])
    lease.release()


def with_one_to_replay(reader: Subscription) -> None:
    lease = reader.claimed()
    lease.fail(lease.fetch().positions[0])
    lease.release()
    reader.store.call("replay_parked", reader.name)


def paused(reader: Subscription) -> None:
    reader.store.call("pause_subscription", reader.name)


def rewound(reader: Subscription) -> None:
    reader.work()
    reader.store.call("rewind_subscription", reader.name, 0)


def to_be_divided(reader: Subscription) -> None:
    reader.claimed().release()
    reader.store.call("repartition_subscription", reader.name, 5)


def without_its_first_message(reader: Subscription) -> None:
    reader.store.query(
        "DELETE FROM STORE.messages AS m USING STORE.streams AS s"
        " WHERE s.stream_id = m.stream_id AND s.category = %s AND m.version = 1",
        [reader.category],
    )


STATES: list[Callable[[Subscription], None]] = [
    lambda reader: None,
    worked,
    with_one_that_failed,
    with_one_whose_pause_is_over,
    stopped,
    leased,
    with_a_lease_that_is_over,
    with_part_of_it_done,
    with_one_to_replay,
    paused,
    rewound,
    to_be_divided,
    without_its_first_message,
]

OPTIONS: list[dict[str, Any]] = [
    {},
    {"types": ["A"]},
    {"types": ["none"]},
    {"stream_pattern": "%-2"},
    {"metadata": '{"of": "none"}'},
    {"partitions": 3},
    {"partition_by": "cardinal_id"},
]
COUNTS = [1, 2, 3, 4, 100]


# Each state with all options and all counts, all options with all counts.
CASES = [
    pytest.param(state, COUNTS[(n + m) % len(COUNTS)], options, id=f"{state.__name__}-{options}")
    for n, state in enumerate(STATES)
    for m, options in enumerate(OPTIONS)
]


@pytest.mark.parametrize(("state", "max_count", "options"), CASES)
def test_claim_batch_is_a_claim_and_a_fetch(
    store: Store, state: Callable[[Subscription], None], max_count: int, options: dict[str, Any]
) -> None:
    category = f"c{uuid4().hex[:12]}"
    if state is with_one_to_replay:
        options = options | {"on_failure": "park", "max_attempts": 1}
    by_batch, by_steps = twins = [Twin(store, category, **options) for _ in range(2)]
    for n in range(4):
        by_batch.write(n % 2 + 1)
    store.write(f"other-{uuid4()}")
    for twin in twins:
        with suppress(AssertionError, IndexError):  # where there is nothing to have failed
            state(twin)
    rows = store.call("claim_batch", [by_batch.name], "w", "1 minute", max_count)
    claimed = store.call("claim_partition", [by_steps.name], "w", "1 minute")
    assert bool(rows) == bool(claimed)
    if claimed:
        ((_, partition, token, _),) = claimed
        fetched = store.call("fetch_batch", by_steps.name, partition, token, max_count)
        assert {row[0] for row in rows} == {by_batch.name}
        assert {row[1] for row in rows} == {partition}
        assert [row[3:] for row in rows if row[3] or row[11]] == fetched
    for ours, theirs in zip(by_batch.partitions(), by_steps.partitions(), strict=True):
        leased_until = ours.pop("leased_until"), theirs.pop("leased_until")
        assert (leased_until[0] is None) == (leased_until[1] is None)
        for key in ("subscription", "retry_at"):
            del ours[key], theirs[key]
        assert ours == theirs


def test_claim_batch_reads_all_one_or_some_categories(store: Store) -> None:
    one, other = (f"c{uuid4().hex[:12]}" for _ in range(2))
    ((start,),) = store.call("safe_position")
    readers = {
        name: Twin(store, one, categories=categories, start_position=start)
        for name, categories in (("all", None), ("one", [one]), ("some", [one, other, "none"]))
    }
    found = [store.write(f"{category}-1")[1] for category in (one, other, "third", one)]
    expected = {"all": found, "one": [found[0], found[3]], "some": [*found[:2], found[3]]}
    for name, reader in readers.items():
        rows = store.call("claim_batch", [reader.name], "w")
        assert [row[6] for row in rows[:-1]] == expected[name]
        assert rows[-1][3] is None
        assert rows[-1][11] == found[-1]


def test_claim_batch_takes_the_first_subscription_that_has_work(store: Store) -> None:
    readers = [Subscription(store, partitions=n) for n in (1, 3, 1, 3)]
    names = [reader.name for reader in readers]
    for reader in readers[1:]:
        reader.write()
    found = [store.call("claim_batch", names, "w")[0][0] for _ in range(3)]
    assert found == names[1:]
    assert store.call("claim_batch", names, "w") == []


def test_claim_batch_stops_before_what_is_in_flight(store: Store, connect: Connect) -> None:
    reader = Subscription(store)
    first = reader.write()
    with connect(autocommit=False) as conn:
        store.write(f"{reader.category}-2", on=conn)
        reader.write()
        rows = store.call("claim_batch", [reader.name], "w")
        assert [row[6] for row in rows if row[3]] == [first]
        assert rows[-1][11] < first + 2
        conn.rollback()


def test_claim_batch_does_not_wait_for_a_handler(store: Store, connect: Connect) -> None:
    """Its transaction holds the row, its lease is over: somebody else's turn, but not yet."""
    reader = Subscription(store)
    positions = [reader.write(), reader.write()]
    lease = reader.claimed()
    with connect(autocommit=False) as conn:
        lease.acknowledge(positions[0], on=conn)
        reader_row = (
            "UPDATE STORE.subscription_partitions AS p SET leased_until = NULL"
            " FROM STORE.subscriptions AS s WHERE s.subscription_id = p.subscription_id"
            " AND s.subscription = %s"
        )
        store.query(reader_row, [reader.name], on=conn)
        worker = connect(options="-c lock_timeout=1s")
        assert store.call("claim_batch", [reader.name], "w", on=worker) == []
        conn.commit()
    rows = store.call("claim_batch", [reader.name], "w")
    assert [row[6] for row in rows if row[3]] == positions[1:]


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_claim_batch_refuses_an_old_snapshot(
    store: Store, connect: Connect, isolation: str
) -> None:
    reader = Subscription(store)
    with connect(autocommit=False) as conn:
        conn.isolation_level = psycopg.IsolationLevel[isolation.replace(" ", "_")]
        with store.refused("MS004"):
            store.call("claim_batch", [reader.name], "w", on=conn)


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("lease", ([], "w", "0")),
        ("lease", ([], "w", None)),
        ("lease", ([], "w", "1001 years")),  # its end is no time that every client can read
        ("subscriptions", (None, "w")),
        ("subscriptions", ([None], "w")),
        ("subscriptions", ([["a"], ["b"]], "w")),
        ("max_count", ([], "w", "1 minute", 0)),
        ("max_count", ([], "w", "1 minute", None)),
    ],
)
def test_claim_batch_refuses_bad_arguments(
    store: Store, argument: str, arguments: tuple[Any, ...]
) -> None:
    with store.refused("22023", argument=argument):
        store.call("claim_batch", *arguments)


def test_claim_batch_of_an_unknown_subscription(store: Store) -> None:
    with store.refused("MS021", subscription="none"):
        store.call("claim_batch", ["none"], "w")


def test_claim_batch_lets_a_change_of_partitions_end(store: Store) -> None:
    """What comes meanwhile waits for the new partitions."""
    reader = Subscription(store)
    positions = [reader.write() for _ in range(3)]
    reader.claimed().release()
    store.call("repartition_subscription", reader.name, 2)
    reader.write()
    rows = store.call("claim_batch", [reader.name], "w")
    assert [row[6] for row in rows if row[3]] == positions
    assert rows[-1][11] == positions[-1]
