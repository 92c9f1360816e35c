"""Deadlines."""

import time

# No thread can wait for longer than some centuries.
_LONGEST = 1e9


def deadline(timeout: float | None) -> float | None:
    """The moment `timeout` seconds from now; None for never."""
    return None if timeout is None else time.monotonic() + min(timeout, _LONGEST)


def left(moment: float | None) -> float | None:
    """Seconds until a deadline, at least 0; None for never."""
    return None if moment is None else max(0.0, moment - time.monotonic())
