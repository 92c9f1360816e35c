"""Positions that a reader keeps: none that the server can give again, none of another history."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import PoolClosed

from pgstore import (
    AsyncMessageStore,
    InvalidArgumentError,
    MessagePosition,
    PositionBeyondEndError,
)
from pgstore.embedded import Server, account
from tests.client._async.conftest import OpenStore
from tests.client._async.test_follow import collect
from tests.client.messages import EventA, EventB
from tests.client.parallel import AsyncParallel
from tests.conftest import Connect
from tests.stores import Stores

Store = AsyncMessageStore[Any]


@pytest.fixture
def schema(stores: Stores) -> Iterator[str]:
    """Name of a store that is installed."""
    with stores.taken() as name:
        yield name


@pytest.fixture
async def alone(open_store: OpenStore, schema: str) -> AsyncIterator[Store]:
    """A store to which nobody else writes."""
    store = await open_store(store=schema)
    yield store
    await store.aclose()


async def roll_back(store: Store, count: int) -> None:
    """Write some messages, of which none is stored."""
    with suppress(RuntimeError):
        async with store.transaction() as conn:
            for number in range(count):
                await store.write("left-1", EventA(number), conn=conn)
            raise RuntimeError


async def test_position_of_a_follower_is_that_of_a_stored_message(alone: Store) -> None:
    position = (await alone.write("account-1", EventA(1))).global_position
    follower = alone.follow(timeout=0.02)
    await collect(follower, [])
    await roll_back(alone, 40)
    await collect(follower, [])
    assert follower.position == position
    elsewhere = alone.follow(category="order", timeout=0.02)
    await collect(elsewhere, [])
    assert elsewhere.position == position  # what the filter leaves out is passed over
    assert await alone.safe_position() == position


async def test_follower_does_not_poll_after_a_rollback(
    alone: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = alone.follow()
    seen: list[int] = []
    calls = 0
    rows = alone._database.rows

    async def spy(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return await rows(*arguments, **named)

    async with AsyncParallel() as parallel:
        await alone.write("account-1", EventA(1))
        await parallel.start(partial(collect, follower, seen))
        await AsyncParallel.until(lambda: seen == [1])
        await roll_back(alone, 40)
        await asyncio.sleep(0.5)  # it is woken once or twice
        monkeypatch.setattr(alone._database, "rows", spy)
        await asyncio.sleep(1)
        assert calls == 0
        follower.stop()
        await parallel.results()


async def test_wait_until_ends_although_its_message_was_deleted(alone: Store) -> None:
    subscription = alone.subscription("sums", category="account")
    spread = alone.subscription("spread", category="account", partitions=3)

    @subscription.handler
    @spread.handler
    async def handle(message: EventA) -> None:
        pass

    await alone.run_once(subscription, spread)
    position = (await alone.write("account-1", EventA(1))).global_position
    async with await psycopg.AsyncConnection.connect(alone._database.source.conninfo) as conn:
        await conn.execute(
            sql.SQL("SELECT {}.delete_stream('account-1', 1)").format(sql.Identifier(alone.name))
        )
    await alone.run_once(subscription, spread)
    await subscription.wait_until(position, timeout=1)
    await spread.wait_until(position, timeout=1)


async def test_position_beyond_the_last_one_is_refused(alone: Store) -> None:
    last = (await alone.write("account-1", EventA(1))).global_position
    for read in (
        alone.read_all(after_position=last + 7),
        alone.read_category("account", after_position=last + 7),
        alone.follow(after_position=last + 7, timeout=5),
    ):
        with pytest.raises(PositionBeyondEndError) as caught:
            await anext(read)
        assert (caught.value.position, caught.value.last_position) == (last + 7, last)
    with pytest.raises(PositionBeyondEndError):
        await alone.subscription("ahead", start=last + 7).create()
    await alone.subscription("at the end", start=last).create()


@pytest.mark.parametrize("partitions", [1, 3])
async def test_subscription_beyond_the_last_position_is_refused(
    alone: Store, partitions: int
) -> None:
    """A store of another history, in which the rows of its subscriptions were kept."""
    subscription = alone.subscription("sums", partitions=partitions)

    @subscription.handler
    async def handle(message: EventA) -> None:
        pass

    for number in range(5):
        await alone.write(f"account-{number}", EventA(number))
    await alone.run_once(subscription)
    async with await psycopg.AsyncConnection.connect(alone._database.source.conninfo) as conn:
        await conn.execute(
            sql.SQL(
                "DELETE FROM {store}.messages AS m WHERE m.global_position > 2;"
                "SELECT setval('{store}.global_position_seq', 2)"
            ).format(store=sql.Identifier(alone.name))
        )
    with pytest.raises(PositionBeyondEndError) as caught:
        await alone.run_once(subscription)
    assert (caught.value.position, caught.value.last_position) == (5, 2)
    with pytest.raises(PositionBeyondEndError):
        await alone.run(subscription)


@pytest.fixture
def crashing() -> Iterator[Server]:
    folder = account.temporary_folder()
    try:
        with Server(folder / "server") as server:
            yield server
    finally:
        shutil.rmtree(folder)


def crash(server: Server) -> None:
    """Kill the server, wait until its processes are gone, and start it again."""
    os.kill(int((server.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    server.stop()
    end = time.monotonic() + 20
    while True:
        try:
            server.start()
            return
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


async def test_no_message_is_skipped_after_a_crash(crashing: Server) -> None:
    handled: list[int] = []

    async def handle(message: EventA) -> None:
        handled.append(message.num)

    for _ in range(3):
        async with AsyncMessageStore[EventA | EventB](
            crashing.conninfo, messages=EventA | EventB
        ) as store:
            start = await store.safe_position()
            sums = store.subscription("sums")
            sums.handler(handle)
            await store.run_once(sums)
            handled.clear()
            await roll_back(store, 40)
            follower = store.follow(after_position=start, timeout=0.02)
            await collect(follower, [])
            await store.run_once(sums)
            crash(crashing)
            for number in range(5):
                await again(store, EventA(number))
            for after in (follower.position, start):
                seen: list[int] = []
                await collect(store.follow(after_position=after, timeout=0.02), seen)
                assert seen == list(range(5))
            await store.run_once(sums)
            assert handled == list(range(5))


async def again(store: AsyncMessageStore[EventA | EventB], message: EventA) -> MessagePosition:
    """Write it, once the server takes it again."""
    end = time.monotonic() + 20
    while True:
        try:
            return await store.write("account-1", message)
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


async def test_a_position_is_readable_when_no_writer_before_it_is_in_flight(alone: Store) -> None:
    async with AsyncParallel() as parallel:
        async with alone.transaction() as conn:
            held = (await alone.write("account-1", EventA(1), conn=conn)).global_position
            position = (await alone.write("account-2", EventA(2))).global_position
            await alone.wait_until_readable(held - 1)
            with pytest.raises(TimeoutError, match=f"up to {held - 1}"):
                await alone.wait_until_readable(position, timeout=0)
            await parallel.start(partial(alone.wait_until_readable, position, timeout=None))
        assert list(await parallel.results()) == [None]
    assert [stored.global_position async for stored in alone.read_all()] == [held, position]


async def test_a_position_is_readable_again_after_the_safe_position_went_back(
    alone: Store, connect: Connect
) -> None:
    position = (await alone.write("account-1", EventA(1))).global_position
    follower = alone.follow(after_position=position)
    async with AsyncParallel() as parallel:
        await parallel.start(partial(collect, follower, []))
        await AsyncParallel.until(lambda: alone._waker.safe_position == position)
        follower.stop()
        await parallel.results()
    # A writer that had read its bound before, and takes its mark only now. It notifies nobody.
    late = connect(autocommit=False)
    late.execute(f"SELECT {alone.name}._take_mark({position - 1})".encode())
    async with AsyncParallel() as parallel:
        await parallel.start(partial(alone.wait_until_readable, position, timeout=None))
        await AsyncParallel.until(lambda: alone._waker._waiting == 1)
        late.rollback()
        assert list(await parallel.results()) == [None]


async def test_waiting_until_readable_ends_when_the_store_is_closed(alone: Store) -> None:
    async with AsyncParallel() as parallel:
        await parallel.start(partial(alone.wait_until_readable, 1, timeout=None))
        await AsyncParallel.until(lambda: alone._waker._waiting == 1)
        await alone.aclose()
        (error,) = await parallel.results()
    assert isinstance(error, PoolClosed)


@pytest.mark.parametrize("wrong", [{"position": "1"}, {"timeout": "1"}])
async def test_wait_until_readable_refuses_other_values(
    alone: Store, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        await alone.wait_until_readable(**{"position": 1, "timeout": 1.0} | wrong)
