"""Runners: many workers, long handlers, lost connections, and how they end."""

import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolTimeout

from pgstore import AsyncMessageStore, RunnerHooks, StoredMessage
from pgstore._async.database import AsyncDatabase
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client._async.running import Notes, numbers, owners, running
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
async def watched(open_store: OpenStore, conninfo: str, watch: Watch) -> Store:
    """A store whose sessions the test can find."""
    return await open_store(conninfo=make_conninfo(conninfo, application_name=watch.name))


@pytest.mark.alone
async def test_run_handles_what_is_there_and_what_comes(
    watched: Store, watch: Watch, category: str
) -> None:
    subscription = watched.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    await watched.write(f"{category}-1", EventA(0))
    async with running(watched, subscription, workers=3):
        for number in range(1, 4):
            await AsyncParallel.until(lambda: len(seen) == number)  # noqa: B023
            await AsyncParallel.until(watch.is_asleep)
            before = time.monotonic()
            await watched.write(f"{category}-1", EventA(number))
            await AsyncParallel.until(lambda: len(seen) > number)  # noqa: B023
            assert time.monotonic() - before < 0.9
    assert seen == [0, 1, 2, 3]
    assert await owners(subscription) == []
    await watched.aclose()
    watch.wait_until_gone()


async def test_two_subscriptions_are_served_fairly(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._async.runner._TURN", 0.05)
    backlog = store.subscription(f"{category}busy", category=f"{category}busy", batch_size=5)
    other = store.subscription(category, category=category)
    seen: list[str] = []
    written: list[str] = []

    @backlog.handler
    async def slow(message: EventA, tx: Transaction) -> None:
        if len(seen) == 10:
            await AsyncParallel.until(lambda: written != [])
        await tx.execute("SELECT pg_sleep(0.005)")
        seen.append("backlog")

    @other.handler
    async def note(message: EventA) -> None:
        seen.append("other")

    await store.write_many(f"{category}busy-1", [EventA(number) for number in range(200)])
    async with running(store, backlog, other):
        await AsyncParallel.until(lambda: len(seen) == 10)
        await store.write(f"{category}-1", EventA(1))
        written.append(category)
        await AsyncParallel.until(lambda: "other" in seen)
        assert seen.count("backlog") < 150


async def test_a_slow_partition_does_not_hold_the_others(store: Store, category: str) -> None:
    slow = f"{category}-0"
    await store.write(slow, EventA(0))
    subscription = store.subscription(category, category=category, partitions=8)
    seen: list[str] = []

    @subscription.handler
    async def note(stored: StoredMessage[EventA]) -> None:
        if stored.stream == slow:
            await AsyncParallel.until(lambda: len(seen) >= 10)
        seen.append(stored.stream)

    for number in range(1, 40):
        await store.write(f"{category}-{number}", EventA(number))
    async with running(store, subscription, workers=2):
        await AsyncParallel.until(lambda: len(seen) == 40)
    assert sorted(seen) == sorted(f"{category}-{number}" for number in range(40))


async def test_two_stores_share_the_partitions(open_store: OpenStore, category: str) -> None:
    stores = [await open_store(), await open_store()]
    seen: list[tuple[int, int]] = []
    subscriptions = []
    for at, store in enumerate(stores):
        subscription = store.subscription(category, category=category, partitions=8, batch_size=2)
        subscriptions.append(subscription)

        @subscription.handler
        async def note(message: EventA, tx: Transaction) -> None:
            await tx.execute("SELECT pg_sleep(0.005)")
            seen.append((at, message.num))  # noqa: B023

    for number in range(80):
        await stores[0].write(f"{category}-{number % 16}", EventA(number))
    async with running(stores[0], subscriptions[0]), running(stores[1], subscriptions[1]):
        await AsyncParallel.until(lambda: len({number for _, number in seen}) == 80)
        await subscriptions[0].wait_until(await stores[0].safe_position())
    assert len(seen) == 80
    for stream in range(16):
        handled = [number for _, number in seen if number % 16 == stream]
        assert handled == sorted(handled)


async def test_the_lease_of_a_long_handler_is_extended(
    open_store: OpenStore, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._async.runner._LOOK_ANYWAY", 0.1)
    store, other = await open_store(), await open_store()
    await store.write(f"{category}-1", EventA(1))
    seen: list[int] = []
    subscriptions = []
    for each in (store, other):
        subscription = each.subscription(category, category=category)
        subscriptions.append(subscription)

        @subscription.handler
        async def long(message: EventA, tx: Transaction) -> None:
            seen.append(message.num)
            await tx.execute("SELECT pg_sleep(2)")

    async with (
        running(store, subscriptions[0], lease=1),
        running(other, subscriptions[1], lease=1),
    ):
        await AsyncParallel.until(lambda: len(seen) > 0)
        store.stop()  # the one that is at it keeps its lease all the same
        await subscriptions[1].wait_until(await other.safe_position())
    assert seen == [1]


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_connection_lost_in_a_handler_is_not_the_messages_failure(
    store: Store, category: str, wrapped: bool
) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = store.subscription(category, category=category, max_attempts=1)
    seen: list[int] = []

    @subscription.handler
    async def copy(message: EventA, tx: Transaction) -> None:
        await store.write(f"copy{category}", message, conn=tx)
        seen.append(message.num)
        if len(seen) == 2:
            try:
                await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            except psycopg.OperationalError as error:
                raise ValueError(message) if wrapped else error  # noqa: B904

    notes = Notes()
    async with running(store, subscription, hooks=notes):
        await AsyncParallel.until(lambda: len(seen) == 4)
        await subscription.wait_until(await store.safe_position())
    assert notes.failures == []
    assert seen == [1, 2, 1, 2]
    assert await numbers(store, f"copy{category}") == [1, 2]


async def test_all_connections_killed_again_and_again(
    watched: Store, store: Store, watch: Watch, category: str
) -> None:
    subscription = watched.subscription(category, category=category, partitions=2)

    @subscription.handler
    async def copy(stored: StoredMessage[EventA], tx: Transaction) -> None:
        await store.write(f"copy{stored.stream}", stored.message, conn=tx)

    async with running(watched, subscription, workers=2):
        for number in range(4):
            await store.write(f"{category}-{number % 2}", EventA(number))
            assert watch.kill() >= 0
        reads = store.subscription(category, category=category, partitions=2)
        await reads.wait_until(await store.safe_position())
    copied = [await numbers(store, f"copy{category}-{number}") for number in (0, 1)]
    assert copied == [[0, 2], [1, 3]]


async def test_many_workers_in_transactions_leave_room_for_the_rest(
    store: Store, category: str
) -> None:
    count = 12
    await store.safe_position()  # the pool is open, and has less room
    subscription = store.subscription(
        category, category=category, partitions=64, partition_by="metadata:n"
    )
    for number in range(64):
        await store.write(f"{category}-1", EventA(number), metadata={"n": number})
    together: list[int] = []
    done: list[int] = []

    @subscription.handler
    async def work(message: EventA, tx: Transaction) -> None:
        together.append(message.num)
        await AsyncParallel.until(lambda: len(together) >= count)
        assert await store.stream_version(category) == 0  # beside the transaction
        done.append(message.num)

    async with running(store, subscription, workers=count):
        await AsyncParallel.until(lambda: len(done) == 64)


async def test_a_pool_that_has_no_connection_is_not_the_messages_failure(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = store.subscription(category, category=category, max_attempts=1)
    notes = Notes()
    seen: list[int] = []
    transaction = AsyncDatabase.transaction
    exhausted = [True, True]

    def maybe(database: AsyncDatabase, *first: Any) -> Any:
        if exhausted:
            exhausted.pop()
            raise PoolTimeout
        return transaction(database, *first)

    @subscription.handler
    async def note(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)

    monkeypatch.setattr(AsyncDatabase, "transaction", maybe)
    await store.write(f"{category}-1", EventA(1))
    async with running(store, subscription, hooks=notes):
        await AsyncParallel.until(lambda: seen == [1])
    assert (exhausted, notes.failures) == ([], [])


async def test_hooks_are_told_the_lag(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._async.runner._TELL_EVERY", 0.05)
    subscription = store.subscription(category, category=category)
    notes = Notes()
    waits = [True]

    @subscription.handler
    async def wait(message: EventA) -> None:
        await AsyncParallel.until(lambda: not waits)

    await store.write(f"{category}-1", EventA(1))
    async with running(store, subscription, hooks=notes):
        await AsyncParallel.until(lambda: any(behind > 0 for _, behind in notes.lags))
        waits.clear()
        await AsyncParallel.until(lambda: notes.lags[-1] == (category, 0))


async def test_a_hook_that_fails_does_not_end_the_work(
    store: Store,
    category: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pgstore._async.runner._TELL_EVERY", 0.05)
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
    async def note(message: EventA) -> None:
        seen.append(message.num)
        if len(seen) == 1:
            raise ValueError(message)

    await store.write(f"{category}-1", EventA(1))
    async with running(store, subscription, hooks=Broken()):
        await AsyncParallel.until(lambda: {"handled", "failed", "behind"} <= set(told))
        await store.write(f"{category}-1", EventA(2))
        await AsyncParallel.until(lambda: seen == [1, 1, 2])
        await AsyncParallel.until(lambda: told.count("behind") > 1)
    errors = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert errors.count(ZeroDivisionError) >= 4


@pytest.mark.alone
async def test_a_dead_workers_partition_is_taken_over(
    store: Store, open_connection: OpenConnection, category: str
) -> None:
    subscription = store.subscription(category, category=category)
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    await subscription.create()
    await store.write(f"{category}-1", EventA(1))
    conn = await open_connection()
    claim = f'SELECT token FROM "{store.name}".claim_partition(%s, %s, %s)'.encode()
    await conn.execute(claim, ([category], "dead", "300 ms"))
    assert await store.run_once(subscription) == 0
    before = time.monotonic()
    async with running(store, subscription):
        await AsyncParallel.until(lambda: seen == [1])
    assert time.monotonic() - before < 1.5  # when the lease ends, not two seconds later
