# Generated from pgstore/_async/scheduler.py by `python tools/unasync.py`.

"""Delivering scheduled messages when they are due."""

from collections.abc import Callable

from psycopg import OperationalError

from pgstore._compat.events import Event
from pgstore._core import statements as s
from pgstore._core.failures import is_conflict
from pgstore._core.parameters import MOST_DELIVERED
from pgstore._sync.opening import Opening
from pgstore._sync.waker import Waker
from pgstore.errors import MessageIdInUseError

# How long to wait for a stream that another transaction holds: doubled each time.
_HELD = (0.02, 1.0)


class Scheduler:
    """Delivers what is due, and waits until the next message is, or an earlier one is scheduled."""

    task = "scheduler"

    def __init__(self, database: Opening, waker: Waker, stopping: Event) -> None:
        self._database = database
        self._waker = waker
        self._stopping = stopping

    def work(self, through: Callable[[], None]) -> None:
        """Work until `stopping` is set; call back whenever the server has answered."""
        pause = _HELD[0]
        while True:
            seen = self._waker.counter.value
            if self._stopping.is_set():  # in this order, as in the runner
                return
            try:
                ((delivered, next_due),) = self._database.rows(
                    s.DELIVER_SCHEDULED, (str(MOST_DELIVERED), None, None)
                )
            except (OperationalError, MessageIdInUseError) as error:
                # Another transaction was in the way, or has written a message of the same id: the
                # next call forgets that one.
                if isinstance(error, OperationalError) and not is_conflict(error):
                    raise
                delivered, next_due = 0, 0.0
            through()
            if delivered:
                pause = _HELD[0]
            elif next_due == 0:
                self._stopping.wait(pause)
                pause = min(2 * pause, _HELD[1])
            else:
                self._waker.wait(seen, next_due)
