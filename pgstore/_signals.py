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
    meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(*_: object) -> None:
        call()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
