# Generated from tests/client/_async/test_run.py by `python tools/unasync.py`.

"""Runners: many workers, long handlers, lost connections, and how they end."""

import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolTimeout

from pgstore import MessageStore, RunnerHooks, StoredMessage
from pgstore._sync.database import Database
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client._sync.running import Notes, numbers, owners, running
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = MessageStore[Any]
Transaction = psycopg.Connection[Any]


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
def watched(open_store: OpenStore, conninfo: str, watch: Watch) -> Store:
    """A store whose sessions the test can find."""
    return open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))


@pytest.mark.alone
def test_run_handles_what_is_there_and_what_comes(
    watched: Store, watch: Watch, category: str
) -> None:
    subscription = watched.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA) -> None:
        seen.append(message.num)

    watched.write(f"{category}-1", EventA(0))
    with running(watched, subscription, workers=3):
        for number in range(1, 4):
            Parallel.until(lambda: len(seen) == number)  # noqa: B023
            Parallel.until(watch.is_asleep)
            before = time.monotonic()
            watched.write(f"{category}-1", EventA(number))
            Parallel.until(lambda: len(seen) > number)  # noqa: B023
            assert time.monotonic() - before < 0.9
    assert seen == [0, 1, 2, 3]
    assert owners(subscription) == []
    watched.close()
    watch.wait_until_gone()


