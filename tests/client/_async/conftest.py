"""Stores and connections that are closed after the test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgstore import AsyncMessageStore
from tests.client.messages import EventA, EventB


class OpenStore(Protocol):
    """Open a store: the shared one on the test database, unless told otherwise."""

    async def __call__(
        self, messages: Any = EventA | EventB, conninfo: Any = None, **options: Any
    ) -> AsyncMessageStore[Any]: ...


class OpenConnection(Protocol):
    """Open a connection, in autocommit mode unless told otherwise; ``params`` are libpq's."""

    async def __call__(
        self, *, autocommit: bool = True, **params: str
    ) -> psycopg.AsyncConnection[Any]: ...


@pytest.fixture
async def open_store(conninfo: str, shared: str) -> AsyncIterator[OpenStore]:
    async with AsyncExitStack() as opened:

        async def open_store(
            messages: Any = EventA | EventB, conninfo: Any = conninfo, **options: Any
        ) -> AsyncMessageStore[Any]:
            options.setdefault("store", shared)
            store = AsyncMessageStore[Any](conninfo, messages=messages, **options)
            return await opened.enter_async_context(store)

        yield open_store


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncMessageStore[Any]:
    """The shared store, with the messages ``EventA | EventB``."""
    return await open_store()


@pytest.fixture
async def open_connection(conninfo: str) -> AsyncIterator[OpenConnection]:
    async with AsyncExitStack() as opened:

        async def open_connection(
            *, autocommit: bool = True, **params: str
        ) -> psycopg.AsyncConnection[Any]:
            conn = await psycopg.AsyncConnection.connect(
                make_conninfo(conninfo, **params), autocommit=autocommit
            )
            return await opened.enter_async_context(conn)

        yield open_connection
