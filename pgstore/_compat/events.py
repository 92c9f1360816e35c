"""Waiting for a change, or for one's turn, as asyncio and as threads do it."""

import asyncio
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress


class AsyncEvent:
    """As asyncio's, but any thread may set it, and a wait may have an end.

    Before Python 3.12 `asyncio.wait_for` loses a cancellation that comes together with the event:
    the task would continue, and a time-out around it would have no effect.
    """

    def __init__(self) -> None:
        self._set = False
        self._waits: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        _in_loop(self._loop, self._end_waits)

    def clear(self) -> None:
        self._set = False

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; False after `timeout` seconds."""
        self._loop = loop = asyncio.get_running_loop()
        if self._set:
            return True
        change = loop.create_future()
        self._waits.add(change)
        timer = None if timeout is None else loop.call_later(timeout, _end, change)
        try:
            await change
        finally:
            self._waits.discard(change)
            if timer is not None:
                timer.cancel()
        return self._set

    def _end_waits(self) -> None:
        for each in self._waits:
            _end(each)


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
    """A number that only grows; tasks wait for it to change.

    A wait also ends when `interruptions` has changed since the caller has looked at that.
    """

    def __init__(self) -> None:
        self.value = 0
        self.interruptions = 0
        self._waits: set[AsyncEvent] = set()
        self._lock = threading.RLock()  # a signal's handler may come in between

    def advance(self) -> None:
        with self._lock:  # `stop` may be called in any thread
            self.value += 1
            self.interrupt()

    def interrupt(self) -> None:
        """Have all waits end, without a change."""
        with self._lock:
            self.interruptions += 1
            waits = list(self._waits)
        for each in waits:
            each.set()

    async def wait(
        self, seen: int, before: int, timeout: float | None, fd: int | None = None
    ) -> bool:
        """Wait until it is not `seen` any more, or until a socket can be read.

        False after an interruption, or `timeout` seconds.
        """
        event, readable = AsyncEvent(), False

        def note() -> None:
            nonlocal readable
            readable = True
            event.set()

        with self._lock:
            if self.interruptions != before or self.value != seen:
                return self.value != seen
            self._waits.add(event)
        loop = asyncio.get_running_loop()
        try:
            if fd is not None:
                loop.add_reader(fd, note)
            await event.wait(timeout)
        finally:
            if fd is not None:
                loop.remove_reader(fd)
            with self._lock:
                self._waits.discard(event)
        return readable or self.value != seen


class Counter:
    """The same, for threads."""

    def __init__(self) -> None:
        self.value = 0
        self.interruptions = 0
        self._condition = threading.Condition()
        self._selecting: set[socket.socket] = set()

    def advance(self) -> None:
        with self._condition:
            self.value += 1
            self.interrupt()

    def interrupt(self) -> None:
        """Have all waits end, without a change."""
        with self._condition:
            self.interruptions += 1
            self._condition.notify_all()
            for each in self._selecting:
                each.send(b"!")

    def wait(self, seen: int, before: int, timeout: float | None, fd: int | None = None) -> bool:
        if fd is not None:
            return self._select(seen, before, timeout, fd)
        with self._condition:
            if self.value == seen:
                self._condition.wait_for(lambda: self.interruptions != before, timeout)
            return self.value != seen

    def _select(self, seen: int, before: int, timeout: float | None, fd: int) -> bool:
        ours, theirs = socket.socketpair()
        with ours, theirs, selectors.DefaultSelector() as selector:
            selector.register(ours, selectors.EVENT_READ)
            selector.register(fd, selectors.EVENT_READ)
            with self._condition:
                if self.interruptions != before or self.value != seen:
                    return self.value != seen
                self._selecting.add(theirs)
            try:
                found = selector.select(timeout)
            finally:
                with self._condition:
                    self._selecting.discard(theirs)
            return self.value != seen or any(key.fd == fd for key, _ in found)


class AsyncTurn:
    """The turn of a task: an event that it waits for, once."""

    __slots__ = ("_come", "_set")

    def __init__(self) -> None:
        self._set = False
        self._come: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set(self) -> None:
        self._set = True
        _end(self._come)

    async def wait(self, timeout: float) -> bool:
        """Wait for it; False after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        if self._come.done() and not self._set:
            self._come = loop.create_future()
        timer = loop.call_later(timeout, _end, self._come)
        try:
            await self._come
        finally:
            timer.cancel()
        return self._set


class Turn:
    """The turn of a thread: an event that it waits for, once."""

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


def _end(future: asyncio.Future[None]) -> None:
    """End the wait for it, unless that has ended."""
    if not future.done():
        future.set_result(None)


def async_soon(call: Callable[[], None]) -> None:
    """Call it after the tasks that are ready now."""
    asyncio.get_running_loop().call_soon(call)


def soon(call: Callable[[], None]) -> None:
    """Call it."""
    call()