def test_two_subscriptions_are_served_fairly(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._sync.runner._TURN", 0.05)
    backlog = store.subscription(f"{category}busy", category=f"{category}busy", batch_size=5)
    other = store.subscription(category, category=category)
    seen: list[str] = []
    written: list[str] = []

    @backlog.handler
    def slow(message: EventA, tx: Transaction) -> None:
        if len(seen) == 10:
            Parallel.until(lambda: written != [])
        tx.execute("SELECT pg_sleep(0.005)")
        seen.append("backlog")

    @other.handler
    def note(message: EventA) -> None:
        seen.append("other")

    store.write_many(f"{category}busy-1", [EventA(number) for number in range(200)])
    with running(store, backlog, other):
        Parallel.until(lambda: len(seen) == 10)
        store.write(f"{category}-1", EventA(1))
        written.append(category)
        Parallel.until(lambda: "other" in seen)
        assert seen.count("backlog") < 150


def test_a_slow_partition_does_not_hold_the_others(store: Store, category: str) -> None:
    slow = f"{category}-0"
    store.write(slow, EventA(0))
    subscription = store.subscription(category, category=category, partitions=8)
    seen: list[str] = []

    @subscription.handler
    def note(stored: StoredMessage[EventA]) -> None:
        if stored.stream == slow:
            Parallel.until(lambda: len(seen) >= 10)
        seen.append(stored.stream)

    for number in range(1, 40):
        store.write(f"{category}-{number}", EventA(number))
    with running(store, subscription, workers=2):
        Parallel.until(lambda: len(seen) == 40)
    assert sorted(seen) == sorted(f"{category}-{number}" for number in range(40))


def test_two_stores_share_the_partitions(open_store: OpenStore, category: str) -> None:
    stores = [open_store(), open_store()]
    seen: list[tuple[int, int]] = []
    subscriptions = []
    for at, store in enumerate(stores):
        subscription = store.subscription(category, category=category, partitions=8, batch_size=2)
        subscriptions.append(subscription)

        @subscription.handler
        def note(message: EventA, tx: Transaction) -> None:
            tx.execute("SELECT pg_sleep(0.005)")
            seen.append((at, message.num))  # noqa: B023

    for number in range(80):
        stores[0].write(f"{category}-{number % 16}", EventA(number))
    with running(stores[0], subscriptions[0]), running(stores[1], subscriptions[1]):
        Parallel.until(lambda: len({number for _, number in seen}) == 80)
        subscriptions[0].wait_until(stores[0].safe_position())
    assert len(seen) == 80
    for stream in range(16):
        handled = [number for _, number in seen if number % 16 == stream]
        assert handled == sorted(handled)


def test_the_lease_of_a_long_handler_is_extended(
    open_store: OpenStore, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._sync.runner._LOOK_ANYWAY", 0.1)
    store, other = open_store(), open_store()
    store.write(f"{category}-1", EventA(1))
    seen: list[int] = []
    subscriptions = []
    for each in (store, other):
        subscription = each.subscription(category, category=category)
        subscriptions.append(subscription)

        @subscription.handler
        def long(message: EventA, tx: Transaction) -> None:
            seen.append(message.num)
            tx.execute("SELECT pg_sleep(2)")

    with (
        running(store, subscriptions[0], lease=1),
        running(other, subscriptions[1], lease=1),
    ):
        Parallel.until(lambda: len(seen) > 0)
        store.stop()  # the one that is at it keeps its lease all the same
        subscriptions[1].wait_until(other.safe_position())
    assert seen == [1]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_connection_lost_in_a_handler_is_not_the_messages_failure(
    store: Store, category: str, wrapped: bool
) -> None:
    store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = store.subscription(category, category=category, max_attempts=1)
    seen: list[int] = []

    @subscription.handler
    def copy(message: EventA, tx: Transaction) -> None:
        store.write(f"copy{category}", message, conn=tx)
        seen.append(message.num)
        if len(seen) == 2:
            try:
                tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            except psycopg.OperationalError as error:
                raise ValueError(message) if wrapped else error  # noqa: B904

    notes = Notes()
    with running(store, subscription, hooks=notes):
        Parallel.until(lambda: len(seen) == 4)
        subscription.wait_until(store.safe_position())
    assert notes.failures == []
    assert seen == [1, 2, 1, 2]
    assert numbers(store, f"copy{category}") == [1, 2]


def test_all_connections_killed_again_and_again(
    watched: Store, store: Store, watch: Watch, category: str
) -> None:
    subscription = watched.subscription(category, category=category, partitions=2)

    @subscription.handler
    def copy(stored: StoredMessage[EventA], tx: Transaction) -> None:
        store.write(f"copy{stored.stream}", stored.message, conn=tx)

    with running(watched, subscription, workers=2):
        for number in range(4):
            store.write(f"{category}-{number % 2}", EventA(number))
            assert watch.kill() >= 0
        reads = store.subscription(category, category=category, partitions=2)
        reads.wait_until(store.safe_position())
    copied = [numbers(store, f"copy{category}-{number}") for number in (0, 1)]
    assert copied == [[0, 2], [1, 3]]


def test_many_workers_in_transactions_leave_room_for_the_rest(store: Store, category: str) -> None:
    count = 12
    store.safe_position()  # the pool is open, and has less room
    subscription = store.subscription(
        category, category=category, partitions=64, partition_by="metadata:n"
    )
    for number in range(64):
        store.write(f"{category}-1", EventA(number), metadata={"n": number})
    together: list[int] = []
    done: list[int] = []

    @subscription.handler
    def work(message: EventA, tx: Transaction) -> None:
        together.append(message.num)
        Parallel.until(lambda: len(together) >= count)
        assert store.stream_version(category) == 0  # beside the transaction
        done.append(message.num)

    with running(store, subscription, workers=count):
        Parallel.until(lambda: len(done) == 64)


def test_a_pool_that_has_no_connection_is_not_the_messages_failure(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = store.subscription(category, category=category, max_attempts=1)
    notes = Notes()
    seen: list[int] = []
    transaction = Database.transaction
    exhausted = [True, True]

    def maybe(database: Database, *first: Any) -> Any:
        if exhausted:
            exhausted.pop()
            raise PoolTimeout
        return transaction(database, *first)

    @subscription.handler
    def note(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)

    monkeypatch.setattr(Database, "transaction", maybe)
    store.write(f"{category}-1", EventA(1))
    with running(store, subscription, hooks=notes):
        Parallel.until(lambda: seen == [1])
    assert (exhausted, notes.failures) == ([], [])


def test_hooks_are_told_the_lag(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._sync.runner._TELL_EVERY", 0.05)
    subscription = store.subscription(category, category=category)
    notes = Notes()
    waits = [True]

    @subscription.handler
    def wait(message: EventA) -> None:
        Parallel.until(lambda: not waits)

    store.write(f"{category}-1", EventA(1))
    with running(store, subscription, hooks=notes):
        Parallel.until(lambda: any(behind > 0 for _, behind in notes.lags))
        waits.clear()
        Parallel.until(lambda: notes.lags[-1] == (category, 0))


def test_a_hook_that_fails_does_not_end_the_work(
    store: Store,
    category: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pgstore._sync.runner._TELL_EVERY", 0.05)
    subscription = store.subscription(category, category=category, retry_delay=0.01)
    told: list[str] = []
    seen: list[int] = []

    class Broken(RunnerHooks):
        def handled(self, subscription: str, partition: int, count: int, seconds: float) -> None:
            told.append("handled")
            raise ZeroDivisionError

        def failed(
            self, subscription: str, partition: int, error: BaseException, action: str
        ) -> None:
            told.append("failed")
            raise ZeroDivisionError

        def behind(self, subscription: str, behind: int) -> None:
            told.append("behind")
            raise ZeroDivisionError

    @subscription.handler
    def note(message: EventA) -> None:
        seen.append(message.num)
        if len(seen) == 1:
            raise ValueError(message)

    store.write(f"{category}-1", EventA(1))
    with running(store, subscription, hooks=Broken()):
        Parallel.until(lambda: {"handled", "failed", "behind"} <= set(told))
        store.write(f"{category}-1", EventA(2))
        Parallel.until(lambda: seen == [1, 1, 2])
        Parallel.until(lambda: told.count("behind") > 1)
    errors = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert errors.count(ZeroDivisionError) >= 4


@pytest.mark.alone
def test_a_dead_workers_partition_is_taken_over(
    store: Store, open_connection: OpenConnection, category: str
) -> None:
    subscription = store.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA) -> None:
        seen.append(message.num)

    subscription.create()
    store.write(f"{category}-1", EventA(1))
    conn = open_connection()
    claim = f'SELECT token FROM "{store.name}".claim_partition(%s, %s, %s)'.encode()
    conn.execute(claim, ([category], "dead", "300 ms"))
    assert store.run_once(subscription) == 0
    before = time.monotonic()
    with running(store, subscription):
        Parallel.until(lambda: seen == [1])
    assert time.monotonic() - before < 1.5  # when the lease ends, not two seconds later
