"""A console that is served on loopback, as `pgstore ui` does it."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount

from pgstore import AsyncMessageStore, RawMessage, ui
from pgstore.ui.serving import Serving


def _address(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


@asynccontextmanager
async def serving(store: AsyncMessageStore[RawMessage], **options: Any) -> AsyncIterator[str]:
    """Serve a console in a task; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Serving(ui.app(store, **options), signals=False)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield _address(listening)
        finally:
            server.should_exit = True
            await task


@contextmanager
def served(conninfo: str, name: str, *, at: str = "", **options: Any) -> Iterator[str]:
    """Serve a console of a store in a thread of its own, below a path; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        began = threading.Event()
        servers: list[Serving] = []

        async def serve() -> None:
            async with AsyncMessageStore(conninfo, store=name, messages=RawMessage) as store:
                console = ui.app(store, **options)
                served = console
                if at:
                    served = Starlette(routes=[Mount(at, console)])
                    served.state.end_feeds = console.state.end_feeds
                servers.append(Serving(served, signals=False))
                began.set()
                await servers[0].serve(sockets=[listening])

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        assert began.wait(20)
        try:
            yield _address(listening) + at
        finally:
            servers[0].should_exit = True
            thread.join(20)
