"""Tasks that follow and run: cancelled, or stopped from another thread."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgstore import AsyncMessageStore
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.client.waiting import Watch
from tests.conftest import Connect

Store = AsyncMessageStore[EventA]
Transaction = psycopg.AsyncConnection[Any]


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
async def store(conninfo: str, shared: str, watch: Watch) -> AsyncIterator[Store]:
    address = make_conninfo(conninfo, application_name=watch.name)
    async with Store(address, store=shared, messages=EventA) as store:
        yield store
    watch.wait_until_gone()


async def drain(messages: Any, seen: list[int]) -> None:
    async for stored in messages:
        seen.append(stored.message.num)  # noqa: PERF401 - one by one, for who looks meanwhile


async def test_a_cancelled_follower_leaves_the_others_and_can_go_on(
    store: Store, watch: Watch, category: str
) -> None:
    first, second = store.follow(category=category), store.follow(category=category)
    seen: list[int] = []
    cancelled = asyncio.create_task(drain(first, []))
    other = asyncio.create_task(drain(second, seen))
    await AsyncParallel.until(watch.is_asleep)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await AsyncParallel.until(lambda: store._waker._waiting == 1)
    await store.write(f"{category}-1", EventA(1))
    await AsyncParallel.until(lambda: seen == [1])
    again = await asyncio.wait_for(anext(first), 5)
    assert again.message == EventA(1)
    second.stop()
    await other


@pytest.mark.alone
async def test_stop_from_another_thread_is_prompt(
    store: Store, watch: Watch, category: str
) -> None:
    follower = store.follow(category=category)
    task = asyncio.create_task(drain(follower, []))
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def note(message: EventA) -> None: ...

    run = asyncio.create_task(store.run(subscription))
    await AsyncParallel.until(watch.is_asleep)
    for stop, stopped in ((follower.stop, task), (store.stop, run)):
        before = time.monotonic()
        threading.Thread(target=stop).start()
        await asyncio.wait_for(stopped, 5)
        assert time.monotonic() - before < 0.3


async def test_a_cancelled_run_ends_its_workers_and_gives_its_leases_back(
    store: Store, category: str
) -> None:
    for number in range(20):
        await store.write(f"{category}-{number}", EventA(number))
    subscription = store.subscription(category, category=category, partitions=8)
    started: list[int] = []

    @subscription.handler
    async def work(message: EventA, tx: Transaction) -> None:
        started.append(message.num)
        await store.write(f"copy{category}", message, conn=tx)
        await asyncio.sleep(0.3)

    before = asyncio.all_tasks()
    run = asyncio.create_task(store.run(subscription, workers=3, lease=60))
    await AsyncParallel.until(lambda: len(started) == 3)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not [name for name in left if "worker" in name or "leases" in name]
    assert [each.leased_until for each in await subscription.partitions()] == [None] * 8


async def test_a_task_that_is_cancelled_inside_a_handler_is_the_messages_failure(
    store: Store, category: str
) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )
    seen: list[int] = []

    @subscription.handler
    async def work(message: EventA, tx: Transaction) -> None:
        if message.num == 1:
            task = asyncio.create_task(asyncio.sleep(60))
            asyncio.get_running_loop().call_soon(task.cancel)
            await task
        seen.append(message.num)

    run = asyncio.create_task(store.run(subscription))
    await AsyncParallel.until(lambda: seen == [2])
    store.stop()
    await run
    assert [each.error for each in await subscription.parked()] == ["CancelledError: "]


@pytest.mark.parametrize("group", [False, True])
async def test_cancelling_ends_the_run_whatever_a_handler_makes_of_it(
    store: Store, category: str, group: bool
) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category, max_attempts=1)
    started: list[int] = []

    @subscription.handler
    async def work(message: EventA) -> None:
        started.append(message.num)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            raise BaseExceptionGroup("all", [error]) if group else error  # noqa: B904

    run = asyncio.create_task(store.run(subscription, lease=60))
    await AsyncParallel.until(lambda: started == [1])
    run.cancel()
    with pytest.raises(BaseExceptionGroup if group else asyncio.CancelledError):
        await asyncio.wait_for(run, 5)
    (partition,) = await subscription.partitions()
    assert (partition.leased_until, partition.attempts) == (None, 0)


async def test_run_once_in_time_out_ends_in_time(store: Store, category: str) -> None:
    await store.write(f"{category}-1", EventA(1))
    subscription = store.subscription(category, category=category, max_attempts=1)

    @subscription.handler
    async def work(message: EventA, tx: Transaction) -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await store.run_once(subscription)
    (partition,) = await subscription.partitions()
    assert (partition.leased_until, partition.attempts) == (None, 0)
