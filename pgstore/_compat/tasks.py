"""Work in the background, and calls that differ between asyncio and threads."""

import asyncio
import contextvars
import inspect
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from pgstore._core import failures

A = TypeVar("A")
T = TypeVar("T")


class AsyncTask:
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

    def cancel(self) -> None:
        """Have it end soon, if it can be cancelled."""
        self._task.cancel()

    async def join(self) -> None:
        """Wait for its end; raise what it raised."""
        await self._task
        if self._exit is not None:
            raise self._exit


_ends = threading.local()


def at_thread_end(call: Callable[[], object]) -> None:
    """Call it when this thread ends, if it is one of a Task; once, however often this is said."""
    calls: set[Callable[[], object]] | None = getattr(_ends, "calls", None)
    if calls is not None:
        calls.add(call)


class Task:
    """Work in the background, from its making until `join`.

    As a task of asyncio does, it has the context of its maker, which a new thread has not.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._error: BaseException | None = None
        # A daemon: a program that forgets to close its store can still end.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        _ends.calls = calls = set[Callable[[], object]]()
        try:
            self._work()
        except BaseException as error:
            self._error = error
        finally:
            for call in calls:
                call()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Do nothing: nobody cancels a thread."""

    def join(self) -> None:
        """Wait for its end; raise what it raised."""
        # In slices: a signal that comes just before the wait is handled after it.
        while self._thread.is_alive():
            self._thread.join(0.2)
        if self._error is not None:
            raise self._error


class AsyncLoopEnd:
    """Close something when the loop ends, unless it is forgotten before.

    A worker of psycopg_pool that is cancelled while it connects continues, and waits for work. So
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


class LoopEnd:
    """Do nothing: the threads of a pool are daemons, which end with the program."""

    def __init__(self, close: Callable[[], None]) -> None: ...

    def forget(self) -> None: ...


async def async_called(value: T | Callable[[], T | Awaitable[T]]) -> T:
    """The value, or what the function that is given instead of it returns."""
    if not callable(value):
        return value
    result = value()
    return await result if inspect.isawaitable(result) else result


def called(value: T | Callable[[], T]) -> T:
    """The value, or what the function that is given instead of it returns."""
    return value() if callable(value) else value


async def async_finish(call: Callable[[A], Coroutine[None, None, None]], argument: A) -> None:
    """Call it and let it come to its end, also if this task is cancelled meanwhile.

    psycopg_pool loses a connection whose return is cancelled while the pool's lock is taken: each
    such cancellation would make the pool smaller for good.
    """
    coroutine = call(argument)
    if sys.version_info >= (3, 12):
        # It hardly ever waits: then it has ended here, and the loop has not gone round for it.
        task = asyncio.eager_task_factory(asyncio.get_running_loop(), coroutine)
        if task.done():
            return task.result()
    else:
        task = asyncio.ensure_future(coroutine)
    await asyncio.shield(task)


def finish(call: Callable[[A], None], argument: A) -> None:
    """Call it: nothing interrupts a thread."""
    call(argument)


def async_cancellations() -> int:
    """How often this task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def cancellations() -> int:
    """None: nobody cancels a thread."""
    return 0


def async_lost_cancellation(before: int) -> BaseException | None:
    """The cancellation that has come since there were so many, if nobody has raised it."""
    return asyncio.CancelledError() if async_cancellations() > before else None


def lost_cancellation(before: int) -> BaseException | None:
    """None: nobody cancels a thread."""
    return None


async def async_pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


def pause(seconds: float) -> None:
    time.sleep(seconds)


def async_ends(error: BaseException) -> bool:
    """Tell whether it is to end this task, and no failure of a function that the task has called.

    The task was not cancelled if its `cancelling()` is 0: a function that it called has raised that
    itself. Without a task its coroutine is being closed.
    """
    if isinstance(error, Exception):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task is None or task.cancelling() > 0 or failures.ends(error)


ends = failures.ends
