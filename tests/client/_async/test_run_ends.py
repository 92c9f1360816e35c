"""How runs end, and what they leave: nothing."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgstore import AsyncMessageStore, SubscriptionNotFoundError
from tests.client._async.conftest import OpenStore
from tests.client._async.running import numbers, owners, running
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]


class Broken(SystemExit):
    """As what ends a program."""


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
async def watched(open_store: OpenStore, conninfo: str, watch: Watch) -> Store:
    """A store whose sessions the test can find."""
    return await open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))


async def test_stop_finishes_the_batch_in_hand_and_no_more(store: Store, category: str) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(9)])
    subscription = store.subscription(category, category=category, batch_size=3)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA, tx: Transaction) -> None:
        await store.write(f"copy{category}", message, conn=tx)
        seen.append(message.num)
        if message.num == 3:
            store.stop()

    async with running(store, subscription):
        await AsyncParallel.until(lambda: len(seen) == 6)
    assert seen == await numbers(store, f"copy{category}") == [0, 1, 2, 3, 4, 5]
    (partition,) = await subscription.partitions()
    assert partition.leased_until is None
    assert await store.run_once(subscription) == 3


async def test_run_once_gives_the_lease_back_when_the_connection_is_lost(
    store: Store, category: str
) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)
        if len(seen) == 1:
            await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(psycopg.OperationalError):
        await store.run_once(subscription)
    assert await owners(subscription) == []
    assert await store.run_once(subscription) == 1


@pytest.mark.parametrize("takes_transaction", [False, True])
async def test_what_is_to_end_the_program_ends_the_run_and_gives_the_lease_back(
    store: Store, category: str, takes_transaction: bool
) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category, partitions=4)
    error = Broken("out")

    if takes_transaction:

        @subscription.handler
        async def with_it(message: EventA, tx: Transaction) -> None:
            raise error
    else:

        @subscription.handler
        async def without(message: EventA) -> None:
            raise error

    with pytest.raises(Broken) as caught:
        await store.run(subscription, workers=3)
    assert caught.value is error
    assert store._runners == set()
    partitions = await subscription.partitions()
    assert [each.leased_until for each in partitions] == [None] * 4
    assert max(each.attempts for each in partitions) == 0
    with pytest.raises(Broken):
        await store.run_once(subscription)


async def test_run_returns_when_all_its_workers_have_ended(store: Store, category: str) -> None:
    for number in range(20):
        await store.write(f"{category}-{number}", EventA(number))
    subscription = store.subscription(category, category=category, partitions=8, batch_size=1)
    at_work: list[int] = []
    ended: list[int] = []

    @subscription.handler
    async def work(message: EventA, tx: Transaction) -> None:
        at_work.append(message.num)
        if len(at_work) == 1:
            await AsyncParallel.until(lambda: len(at_work) == 2)
            raise Broken
        await tx.execute("SELECT pg_sleep(0.2)")
        ended.append(message.num)

    with pytest.raises(Broken):
        await store.run(subscription, workers=2)
    assert len(ended) == len(at_work) - 1


async def test_closing_the_store_ends_run_and_leaves_nothing(
    watched: Store, store: Store, watch: Watch, category: str
) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = watched.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    async def copy(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)
        await tx.execute("SELECT pg_sleep(0.1)")
        await store.write(f"copy{category}", message, conn=tx)

    async with AsyncParallel() as parallel:
        await parallel.start(lambda: watched.run(subscription, workers=2))
        await AsyncParallel.until(lambda: len(seen) > 0)
        await watched.aclose()
        assert await parallel.results() == [None]
    watch.wait_until_gone()
    assert await numbers(store, f"copy{category}") == [1, 2]
    assert await owners(subscription) == []


@pytest.mark.parametrize("takes_transaction", [False, True])
async def test_a_run_that_outlives_its_store_does_not_open_it_again(
    watched: Store,
    store: Store,
    watch: Watch,
    category: str,
    takes_transaction: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pgstore._async.store._PATIENCE", 0.1)
    await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = watched.subscription(category, category=category, batch_size=1)
    seen: list[int] = []
    closed: list[bool] = []

    async def wait(number: int) -> None:
        seen.append(number)
        await AsyncParallel.until(lambda: len(closed) > 0)

    if takes_transaction:

        @subscription.handler
        async def with_it(message: EventA, tx: Transaction) -> None:
            await wait(message.num)
    else:

        @subscription.handler
        async def without(message: EventA) -> None:
            await wait(message.num)

    async with AsyncParallel() as parallel:
        await parallel.start(lambda: watched.run(subscription))
        await AsyncParallel.until(lambda: len(seen) > 0)
        await watched.aclose()
        closed.append(True)
        assert await parallel.results() == [None]
    assert seen == [1]
    assert watched._database.source._pool is None
    watch.wait_until_gone()
    handled = store.subscription(category, category=category)
    assert (await handled.position() > 0) is takes_transaction


async def test_a_run_that_begins_while_the_store_is_closed_ends(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = store.subscription(category, category=category)
    make = store._runner

    def late(*arguments: Any) -> Any:
        runner = make(*arguments)
        store._database.source.closings += 1  # `close` has begun, and has not seen it
        return runner

    @subscription.handler
    async def note(message: EventA) -> None: ...

    monkeypatch.setattr(store, "_runner", late)
    async with AsyncParallel() as parallel:
        await parallel.start(lambda: store.run(subscription))
        assert await parallel.results() == [None]


@pytest.mark.parametrize("takes_transaction", [False, True])
async def test_a_subscription_that_is_dropped_ends_alone(
    open_store: OpenStore, category: str, takes_transaction: bool
) -> None:
    store, other = await open_store(), await open_store()
    dropped = store.subscription(f"{category}dropped", category=category)
    kept = store.subscription(category, category=category)
    seen: list[int] = []
    at_work: list[int] = []
    gone: list[bool] = []

    async def wait(number: int) -> None:
        at_work.append(number)
        await AsyncParallel.until(lambda: len(gone) > 0)

    if takes_transaction:

        @dropped.handler
        async def with_it(message: EventA, tx: Transaction) -> None:
            await wait(message.num)
    else:

        @dropped.handler
        async def without(message: EventA) -> None:
            await wait(message.num)

    @kept.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    async with running(store, dropped, kept, workers=2):
        await store.write(f"{category}-1", EventA(1))
        await AsyncParallel.until(lambda: (at_work, seen) == ([1], [1]))
        await other.subscription(f"{category}dropped", category=category).drop()
        gone.append(True)
        await store.write(f"{category}-1", EventA(2))
        await AsyncParallel.until(lambda: seen == [1, 2])
    assert at_work == [1]
    with pytest.raises(SubscriptionNotFoundError):  # with none left, there is nothing to do
        await store.run(dropped)


async def test_stop_tells_how_many_have_begun(store: Store, category: str) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    assert store.stop() == 0
    async with AsyncParallel() as parallel:
        await parallel.start(lambda: store.run(subscription))
        await AsyncParallel.until(lambda: store.stop() > 0)
        assert await parallel.results() == [None]
    assert store.stop() == 0


async def test_stop_ends_a_run_that_has_done_nothing_yet(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category)
    create = subscription.create
    seen: list[int] = []
    told: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    async def stopping() -> None:
        told.append(store.stop())
        await create()

    monkeypatch.setattr(subscription, "create", stopping)  # the first that a run does
    async with AsyncParallel() as parallel:
        await parallel.start(lambda: store.run(subscription))
        assert await parallel.results() == [None]
    assert (told, seen) == ([1], [])
    assert await owners(subscription) == []


async def test_run_can_be_called_twice(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category, partitions=4)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    for round_ in range(2):
        async with AsyncParallel() as parallel:
            await parallel.start(*[lambda: store.run(subscription)] * 2)
            await AsyncParallel.until(lambda: len(store._runners) == 2)
            for number in range(10):
                await store.write(f"{category}-{number}", EventA(number))
            await AsyncParallel.until(lambda: len(seen) == 10 * (round_ + 1))  # noqa: B023
            store.stop()
            assert await parallel.results() == [None, None]
    assert sorted(seen) == sorted([*range(10), *range(10)])
