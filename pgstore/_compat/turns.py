"""Waiting for one's turn, as asyncio and as threads do it: an event that one waits for, once."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from pgstore._compat.events import end


class AsyncTurn:
    """The turn of a task."""

    __slots__ = ("_come", "_set")

    def __init__(self) -> None:
        self._set = False
        self._come: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set(self) -> None:
        self._set = True
        end(self._come)

    async def wait(self, timeout: float) -> bool:
        """Wait for it; False after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        if self._come.done() and not self._set:
            self._come = loop.create_future()
        timer = loop.call_later(timeout, end, self._come)
        try:
            await self._come
        finally:
            timer.cancel()
        return self._set


class Turn:
    """The turn of a thread."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = threading.Lock()
        self._until.acquire()

    def set(self) -> None:
        with suppress(RuntimeError):  # it was set before
            self._until.release()

    def wait(self, timeout: float) -> bool:
        """Wait for it; False after `timeout` seconds."""
        return self._until.acquire(timeout=timeout)


def async_soon(call: Callable[[], None]) -> None:
    """Call it after the tasks that are ready now."""
    asyncio.get_running_loop().call_soon(call)


def soon(call: Callable[[], None]) -> None:
    """Call it."""
    call()
