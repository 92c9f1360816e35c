"""At the end of an event loop a store leaves the pool of the application alone."""

import asyncio
import logging

import pytest
from psycopg_pool import AsyncConnectionPool

from pgstore import AsyncMessageStore
from tests.frameworks.engines import async_engine_of
from tests.frameworks.messages import Paid


def test_a_program_on_an_engine_ends_without_an_error(
    conninfo: str, shared: str, stream: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        engine = async_engine_of(conninfo)
        store = AsyncMessageStore[Paid](engine, store=shared, messages=Paid)
        await store.write(stream, Paid(1))  # and nobody closes the store
        await engine.dispose()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert caplog.records == []


def test_tasks_that_end_with_the_loop_can_still_use_the_pool(
    conninfo: str, shared: str, stream: str
) -> None:
    found: list[int] = []
    started: list[asyncio.Task[None]] = []

    async def application(pool: AsyncConnectionPool, store: AsyncMessageStore[Paid]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):  # the loop cancels the other tasks, too
                await asyncio.sleep(0)
            found.append(await store.stream_version(stream))
            await pool.close()

    async def main() -> None:
        pool = AsyncConnectionPool(conninfo, min_size=1, open=False)
        await pool.open(wait=True)
        store = AsyncMessageStore[Paid](pool, store=shared, messages=Paid)
        await store.write(stream, Paid(1))
        started.append(asyncio.ensure_future(application(pool, store)))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert found == [1]
