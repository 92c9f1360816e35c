"""At the end of an event loop a store leaves an engine alone, and closes a psycopg pool."""

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


@pytest.mark.parametrize("closed", [False, True])
def test_a_psycopg_pool_is_closed_unless_the_store_was(
    conninfo: str, shared: str, stream: str, closed: bool
) -> None:
    seen: list[bool] = []

    async def use_until_the_end(pool: AsyncConnectionPool) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            # The loop has cancelled all tasks, and waits for them.
            stores = {each for each in asyncio.all_tasks() if each.get_name() == "pgstore-end"}
            if stores:
                await asyncio.wait(stores)
            seen.append(pool.closed)
            await pool.close()

    async def main() -> None:
        pool = AsyncConnectionPool(conninfo, min_size=1, open=False)
        await pool.open(wait=True)
        store = AsyncMessageStore[Paid](pool, store=shared, messages=Paid)
        await store.write(stream, Paid(1))
        task = asyncio.create_task(use_until_the_end(pool))
        await asyncio.sleep(0)
        if closed:
            await store.aclose()
        assert not task.done()

    asyncio.run(main())
    assert seen == [not closed]
