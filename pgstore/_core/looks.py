"""When workers look for work that no notification tells of."""

import threading

from pgstore._core.deadlines import deadline, left


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
