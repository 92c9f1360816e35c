"""One store used by many threads or tasks at once."""

from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from pgstore import AsyncMessageStore, MessagePosition, OptimisticConcurrencyError
from tests.client._async.conftest import OpenStore
from tests.client._async.everything import MESSAGES, do_everything
from tests.client.messages import EventA, Signed
from tests.client.parallel import AsyncParallel

Store = AsyncMessageStore[Any]


@pytest.fixture(params=[False, True], ids=["single", "grouped"])
async def store(request: pytest.FixtureRequest, open_store: OpenStore) -> Store:
    return await open_store(group_writes=request.param)


async def test_many_writers_of_one_stream_leave_no_gap(store: Store, stream: str) -> None:
    count = 4 * AsyncParallel.MANY
    async with AsyncParallel() as parallel:
        await parallel.start(
            *(partial(store.write, stream, EventA(number)) for number in range(count))
        )
        results = await parallel.results()
    assert sorted(position.version for position in results) == list(range(1, count + 1))
    stored = [message async for message in store.read(stream)]
    assert [message.version for message in stored] == list(range(1, count + 1))
    assert sorted(message.message.num for message in stored) == list(range(count))
    places = {message.version: message.global_position for message in stored}
    assert {position.version: position.global_position for position in results} == places
    assert sorted(places.values()) == list(places.values())


async def test_of_many_with_one_expected_version_one_wins(store: Store, stream: str) -> None:
    async with AsyncParallel() as parallel:
        await parallel.start(
            *(
                partial(store.write, stream, EventA(number), expected_version=0)
                for number in range(AsyncParallel.MANY)
            )
        )
        results = await parallel.results()
    won = [result for result in results if isinstance(result, MessagePosition)]
    lost = [result for result in results if isinstance(result, OptimisticConcurrencyError)]
    assert (len(won), len(won) + len(lost)) == (1, AsyncParallel.MANY)
    assert {error.actual_version for error in lost} == {1}
    assert await store.stream_version(stream) == 1


async def test_the_same_message_from_many_is_stored_once(
    open_store: OpenStore, stream: str
) -> None:
    store = await open_store(Signed)
    message = Signed(text="once")
    async with AsyncParallel() as parallel:
        await parallel.start(
            *[partial(store.write, stream, message, expected_version=0)] * AsyncParallel.MANY
        )
        results = await parallel.results()
    assert len(set(results)) == 1
    assert [stored.message async for stored in store.read(stream)] == [message]


async def test_everything_at_once(open_store: OpenStore, stream: str) -> None:
    store = await open_store(MESSAGES)
    async with AsyncParallel() as parallel:
        await parallel.start(
            *(
                partial(do_everything, store, f"{stream}-{number}")
                for number in range(AsyncParallel.MANY)
            )
        )
        assert await parallel.results() == [None] * AsyncParallel.MANY


async def test_everything_at_once_on_a_pool_of_two(
    conninfo: str, open_store: OpenStore, stream: str
) -> None:
    pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
        conninfo, min_size=1, max_size=2, timeout=20, open=False
    )
    async with pool:
        store = await open_store(MESSAGES, conninfo=pool)
        async with AsyncParallel() as parallel:
            await parallel.start(
                *(
                    partial(do_everything, store, f"{stream}-{number}")
                    for number in range(AsyncParallel.MANY)
                )
            )
            assert await parallel.results() == [None] * AsyncParallel.MANY


async def test_callers_that_keep_a_pool_in_use_leave_a_follower_its_turn(
    conninfo: str, open_store: OpenStore, category: str
) -> None:
    pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
        conninfo, min_size=1, max_size=1, open=False
    )
    async with pool:
        store = await open_store(conninfo=pool)
        await store.write(f"{category}-1", EventA(1))
        seen: list[int] = []
        taken: list[int] = []

        async def hold() -> None:
            # As long as it takes to see that the follower never gets it.
            while not seen and len(taken) < 60:
                async with pool.connection() as conn:
                    taken.append(1)
                    await conn.execute("SELECT pg_sleep(0.2)")

        async def follow() -> None:
            async for stored in store.follow(category=category):
                seen.append(stored.message.num)
                return

        async with AsyncParallel() as parallel:
            await parallel.start(hold, hold, hold, hold)
            await AsyncParallel.until(lambda: len(taken) > 0)
            await parallel.start(follow)
            await parallel.results()
        assert len(taken) < 60
