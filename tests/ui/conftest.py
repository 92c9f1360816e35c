"""A store of the test's own, and the console on it as a browser sees it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from pgstore import AsyncMessageStore, RawMessage, ui
from tests.stores import Stores

Raw = AsyncMessageStore[RawMessage]


class Opened(Protocol):
    """Make a client of a console with these options, mounted below a path if one is given."""

    def __call__(self, *, at: str = "", **options: Any) -> httpx.AsyncClient: ...


@pytest.fixture
def store_name(stores: Stores) -> Iterator[str]:
    with stores.taken() as name:
        yield name


@pytest.fixture
async def store(conninfo: str, store_name: str) -> AsyncIterator[Raw]:
    """An empty store."""
    async with AsyncMessageStore(conninfo, store=store_name, messages=RawMessage) as made:
        yield made.raw


@pytest.fixture
async def opened(store: Raw) -> AsyncIterator[Opened]:
    """Make clients of consoles on the store."""
    clients: list[httpx.AsyncClient] = []

    def opened(*, at: str = "", **options: Any) -> httpx.AsyncClient:
        application = ui.app(store, **options)
        if at:
            application = Starlette(routes=[Mount(at, application)])
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application),
            base_url="http://localhost" + at,
            headers={"Accept": "text/html"},
        )
        clients.append(client)
        return client

    yield opened
    for client in clients:
        await client.aclose()


@pytest.fixture
def client(opened: Opened) -> httpx.AsyncClient:
    """A browser on the console, which asks nobody for anything."""
    return opened()


async def write(store: Raw, stream: str, type: str, data: str = "{}", **options: Any) -> Any:
    """Write a message of a type with a payload of JSON."""
    return await store.write(stream, RawMessage(type, data.encode()), **options)
