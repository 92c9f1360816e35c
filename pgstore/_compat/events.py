"""Waiting for a change, as asyncio and as threads do it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


class AsyncEvent:
    """As asyncio's, but any thread may set it."""

    def __init__(self) -> None:
        self._set = False
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        _in_loop(self._loop, self._changed.set)

    def clear(self) -> None:
        self._set = False
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        changed = self._changed
        if not self._set:
            await changed.wait()


class Event:
    """As threading's, but a signal's handler may set it whatever it interrupts."""

    def __init__(self) -> None:
        self._set = False
        self._condition = threading.Condition()  # with a lock that its holder may take again

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        with self._condition:
            self._set = True
            self._condition.notify_all()

    def clear(self) -> None:
        with self._condition:
            self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: self._set, timeout)


class AsyncCounter:
    """A number that only grows; tasks wait for it to change."""

    def __init__(self) -> None:
        self.value = 0
        self._changed = AsyncEvent()
        self._lock = threading.RLock()  # a signal's handler may come in between

    def advance(self) -> None:
        with self._lock:  # `stop` may be called in any thread
            self.value += 1
            changed, self._changed = self._changed, AsyncEvent()
        changed.set()

    async def wait(self, seen: int, timeout: float | None) -> bool:
        """Wait until it is not `seen` any more; False after `timeout` seconds."""
        changed = self._changed
        if self.value != seen:
            return True
        return await async_wait_for(changed, timeout)


class Counter:
    """A number that only grows; threads wait for it to change."""

    def __init__(self) -> None:
        self.value = 0
        self._condition = threading.Condition()

    def advance(self) -> None:
        with self._condition:
            self.value += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float | None) -> bool:
        """Wait until it is not `seen` any more; False after `timeout` seconds."""
        with self._condition:
            return self._condition.wait_for(lambda: self.value != seen, timeout)


async def async_wait_for(event: AsyncEvent, timeout: float | None) -> bool:
    """Wait until the event is set; False after `timeout` seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout)
    return event.is_set()


def wait_for(event: Event, timeout: float | None) -> bool:
    """Wait until the event is set; False after `timeout` seconds."""
    return event.wait(timeout)


def _in_loop(loop: asyncio.AbstractEventLoop | None, call: Callable[[], object]) -> None:
    """Call it in the loop of the waiting tasks, whatever thread this is."""
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if loop is None or loop is here:
        call()
        return
    with suppress(RuntimeError):  # the loop is closed, and with it every task that waited
        loop.call_soon_threadsafe(call)
