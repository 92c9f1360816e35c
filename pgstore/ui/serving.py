"""Serving the console by uvicorn, until a signal."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from uvicorn import Config, Server

# Seconds for answers that are under way.
_PATIENCE = 2


class Serving(Server):
    """A server of the console. It ends its feeds first, which would never end."""

    def __init__(self, application: Starlette, *, signals: bool = True) -> None:
        super().__init__(
            Config(
                application,
                log_level="warning",
                access_log=False,
                proxy_headers=False,  # the console reads them itself, if it is to
                server_header=False,
                ws="none",
                lifespan="on",
                timeout_graceful_shutdown=_PATIENCE,
            )
        )
        self._application = application
        self._signals = (signal.SIGINT, signal.SIGTERM) if signals else ()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Not uvicorn's, which sends the signal again: to be ended is no failure.
        before = {each: signal.signal(each, self.handle_exit) for each in self._signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.state.end_feeds()
        await super().shutdown(sockets)


async def serve(
    application: Starlette, listening: socket.socket, ready: Callable[[], None]
) -> None:
    """Serve an application of `app` on a socket that listens, until SIGINT or SIGTERM.

    Calls `ready` first. It has to run in the main thread, for the signals.
    """
    ready()
    await Serving(application).serve(sockets=[listening])
