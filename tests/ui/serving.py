"""A console that is served on loopback, as `pgstore ui` does it."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from uvicorn import Config, Server

from pgstore import AsyncMessageStore, RawMessage, ui


class _Server(Server):
    """One that leaves signals to the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(store: AsyncMessageStore[RawMessage], options: dict[str, Any]) -> Server:
    config = Config(
        ui.app(store, **options),
        log_level="error",
        access_log=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    return _Server(config)


def _address(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def serving(store: AsyncMessageStore[RawMessage], **options: Any) -> AsyncIterator[str]:
    """Serve a console in a task; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = _server(store, options)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield _address(listening)
        finally:
            server.should_exit = True
            await task


@contextmanager
def served(conninfo: str, name: str, **options: Any) -> Iterator[str]:
    """Serve a console of a store in a thread of its own; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        began = threading.Event()
        servers: list[Server] = []

        async def serve() -> None:
            async with AsyncMessageStore(conninfo, store=name, messages=RawMessage) as store:
                servers.append(_server(store, options))
                began.set()
                await servers[0].serve(sockets=[listening])

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        assert began.wait(20)
        try:
            yield _address(listening)
        finally:
            servers[0].should_exit = True
            thread.join(20)
