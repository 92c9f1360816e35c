"""What asyncio code needs of tasks and events; `_threads` is the same for threads."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TypeVar
from weakref import WeakKeyDictionary

from pgstore import _failures, _signals

Lock = asyncio.Lock

A = TypeVar("A")
T = TypeVar("T")


class Event:
    """As asyncio's, but any thread may set it."""

    def __init__(self) -> None:
        self._set = False
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        in_loop(self._loop, self._changed.set)

    def clear(self) -> None:
        self._set = False
        self._changed = asyncio.Event()

    async def wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        changed = self._changed
        if not self._set:
            await changed.wait()


def in_loop(loop: asyncio.AbstractEventLoop | None, call: Callable[[], object]) -> None:
    """Call it in the loop of those who wait, whatever thread this is."""
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if loop is None or loop is here:
        call()
        return
    with suppress(RuntimeError):  # it is closed: nobody waits any more
        loop.call_soon_threadsafe(call)


class Task:
    """Work in the background, from its making until `join`."""

    def __init__(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        self._work = work
        self._exit: SystemExit | None = None
        self._task = asyncio.ensure_future(self._run())
        self._task.set_name(name)

    async def _run(self) -> None:
        try:
            await self._work()
        except SystemExit as error:
            # Out of a task it would end the loop at once, under all others, and keep a connection
            # that is just being made from noticing.
            self._exit = error

    @property
    def alive(self) -> bool:
        return not self._task.done()

    async def join(self) -> None:
        """Wait for its end; raise what it raised."""
        await self._task
        if self._exit is not None:
            raise self._exit


async def called(value: T | Callable[[], T | Awaitable[T]]) -> T:
    """The value, or what the function that is given instead of it returns."""
    if not callable(value):
        return value
    result = value()
    return await result if inspect.isawaitable(result) else result


async def finish(call: Callable[[A], Coroutine[None, None, None]], argument: A) -> None:
    """Call it and let it come to its end, also if this task is cancelled meanwhile.

    psycopg_pool loses a connection whose return is cancelled while the pool's lock is taken: each
    such cancellation would make the pool smaller for good.
    """
    await asyncio.shield(call(argument))


class LoopEnd:
    """Close something when the loop ends, unless it is forgotten before.

    A worker of psycopg_pool that is cancelled while it connects goes on and waits for work. So
    `asyncio.run`, which cancels each task once and waits for all, would never end. The worker ends
    when its pool is closed.
    """

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self._task = asyncio.ensure_future(self._wait(close))
        self._task.set_name("pgstore-end")
        self._forgotten = False

    async def _wait(self, close: Callable[[], Awaitable[None]]) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if not self._forgotten:
                await close()
            raise

    def forget(self) -> None:
        self._forgotten = True
        if not self._task.get_loop().is_closed():
            self._task.cancel()


class Signal:
    """A number that only grows, and those who wait for it to change."""

    def __init__(self) -> None:
        self.value = 0
        self._changed = Event()
        self._lock = threading.RLock()  # a signal's handler may come in between

    def advance(self) -> None:
        with self._lock:  # `stop` may be called in any thread
            self.value += 1
            changed, self._changed = self._changed, Event()
        changed.set()

    async def wait(self, seen: int, timeout: float | None) -> bool:
        """Wait until it is not `seen` any more; False after `timeout` seconds."""
        changed = self._changed
        if self.value != seen:
            return True
        return await wait_for(changed, timeout)


async def wait_for(event: Event, timeout: float | None) -> bool:
    """Wait until the event is set; False after `timeout` seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout)
    return event.is_set()


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


def ends(error: BaseException) -> bool:
    """Tell whether it is to end this task, and no failure of what the task has called.

    Nobody has cancelled the task whose `cancelling()` is 0: what was called has raised that by
    itself. Without a task its coroutine is being closed.
    """
    if isinstance(error, Exception):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task is None or task.cancelling() > 0 or _failures.ends(error)


@asynccontextmanager
async def stopped_by_signals(stop: Callable[[], None]) -> AsyncIterator[None]:
    """Call `stop` on SIGTERM and SIGINT, if this is the main thread.

    The first of those who run in a loop sets the signals' handler, which calls what all of them
    have given; the last one puts back what was there.
    """
    loop = asyncio.get_running_loop()
    stops, handling = _stops.setdefault(loop, ([], ExitStack()))
    stops.append(stop)
    if len(stops) == 1:
        handling.enter_context(_signals.handled(partial(_call_soon, loop, stops)))
    try:
        yield
    finally:
        stops.remove(stop)
        if not stops:
            handling.close()


Stops = list[Callable[[], None]]
_stops: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Stops, ExitStack]] = WeakKeyDictionary()


def _call_soon(loop: asyncio.AbstractEventLoop, stops: Stops) -> None:
    """Call them in the loop, which may be anywhere when a signal arrives."""
    for stop in list(stops):
        with suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(stop)
