"""SIGTERM and SIGINT, which end what runs."""

import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopped_by_signals(call: Callable[[], object]) -> Iterator[None]:
    """Call it on SIGTERM and SIGINT, if this is the main thread; then the handler that was there.

    That handler is put back afterwards, unless the program has set another one meanwhile; and it
    alone handles a second SIGINT: a user who presses Ctrl-C again does not want to wait. The first
    one does not call what Python and asyncio do by default, which would interrupt what `call` ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}
    ended = False

    def handle(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number)
        if name is signal.SIGINT:
            put_back(name)
        if not ended:  # a handler that was set meanwhile may call this one
            call()
        if not _is_default(before[name]):
            before[name](number, frame)

    def put_back(name: signal.Signals) -> None:
        if signal.getsignal(name) is handle:
            signal.signal(name, before[name])

    for name in _SIGNALS:
        # A signal that is ignored stays so. A handler that is not Python's (None) stays too: it
        # could be neither called nor put back.
        if signal.getsignal(name) not in (signal.SIG_IGN, None):
            before[name] = signal.getsignal(name)
            signal.signal(name, handle)
    try:
        yield
    finally:
        ended = True
        for name in before:
            put_back(name)


@asynccontextmanager
async def async_stopped_by_signals(stop: Callable[[], None]) -> AsyncIterator[None]:
    """Call `stop` on SIGTERM and SIGINT, if this is the main thread.

    The first block in a loop sets the signals' handler, which calls the `stop` of every block; the
    last block to end puts back the handler that was there.
    """
    import asyncio  # not above: the command line, which needs the signals, starts faster

    loop = asyncio.get_running_loop()
    stops, handling = _stops.setdefault(loop, ([], ExitStack()))
    stops.append(stop)
    if len(stops) == 1:
        handling.enter_context(stopped_by_signals(partial(_call_soon, loop, stops)))
    try:
        yield
    finally:
        stops.remove(stop)
        if not stops:
            handling.close()


Stops = list[Callable[[], None]]
_stops: "WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Stops, ExitStack]]" = (
    WeakKeyDictionary()
)


def _call_soon(loop: "asyncio.AbstractEventLoop", stops: Stops) -> None:
    """Call them in the loop, which may be anywhere when a signal arrives."""
    for stop in list(stops):
        with suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(stop)


def interrupt(*_: object) -> None:
    """Raise KeyboardInterrupt, as Python does by default, also where asyncio would not."""
    raise KeyboardInterrupt


def terminate(*_: object) -> None:
    """Exit as a program that SIGTERM has ended: our command line's own handler."""
    sys.exit(128 + signal.SIGTERM)


def _is_default(handler: Any) -> bool:
    """Whether it is what Python, asyncio or our command line does with a signal by itself."""
    if handler in (signal.SIG_DFL, signal.default_int_handler, interrupt, terminate):
        return True
    # asyncio.run's is a functools.partial of a method of its Runner.
    method = getattr(getattr(handler, "func", None), "__func__", None)
    runner = getattr(sys.modules.get("asyncio"), "Runner", None)
    return method is not None and method is getattr(runner, "_on_sigint", None)
