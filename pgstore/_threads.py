"""What threaded code needs of tasks and events; `_aio` is the same for asyncio."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pgstore import _failures, _signals

Lock = threading.Lock

A = TypeVar("A")
T = TypeVar("T")


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


class Task:
    """Work in the background, from its making until `join`."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._error: BaseException | None = None
        # A daemon: a program that forgets to close its store can still end.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for its end; raise what it raised."""
        # In slices: a signal that comes just before the wait is handled after it.
        while self._thread.is_alive():
            self._thread.join(0.2)
        if self._error is not None:
            raise self._error


def called(value: T | Callable[[], T]) -> T:
    """The value, or what the function that is given instead of it returns."""
    return value() if callable(value) else value


def finish(call: Callable[[A], None], argument: A) -> None:
    """Call it: nothing interrupts a thread."""
    call(argument)


class LoopEnd:
    """Do nothing: the threads of a pool are daemons, which end with the program."""

    def __init__(self, close: Callable[[], None]) -> None: ...

    def forget(self) -> None: ...


class Signal:
    """A number that only grows, and those who wait for it to change."""

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


def wait_for(event: Event, timeout: float | None) -> bool:
    """Wait until the event is set; False after `timeout` seconds."""
    return event.wait(timeout)


def pause(seconds: float) -> None:
    time.sleep(seconds)


ends = _failures.ends
stopped_by_signals = _signals.handled
