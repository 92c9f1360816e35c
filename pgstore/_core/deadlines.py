"""Deadlines, and when workers look for work that no notification tells of."""

import threading
import time

# No thread can wait for longer than some centuries.
_LONGEST = 1e9


def deadline(timeout: float | None) -> float | None:
    """The moment `timeout` seconds from now; None for never."""
    return None if timeout is None else time.monotonic() + min(timeout, _LONGEST)


def left(moment: float | None) -> float | None:
    """Seconds until a deadline, at least 0; None for never."""
    return None if moment is None else max(0.0, moment - time.monotonic())


class Looks:
    """The next look of a run: one worker looks for all, so that more of them cost no more."""

    def __init__(self, longest: float) -> None:
        """The first look is due at once, each other one after at most so many seconds."""
        self._longest = longest
        self._next = deadline(0)
        self._lock = threading.Lock()

    def left(self) -> float | None:
        """Seconds until the next look is due."""
        return left(self._next)

    def take(self) -> bool:
        """Tell whether a look is due, which the caller does then."""
        with self._lock:
            if left(self._next):
                return False
            self._next = deadline(self._longest)
            return True

    def within(self, seconds: float) -> None:
        """Have the next look come in so many seconds, or earlier."""
        with self._lock:
            if seconds < (left(self._next) or 0):
                self._next = deadline(seconds)
