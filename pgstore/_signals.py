"""SIGTERM and SIGINT, which end what runs."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handled(call: Callable[[], object]) -> Iterator[None]:
    """Call it on SIGTERM and SIGINT, if this is the main thread.

    What handled them before does so again afterwards, unless somebody has set another handler
    meanwhile; and it handles a second SIGINT: who presses Ctrl-C again does not want to wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: object) -> None:
        if number == signal.SIGINT:
            put_back(signal.SIGINT)
        call()

    def put_back(number: signal.Signals) -> None:
        if signal.getsignal(number) is handle:
            signal.signal(number, signal.SIG_DFL if before[number] is None else before[number])

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number in before:
            put_back(number)
