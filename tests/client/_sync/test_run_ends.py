# Generated from tests/client/_async/test_run_ends.py by `python tools/unasync.py`.

"""How runs end, and what they leave: nothing."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgstore import MessageStore, SubscriptionNotFoundError
from tests.client._sync.conftest import OpenStore
from tests.client._sync.running import numbers, owners, running
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = MessageStore[Any]
Transaction = psycopg.Connection[Any]


class Broken(SystemExit):
    """As what ends a program."""


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
def watched(open_store: OpenStore, conninfo: str, watch: Watch) -> Store:
    """A store whose sessions the test can find."""
    return open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))


def test_stop_finishes_the_batch_in_hand_and_no_more(store: Store, category: str) -> None:
    store.write_many(f"{category}-1", [EventA(number) for number in range(9)])
    subscription = store.subscription(category, category=category, batch_size=3)
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA, tx: Transaction) -> None:
        store.write(f"copy{category}", message, conn=tx)
        seen.append(message.num)
        if message.num == 3:
            store.stop()

    with running(store, subscription):
        Parallel.until(lambda: len(seen) == 6)
    assert seen == numbers(store, f"copy{category}") == [0, 1, 2, 3, 4, 5]
    (partition,) = subscription.partitions()
    assert partition.leased_until is None
    assert store.run_once(subscription) == 3


def test_run_once_gives_the_lease_back_when_the_connection_is_lost(
    store: Store, category: str
) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)
        if len(seen) == 1:
            tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(psycopg.OperationalError):
        store.run_once(subscription)
    assert owners(subscription) == []
    assert store.run_once(subscription) == 1


@pytest.mark.parametrize("takes_transaction", [False, True])
def test_what_is_to_end_the_program_ends_the_run_and_gives_the_lease_back(
    store: Store, category: str, takes_transaction: bool
) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category, partitions=4)
    error = Broken("out")

    if takes_transaction:

        @subscription.handler
        def with_it(message: EventA, tx: Transaction) -> None:
            raise error
    else:

        @subscription.handler
        def without(message: EventA) -> None:
            raise error

    with pytest.raises(Broken) as caught:
        store.run(subscription, workers=3)
    assert caught.value is error
    assert store._runners == set()
    partitions = subscription.partitions()
    assert [each.leased_until for each in partitions] == [None] * 4
    assert max(each.attempts for each in partitions) == 0
    with pytest.raises(Broken):
        store.run_once(subscription)


def test_run_returns_when_all_its_workers_have_ended(store: Store, category: str) -> None:
    for number in range(20):
        store.write(f"{category}-{number}", EventA(number))
    subscription = store.subscription(category, category=category, partitions=8, batch_size=1)
    at_work: list[int] = []
    ended: list[int] = []

    @subscription.handler
    def work(message: EventA, tx: Transaction) -> None:
        at_work.append(message.num)
        if len(at_work) == 1:
            Parallel.until(lambda: len(at_work) == 2)
            raise Broken
        tx.execute("SELECT pg_sleep(0.2)")
        ended.append(message.num)

    with pytest.raises(Broken):
        store.run(subscription, workers=2)
    assert len(ended) == len(at_work) - 1


def test_closing_the_store_ends_run_and_leaves_nothing(
    watched: Store, store: Store, watch: Watch, category: str
) -> None:
    store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = watched.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    def copy(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)
        tx.execute("SELECT pg_sleep(0.1)")
        store.write(f"copy{category}", message, conn=tx)

    with Parallel() as parallel:
        parallel.start(lambda: watched.run(subscription, workers=2))
        Parallel.until(lambda: len(seen) > 0)
        watched.close()
        assert parallel.results() == [None]
    watch.wait_until_gone()
    assert numbers(store, f"copy{category}") == [1, 2]
    assert owners(subscription) == []


@pytest.mark.parametrize("takes_transaction", [False, True])
def test_a_run_that_outlives_its_store_does_not_open_it_again(
    watched: Store,
    store: Store,
    watch: Watch,
    category: str,
    takes_transaction: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pgstore._sync.store._PATIENCE", 0.1)
    store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = watched.subscription(category, category=category, batch_size=1)
    seen: list[int] = []
    closed: list[bool] = []

    def wait(number: int) -> None:
        seen.append(number)
        Parallel.until(lambda: len(closed) > 0)

    if takes_transaction:

        @subscription.handler
        def with_it(message: EventA, tx: Transaction) -> None:
            wait(message.num)
    else:

        @subscription.handler
        def without(message: EventA) -> None:
            wait(message.num)

    with Parallel() as parallel:
        parallel.start(lambda: watched.run(subscription))
        Parallel.until(lambda: len(seen) > 0)
        watched.close()
        closed.append(True)
        assert parallel.results() == [None]
    assert seen == [1]
    assert watched._database.source._pool is None
    watch.wait_until_gone()
    handled = store.subscription(category, category=category)
    assert (handled.position() > 0) is takes_transaction


def test_a_run_that_begins_while_the_store_is_closed_ends(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = store.subscription(category, category=category)
    make = store._runner

    def late(*arguments: Any) -> Any:
        runner = make(*arguments)
        store._database.source.closings += 1  # `close` has begun, and has not seen it
        return runner

    @subscription.handler
    def note(message: EventA) -> None: ...

    monkeypatch.setattr(store, "_runner", late)
    with Parallel() as parallel:
        parallel.start(lambda: store.run(subscription))
        assert parallel.results() == [None]


@pytest.mark.parametrize("takes_transaction", [False, True])
def test_a_subscription_that_is_dropped_ends_alone(
    open_store: OpenStore, category: str, takes_transaction: bool
) -> None:
    store, other = open_store(), open_store()
    dropped = store.subscription(f"{category}dropped", category=category)
    kept = store.subscription(category, category=category)
    seen: list[int] = []
    at_work: list[int] = []
    gone: list[bool] = []

    def wait(number: int) -> None:
        at_work.append(number)
        Parallel.until(lambda: len(gone) > 0)

    if takes_transaction:

        @dropped.handler
        def with_it(message: EventA, tx: Transaction) -> None:
            wait(message.num)
    else:

        @dropped.handler
        def without(message: EventA) -> None:
            wait(message.num)

    @kept.handler
    def note(message: EventA) -> None:
        seen.append(message.num)

    with running(store, dropped, kept, workers=2):
        store.write(f"{category}-1", EventA(1))
        Parallel.until(lambda: (at_work, seen) == ([1], [1]))
        other.subscription(f"{category}dropped", category=category).drop()
        gone.append(True)
        store.write(f"{category}-1", EventA(2))
        Parallel.until(lambda: seen == [1, 2])
    assert at_work == [1]
    with pytest.raises(SubscriptionNotFoundError):  # with none left, there is nothing to do
        store.run(dropped)


def test_stop_tells_how_many_have_begun(store: Store, category: str) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA) -> None:
        seen.append(message.num)

    assert store.stop() == 0
    with Parallel() as parallel:
        parallel.start(lambda: store.run(subscription))
        Parallel.until(lambda: store.stop() > 0)
        assert parallel.results() == [None]
    assert store.stop() == 0


def test_stop_ends_a_run_that_has_done_nothing_yet(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)
    create = subscription.create
    seen: list[int] = []
    told: list[int] = []

    @subscription.handler
    def note(message: EventA) -> None:
        seen.append(message.num)

    def stopping() -> None:
        told.append(store.stop())
        create()

    monkeypatch.setattr(subscription, "create", stopping)  # the first that a run does
    with Parallel() as parallel:
        parallel.start(lambda: store.run(subscription))
        assert parallel.results() == [None]
    assert (told, seen) == ([1], [])
    assert owners(subscription) == []


def test_run_can_be_called_twice(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category, partitions=4)
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA) -> None:
        seen.append(message.num)

    for round_ in range(2):
        with Parallel() as parallel:
            parallel.start(*[lambda: store.run(subscription)] * 2)
            Parallel.until(lambda: len(store._runners) == 2)
            for number in range(10):
                store.write(f"{category}-{number}", EventA(number))
            Parallel.until(lambda: len(seen) == 10 * (round_ + 1))  # noqa: B023
            store.stop()
            assert parallel.results() == [None, None]
    assert sorted(seen) == sorted([*range(10), *range(10)])
