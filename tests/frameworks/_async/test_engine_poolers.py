"""Stores on an engine that leads through PgBouncer, without prepared statements."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from pgstore import AsyncMessageStore
from tests.client._async.everything import MESSAGES, do_everything
from tests.client._async.running import running
from tests.client._async.test_poolers import MANY, collect
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel
from tests.frameworks.engines import AsyncEngine, AsyncSession, async_engine_of
from tests.pgbouncer import pgbouncer


@pytest.fixture(scope="module", params=["session", "transaction"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def through(server_conninfo: str, mode: str) -> Iterator[str]:
    with pgbouncer(server_conninfo, mode) as conninfo:
        yield conninfo


@pytest.fixture
async def pooled(through: str) -> Any:
    engine = async_engine_of(through, connect_args={"prepare_threshold": None})
    yield engine
    await engine.dispose()


async def test_operations_work_again_and_again(
    pooled: AsyncEngine, schema: str, stream: str
) -> None:
    async with AsyncMessageStore[Any](pooled, store=schema, messages=MESSAGES) as store:
        for n in range(MANY):
            await do_everything(store, f"{stream}-{n}")
            async with AsyncSession(pooled) as session, session.begin():
                conn = await session.connection()
                assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1
                await do_everything(store, f"session-{n}", session, refuse=False)


async def test_workers_and_followers_look_once_a_second(
    pooled: AsyncEngine, schema: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncMessageStore[EventA](pooled, store=schema, messages=EventA) as store:
        subscription = store.subscription("all", batch_size=3)
        handled: list[int] = []

        @subscription.handler
        async def note(message: EventA, tx: psycopg.AsyncConnection[Any]) -> None:
            handled.append(message.num)

        seen: list[int] = []
        async with AsyncParallel() as parallel, running(store, subscription):
            await parallel.start(partial(collect, store.follow(), seen, 4))
            for n in range(4):
                await store.write("a-1", EventA(n))
                await AsyncParallel.until(lambda: len(seen) > n and len(handled) > n)  # noqa: B023
            await parallel.results()
    assert seen == handled == list(range(4))
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(told) == (0 if mode == "session" else 1), told
