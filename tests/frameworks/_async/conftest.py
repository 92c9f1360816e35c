"""Stores and engines that are closed after the test."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
from sqlalchemy import text

from pgstore import AsyncMessageStore
from tests.frameworks.engines import AsyncEngine, async_engine_of
from tests.frameworks.messages import Paid


class OpenEngine(Protocol):
    """Make an engine on the test database."""

    def __call__(self, **options: Any) -> AsyncEngine: ...


@pytest.fixture
async def open_engine(conninfo: str) -> AsyncIterator[OpenEngine]:
    opened: list[AsyncEngine] = []

    def open_engine(**options: Any) -> AsyncEngine:
        opened.append(async_engine_of(conninfo, **options))
        return opened[-1]

    yield open_engine
    for engine in opened:
        await engine.dispose()


@pytest.fixture
async def engine(open_engine: OpenEngine) -> AsyncEngine:
    return open_engine()


@pytest.fixture
async def store(conninfo: str, shared: str) -> AsyncIterator[AsyncMessageStore[Paid]]:
    """A store with connections of its own."""
    async with AsyncMessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        yield store


class Orders:
    """A table of the application's."""

    def __init__(self, engine: AsyncEngine, schema: str) -> None:
        self._engine = engine
        self.insert = text(f"INSERT INTO {schema}.orders VALUES (:key)")
        self._count = text(f"SELECT count(*) FROM {schema}.orders")

    async def add(self, key: str, conn: Any) -> None:
        """Insert a row in the transaction of a connection, or of a session's."""
        if hasattr(conn, "get_bind"):
            conn = await conn.connection()
        await conn.execute(self.insert, {"key": key})

    async def count(self) -> int:
        """How many rows are stored."""
        async with self._engine.connect() as conn:
            return int((await conn.execute(self._count)).scalar_one())


@pytest.fixture
async def orders(engine: AsyncEngine, schema: str) -> AsyncIterator[Orders]:
    async with engine.begin() as conn:
        await conn.execute(text(f"CREATE SCHEMA {schema}"))
        await conn.execute(text(f"CREATE TABLE {schema}.orders (key text)"))
    yield Orders(engine, schema)
    await engine.dispose()
