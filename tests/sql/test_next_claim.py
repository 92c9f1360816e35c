"""When there can be something to claim without a notification."""

import pytest

from tests.conftest import Connect
from tests.sql.store import Store
from tests.sql.subscriptions import Subscription


def seconds(store: Store, *readers: Subscription) -> float | None:
    names = [reader.name for reader in readers]
    ((pause,),) = store.query(
        "SELECT extract(epoch FROM STORE.next_claim(%s))::float8", [names]
    ).fetchall()
    assert pause is None or isinstance(pause, float)
    return pause


@pytest.mark.parametrize("partitions", [1, 3])
def test_pause_after_a_failure_is_told_until_it_has_ended(store: Store, partitions: int) -> None:
    reader = Subscription(store, partitions=partitions, retry_delay="100 seconds")
    assert seconds(store, reader) is None
    position = reader.write()
    assert seconds(store, reader) is None
    lease = reader.claimed()
    assert lease.fail(position) == "retry"
    pause = seconds(store, reader)
    assert pause is not None
    assert 90 < pause <= 100
    reader.expire()
    assert seconds(store, reader) is None
    assert reader.work() == [position]
    assert seconds(store, reader) is None


@pytest.mark.parametrize("partitions", [1, 3])
def test_first_end_of_all_leases_and_pauses_is_told(store: Store, partitions: int) -> None:
    long, short, idle = (
        Subscription(store, partitions=partitions, retry_delay="200 seconds") for _ in range(3)
    )
    long.write()
    long.claimed()
    store.query(
        "UPDATE STORE.subscription_partitions AS p SET leased_until = now() + interval '300 s'"
        " FROM STORE.subscriptions AS s WHERE s.subscription_id = p.subscription_id"
        " AND s.subscription = %s AND p.leased_until IS NOT NULL",
        [long.name],
    )
    position = short.write()
    short.claimed().fail(position)
    first, second = seconds(store, long, short, idle), seconds(store, long, idle)
    assert first is not None
    assert second is not None
    assert 190 < first <= 200 < 290 < second <= 300


def test_what_nobody_can_claim_is_not_told(store: Store) -> None:
    reader = Subscription(store, max_attempts=1, retry_delay="100 seconds")
    position = reader.write()
    assert reader.claimed().fail(position) == "stop"
    assert seconds(store, reader) is None
    store.call("resume_subscription", reader.name)
    reader.claimed()
    assert seconds(store, reader) is not None
    store.call("pause_subscription", reader.name)
    assert seconds(store, reader) is None


def test_what_has_become_due_since_the_claim_is_due_at_once(store: Store, connect: Connect) -> None:
    reader = Subscription(store, retry_delay="20 milliseconds")
    position = reader.write()
    lease = reader.claimed()
    conn = connect(autocommit=False)
    conn.execute("SELECT now()")
    lease.fail(position)
    conn.execute("SELECT pg_sleep(0.05)")
    query = f"SELECT extract(epoch FROM {store.name}.next_claim(%s))::float8"
    assert conn.execute(query.encode(), [[reader.name]]).fetchall() == [(0.0,)]
    conn.rollback()
    assert seconds(store, reader) is None
