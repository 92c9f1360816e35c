"""Leases: who has one works alone, and who has lost it changes nothing."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pgstore._core.parameters import DEFAULT_LEASE
from tests.conftest import Connect
from tests.sql.store import Store, wait_until
from tests.sql.subscriptions import Lease, Subscription

USES: dict[str, Callable[[Lease, int], object]] = {
    "fetch_batch": lambda lease, position: lease.fetch(),
    "extend_lease": lambda lease, position: lease.extend(),
    "acknowledge": lambda lease, position: lease.acknowledge(position),
    "fail_message": lambda lease, position: lease.fail(position),
    "settle_parked": lambda lease, position: lease.settle(position),
}
each_use = pytest.mark.parametrize("use", USES)


def test_claim_answers_work_once(store: Store) -> None:
    reader = Subscription(store)
    assert reader.claim() is None
    position = reader.write()
    lease = reader.claimed()
    assert reader.claim() is None
    assert lease.work() == [position]
    assert reader.claim() is None


def test_claim_hands_every_partition_to_one_worker(store: Store) -> None:
    reader = Subscription(store, partitions=4)
    positions = [reader.write(stream) for stream in range(40)]
    leases = []
    while (lease := reader.claim()) is not None:
        leases.append(lease)
    assert sorted(lease.partition for lease in leases) == [0, 1, 2, 3]
    assert sorted(n for lease in leases for n in lease.work()) == positions


def test_claim_takes_the_first_subscription_that_has_work(store: Store) -> None:
    readers = [Subscription(store) for _ in range(3)]
    names = [reader.name for reader in readers]
    readers[2].write()
    readers[1].write()
    found = [store.call("claim_partition", names, "w")[0][0] for _ in range(2)]
    assert found == names[1:]
    assert store.call("claim_partition", names, "w") == []
    assert store.call("claim_partition", [], "w") == []


def test_lease_that_has_ended_is_given_to_another(store: Store) -> None:
    reader = Subscription(store)
    position = reader.write()
    first = reader.claimed("20 milliseconds")
    assert first.fetch().positions == [position]
    second: list[Lease] = []

    def replaced() -> bool:
        second.extend(filter(None, [reader.claim()]))
        return bool(second)

    wait_until(replaced)
    assert second[0].token > first.token
    for use in USES.values():
        with reader.refused("MS020", subscription=reader.name, partition=0, token=first.token):
            use(first, position)
    assert not first.release()
    assert second[0].work() == [position]


def test_lease_that_has_ended_but_was_not_given_away_still_acknowledges(store: Store) -> None:
    reader = Subscription(store)
    position = reader.write()
    lease = reader.claimed()
    reader.expire()
    lease.acknowledge(position)
    assert reader.claim() is None
    assert reader.position() >= position


@each_use
@pytest.mark.parametrize("change", ["rewind", "repartition"])
def test_lease_is_void_after_a_change(store: Store, use: str, change: str) -> None:
    reader = Subscription(store, partitions=2)
    position = reader.write()
    lease = reader.claimed()
    if change == "rewind":
        store.call("rewind_subscription", reader.name, 0)
    else:
        lease.acknowledge(position)
        store.call("repartition_subscription", reader.name, 3)
        reader.claim()
    with reader.refused("MS020"):
        USES[use](lease, position)
    assert not lease.release()


@each_use
@pytest.mark.parametrize("wrong", ["token before", "token after", "partition", "none"])
def test_lease_of_another_is_refused(store: Store, use: str, wrong: str) -> None:
    reader = Subscription(store, partitions=2)
    position = reader.write(1)
    lease = reader.claimed()
    other = {
        "token before": Lease(store, reader.name, lease.partition, lease.token - 1),
        "token after": Lease(store, reader.name, lease.partition, lease.token + 1),
        "partition": Lease(store, reader.name, 1 - lease.partition, lease.token),
        "none": Lease(store, reader.name, 7, lease.token),
    }[wrong]
    with reader.refused("MS020"):
        USES[use](other, position)
    assert not other.release()
    assert lease.work() == [position]


@each_use
def test_lease_of_no_subscription_is_refused(store: Store, use: str) -> None:
    with store.refused("MS021", subscription="none"):
        USES[use](Lease(store, "none", 0, 1), 1)


def test_extend_lease_from_now(store: Store) -> None:
    reader = Subscription(store)
    reader.write()
    lease = reader.claimed("1 hour")
    reader.expire()
    lease.extend()
    assert reader.claim() is None
    ((left,),) = store.query(
        "SELECT p.leased_until - clock_timestamp() BETWEEN '59 minutes' AND '1 hour'"
        " FROM STORE.list_partitions() AS p WHERE p.subscription = %s",
        [reader.name],
    ).fetchall()
    assert left


def test_fetch_extends_a_lease_that_is_half_over(store: Store) -> None:
    reader = Subscription(store)
    reader.write()
    lease = reader.claimed("1 hour")
    reader.expire()
    lease.fetch()
    assert reader.claim() is None


def test_released_partition_is_claimed_by_another(store: Store) -> None:
    reader = Subscription(store)
    position = reader.write()
    lease = reader.claimed()
    assert lease.release()
    assert not lease.release()
    with reader.refused("MS020"):
        lease.extend()
    assert reader.claimed().work() == [position]
    with reader.refused("MS020"):
        lease.acknowledge(position)


def test_acknowledge_in_a_transaction_that_rolls_back_moves_nothing(
    store: Store, connect: Connect
) -> None:
    reader = Subscription(store)
    positions = [reader.write(), reader.write()]
    lease = reader.claimed()
    before = reader.state()
    conn = connect(autocommit=False)
    batch = lease.fetch(on=conn)
    lease.acknowledge(batch.checkpoint, on=conn)
    conn.rollback()
    assert reader.state() == before
    assert lease.fetch().positions == positions
    lease.acknowledge(lease.fetch(on=conn).checkpoint, on=conn)
    conn.commit()
    assert lease.fetch().positions == []


def test_acknowledge_after_the_lease_was_lost_takes_the_effects_with_it(
    store: Store, connect: Connect
) -> None:
    reader = Subscription(store)
    position = reader.write()
    zombie = reader.claimed()
    conn = connect(autocommit=False)
    store.write(f"effect-{reader.name}", on=conn)
    reader.expire()
    assert reader.claimed().work() == [position]
    with store.refused("MS020"):
        zombie.acknowledge(position, on=conn)
    conn.commit()  # of a transaction that has failed: rolls back
    assert store.call("stream_version", f"effect-{reader.name}") == [(0,)]


def test_claim_waits_for_no_open_acknowledgement_of_the_lease_it_replaces(
    store: Store, connect: Connect
) -> None:
    """Nobody gets the partition while an acknowledgement is not committed, even if late."""
    reader = Subscription(store)
    position = reader.write()
    lease = reader.claimed()
    conn = connect(autocommit=False)
    lease.acknowledge(position, on=conn)
    expiring = connect(options="-c lock_timeout=100ms")
    store.query("SET lock_timeout = '2s'", on=expiring)
    # Its row is locked, so the lease can only be made to end by time.
    assert reader.claim(on=expiring) is None
    conn.commit()
    assert reader.claim() is None
    assert reader.position() >= position


def test_open_handlers_block_nobody_else(store: Store, connect: Connect) -> None:
    """Handlers that have acknowledged and stay open; others claim, look for work and finish."""
    reader = Subscription(store, partitions=4)
    streams = one_stream_each(reader)
    first = {reader.write(streams[0]), reader.write(streams[1])}
    held, open_ = [], []
    for _ in range(2):
        lease, conn = reader.claimed(), connect(autocommit=False)
        batch = lease.fetch(on=conn)
        assert set(batch.positions) < first
        lease.acknowledge(batch.checkpoint, on=conn)
        held.append(lease)
        open_.append(conn)
    worker = connect(options="-c lock_timeout=1s")
    later = {reader.write(streams[2]), reader.write(streams[3])}
    handled: set[int] = set()
    for _ in range(2):
        other = reader.claim(on=worker)
        assert other is not None
        batch = other.fetch(on=worker)
        other.acknowledge(batch.checkpoint, on=worker)
        handled |= set(batch.positions)
    assert handled == later
    assert reader.claim(on=worker) is None
    assert len(reader.partitions()) == 4
    reader.position()
    for conn in open_:
        conn.commit()
    assert all(lease.release() for lease in held)
    assert reader.work() == []


def one_stream_each(reader: Subscription) -> list[int]:
    """Numbers of streams, of each partition one, which have had a message that was handled."""
    found: dict[int, int] = {}
    for stream in range(1, 100):
        reader.write(stream)
        lease = reader.claimed()
        found.setdefault(lease.partition, stream)
        lease.work()
        if len(found) == 4:
            return list(found.values())
    raise AssertionError("partitions are not even")


def test_claim_tells_that_others_look_for_work(store: Store, connect: Connect) -> None:
    reader = Subscription(store, partitions=2)
    reader.write()
    conn = connect(autocommit=False)
    store.query(
        "SELECT FROM STORE.subscription_sweeps AS w JOIN STORE.subscriptions AS s"
        " USING (subscription_id) WHERE s.subscription = %s FOR UPDATE OF w",
        [reader.name],
        on=conn,
    )
    worker = connect(options="-c lock_timeout=1s")
    busy = [(None, None, None, None)]
    assert store.call("claim_partition", [reader.name], "w", on=worker) == busy
    conn.rollback()
    assert reader.claim(on=worker) is not None


@pytest.fixture
def described(store: Store) -> Iterator[Callable[[Subscription], None]]:
    """Remember in the table `described` what a subscription is, as a worker does."""
    store.query("CREATE TEMP TABLE described (source STORE.subscriptions)")

    def describe(reader: Subscription) -> None:
        text = "INSERT INTO described SELECT s FROM STORE.subscriptions AS s"
        store.query(f"{text} WHERE s.subscription = %s", [reader.name])

    yield describe
    store.query("DROP TABLE described")


Describe = Callable[[Subscription], None]


def test_sweep_that_began_before_a_repartition_uses_the_new_partitions(
    store: Store, described: Describe
) -> None:
    """A worker can read what the subscription is just before others finish changing it."""
    reader = Subscription(store, partitions=4)
    described(reader)
    store.call("repartition_subscription", reader.name, 3)
    assert reader.claim() is None
    positions = [reader.write(stream) for stream in range(20)]
    sweep = "SELECT STORE._sweep_subscription(d.source, STORE.safe_position()) FROM described AS d"
    store.query(sweep)
    (_, heads, *_) = reader.state()
    assert isinstance(heads, list)
    assert {head[1] for head in heads} == {0, 1, 2}
    assert sorted(reader.work()) == positions

    store.call("repartition_subscription", reader.name, 1)
    assert reader.claim() is None
    positions = [reader.write(stream) for stream in range(20)]
    store.query(sweep)
    (_, heads, *_) = reader.state()
    assert not heads
    assert reader.work() == positions


def test_claim_that_began_before_a_repartition_does_not_hand_out_what_others_have(
    store: Store, described: Describe
) -> None:
    """A worker that still believes there is one partition would hand out all messages as its."""
    reader = Subscription(store, partitions=1)
    described(reader)
    store.call("repartition_subscription", reader.name, 4)
    assert reader.claim() is None
    assert len(reader.partitions()) == 4
    positions = [reader.write(stream) for stream in range(20)]
    leased = store.query(
        "SELECT l.token FROM described AS d,"
        " STORE._lease_only_partition(d.source, 'w', '1 min', STORE.safe_position()) AS l"
    )
    assert leased.fetchall() == []
    assert sorted(reader.work()) == positions


def test_repartition_of_one_partition_ends_while_messages_come(store: Store) -> None:
    reader = Subscription(store, partitions=1)
    positions = [reader.write(stream) for stream in range(3)]
    lease = reader.claimed()
    store.call("repartition_subscription", reader.name, 2)
    positions += [reader.write(stream) for stream in range(20)]
    assert lease.work() == positions[:3]
    later = reader.work()  # not before it has two
    assert len(reader.partitions()) == 2
    assert sorted(later) == positions[3:]


def test_worker_that_finishes_a_repartition_late_does_not_undo_the_next(
    store: Store, described: Describe
) -> None:
    reader = Subscription(store, partitions=4)
    store.call("repartition_subscription", reader.name, 1)
    described(reader)
    assert reader.claim() is None
    store.call("repartition_subscription", reader.name, 3)
    store.query("SELECT STORE._finish_repartition(d.source) FROM described AS d")
    assert len(reader.partitions()) == 3
    store.query("SELECT STORE._finish_repartition(d.source) FROM described AS d")
    assert len(reader.partitions()) == 3


@pytest.mark.parametrize("lease", [None, "0", "-1 second", "1001 years"])
def test_claim_refuses_a_lease_of_no_length(store: Store, lease: str | None) -> None:
    with store.refused("22023", argument="lease"):
        store.call("claim_partition", [], "w", lease)


@pytest.mark.parametrize("names", [None, [None], ["a", None], [["a"], ["b"]]])
def test_claim_refuses_no_name(store: Store, names: list[Any] | None) -> None:
    with store.refused("22023", argument="subscriptions"):
        store.call("claim_partition", names, "w")


def test_partition_that_was_never_claimed_belongs_to_nobody(store: Store) -> None:
    reader = Subscription(store)
    position = reader.write()
    nobody = Lease(store, reader.name, 0, 0)
    with reader.refused("MS020"):
        nobody.acknowledge(position)
    with reader.refused("MS020"):
        nobody.fetch()


def test_acknowledge_gives_the_lease_back(store: Store, connect: Connect) -> None:
    reader = Subscription(store)
    first, second = reader.write(), reader.write()
    lease = reader.claimed()
    with connect(autocommit=False) as conn:
        store.call("acknowledge", *lease.key, first, True, on=conn)
        assert reader.claim() is None
        conn.commit()
    assert reader.claimed().fetch().positions == [second]
    assert not lease.release()


def test_claim_looks_at_so_much_at_a_time(store: Store) -> None:
    """What is left out is passed over in short transactions."""
    reader = Subscription(store, categories=None, types=["rare"], start_position=None)
    store.query(
        "SELECT STORE.write_arrays(%s || g.n, array_fill('A'::text, '{1000}'),"
        " array_fill('1'::jsonb, '{1000}')) FROM generate_series(1, 31) AS g (n)",
        [f"{reader.category}-"],
    )
    more = (None, None, None, None)
    assert store.call("claim_partition", [reader.name], "w") == [more]
    assert store.call("claim_partition", [reader.name], "w") == []
    reader.write(type_="rare")
    assert reader.claim() is not None


def test_finished_repartition_wakes_the_others(store: Store, connect: Connect) -> None:
    reader = Subscription(store, partitions=1)
    store.call("repartition_subscription", reader.name, 4)
    ((channel,),) = store.call("wake_channel")
    with connect() as sleeper:
        sleeper.autocommit = True
        sleeper.execute(f'LISTEN "{channel}"'.encode())
        assert reader.claim() is None
        assert len(reader.partitions()) == 4
        assert list(sleeper.notifies(timeout=30, stop_after=1))


def test_message_that_was_deleted_is_passed_over(store: Store) -> None:
    for partitions in (1, 3):
        reader = Subscription(store, partitions=partitions)
        positions = [reader.write(stream) for stream in range(30)]
        lease = reader.claimed()
        gone = [n for n in positions if n % 3]
        store.query("DELETE FROM STORE.messages WHERE global_position = ANY (%s)", [gone])
        handled = lease.work(max_count=4)
        assert sorted(handled + reader.work()) == [n for n in positions if n % 3 == 0]
        assert reader.position() >= positions[-1]


def test_partition_keeps_no_list_of_what_is_dealt_with(store: Store) -> None:
    reader = Subscription(store, partitions=3)
    for _ in range(3):
        for stream in range(10):
            reader.write(stream)
        assert len(reader.work()) == 10
    (_, _, lists, _) = reader.state()
    assert lists == []


def test_fetch_goes_on_within_a_list(store: Store) -> None:
    reader = Subscription(store, partitions=2)
    positions = []
    for _ in range(3):  # each look makes a list of its own
        positions += [reader.write(stream) for stream in range(20)]
        lease = reader.claimed()
        lease.release()
    handled: dict[int, list[int]] = {0: [], 1: []}
    while (claimed := reader.claim()) is not None:
        handled[claimed.partition] += claimed.work(max_count=7)
    assert sorted(handled[0] + handled[1]) == positions
    assert all(handled.values())
    assert all(each == sorted(each) for each in handled.values())


def test_claim_refuses_an_unknown_subscription(store: Store) -> None:
    with store.refused("MS021", subscription="none"):
        store.call("claim_partition", ["none"], "w")


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_claim_and_fetch_refuse_an_old_snapshot(
    store: Store, connect: Connect, isolation: str
) -> None:
    reader = Subscription(store)
    reader.write()
    lease, conn = reader.claimed(), connect()
    for use in (lambda: reader.claim(on=conn), lambda: lease.fetch(on=conn)):
        conn.execute(f"BEGIN ISOLATION LEVEL {isolation}".encode())
        with reader.refused("MS004", isolation=isolation.lower()):
            use()
        conn.execute("ROLLBACK")


def claim_batch(reader: Subscription, max_count: int = 100) -> list[tuple[object, ...]]:
    """Subscription, partition, token, position, checkpoint and replay of each row."""
    rows = reader.store.call("claim_batch", [reader.name], "w", "1 minute", max_count)
    return [(*row[:3], row[6], *row[11:13]) for row in rows]


def test_claim_batch_is_claim_and_fetch(store: Store) -> None:
    reader = Subscription(store, partitions=2)
    assert claim_batch(reader) == []
    positions = [reader.write(1) for _ in range(3)]
    rows = claim_batch(reader, 2)
    ((name, partition, token),) = {row[:3] for row in rows}
    assert [row[3:] for row in rows] == [(n, n, False) for n in positions[:2]]
    assert claim_batch(reader) == []
    assert isinstance(partition, int)
    assert isinstance(token, int)
    lease = Lease(store, str(name), partition, token)
    lease.acknowledge(positions[1])
    assert lease.work() == positions[2:]


def test_claim_batch_tells_the_checkpoint_after_the_last_message(store: Store) -> None:
    reader = Subscription(store)
    position = reader.write()
    last = store.write(f"other{reader.category}-1")[1]
    assert [row[3:] for row in claim_batch(reader)] == [
        (position, position, False),
        (None, last, None),
    ]


def test_claim_batch_without_a_message_has_the_lease(store: Store) -> None:
    reader = Subscription(store, partitions=2)
    position = reader.write()
    lease = reader.claimed()
    lease.release()
    store.query("DELETE FROM STORE.messages WHERE global_position = %s", [position])
    ((name, partition, token, *rest),) = claim_batch(reader)
    assert (name, partition, rest) == (reader.name, lease.partition, [None, None, None])
    assert store.call("release_partition", name, partition, token) == [(True,)]
    assert claim_batch(reader) == []


def test_tokens_rise_though_the_clock_does_not(store: Store) -> None:
    reader = Subscription(store)
    reader.write()
    reader.claimed().release()
    ahead = 8 * 10**15  # as if the clock had been set back since
    store.query(
        "UPDATE STORE.subscription_partitions AS p SET token = %s FROM STORE.subscriptions AS s"
        " WHERE s.subscription_id = p.subscription_id AND s.subscription = %s",
        [ahead, reader.name],
    )
    assert reader.claimed().token == ahead + 1


def test_a_lease_lasts_as_long_by_default_as_in_python(store: Store) -> None:
    for function in ("claim_batch", "claim_partition"):
        ((arguments,),) = store.query(
            "SELECT pg_get_function_arguments(p.oid) FROM pg_proc AS p"
            " WHERE p.pronamespace = to_regnamespace(%s) AND p.proname = %s",
            (store.name, function),
        ).fetchall()
        (given,) = re.findall(r"DEFAULT '([\d:]+)'::interval", arguments)
        hours, minutes, seconds = map(int, given.split(":"))
        assert hours * 3600 + minutes * 60 + seconds == DEFAULT_LEASE
