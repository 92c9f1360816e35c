"""A console that is served on loopback by a thread of its own, as `pgstore ui` does it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from uvicorn import Config, Server

from pgstore import AsyncMessageStore, RawMessage, ui


@contextmanager
def served(conninfo: str, name: str, **options: Any) -> Iterator[str]:
    """Serve a console of a store; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        loop = asyncio.new_event_loop()
        began = threading.Event()
        servers: list[Server] = []

        async def serve() -> None:
            async with AsyncMessageStore(conninfo, store=name, messages=RawMessage) as store:
                config = Config(
                    ui.app(store, **options),
                    log_level="error",
                    access_log=False,
                    proxy_headers=False,
                    ws="none",
                    lifespan="on",
                    timeout_graceful_shutdown=2,
                )
                servers.append(Server(config))
                began.set()
                await servers[0].serve(sockets=[listening])

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        assert began.wait(20)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            servers[0].should_exit = True
            thread.join(20)
            loop.close()
