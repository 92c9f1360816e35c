import pytest

from tests.conftest import Connect
from tests.sql.store import Store
from tests.sql.subscriptions import Subscription


@pytest.mark.parametrize("partitions", [1, 4])
def test_hold_returns_the_highest_checkpoint(store: Store, partitions: int) -> None:
    held = Subscription(store, partitions=partitions)
    assert store.call("hold_subscription", held.name) == [(0,)]
    positions = [held.write(n) for n in range(8)]
    lease = held.claimed()
    first = lease.fetch(1)
    lease.acknowledge(first.checkpoint)
    assert store.call("hold_subscription", held.name) == [(first.checkpoint,)]
    lease.work()
    held.work()
    assert store.call("hold_subscription", held.name) == [(positions[-1],)]


def test_a_held_subscription_acknowledges_nothing(store: Store, connect: Connect) -> None:
    held = Subscription(store)
    held.write()
    lease = held.claimed()
    batch = lease.fetch()
    holder, handler = connect(autocommit=False), connect(autocommit=False)
    assert store.call("hold_subscription", held.name, on=holder) == [(0,)]
    handler.execute("SET LOCAL lock_timeout = '50ms'")
    with store.refused("55P03"):
        lease.acknowledge(batch.checkpoint, on=handler)
    handler.rollback()
    assert held.claim() is None  # waits for nothing
    holder.commit()
    lease.acknowledge(batch.checkpoint)
    assert held.position() == batch.checkpoint


def test_hold_is_refused(store: Store, connect: Connect) -> None:
    with store.refused("MS021", subscription="none"):
        store.call("hold_subscription", "none")
    held = Subscription(store)
    conn = connect(autocommit=False)
    conn.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    with store.refused("MS004"):
        store.call("hold_subscription", held.name, on=conn)
