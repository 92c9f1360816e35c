# Generated from pgstore/_async/standby.py by `python tools/unasync.py`.

"""Reads that go to a standby: their connections, and how long they wait if it is behind."""

from collections.abc import Callable
from typing import TypeVar

from psycopg.errors import DeadlockDetected, SerializationFailure

from pgstore._compat.tasks import pause
from pgstore._core.deadlines import deadline, left
from pgstore._sync.database import Database
from pgstore._sync.source import Source
from pgstore._sync.waker import Waker, WakeUp
from pgstore.errors import StandbyBehindError, StoreNotInstalledError, StoreOutdatedError

T = TypeVar("T")

# How long a read waits for a standby that is behind.
PATIENCE = 5.0
_LOOK_AGAIN = 0.02


class Standby:
    """The connections for reads that may be a little behind the writes, and their waker."""

    def __init__(self, source: Source, wakeup: WakeUp) -> None:
        self.database = Database(source)
        self.waker = Waker(source, wakeup)

    def close(self) -> None:
        """Close the connections; a pool that was given stays open."""
        self.waker.close()
        self.database.source.close()


def once_there(read: Callable[[], T], install: Callable[[], object] | None = None) -> T:
    """Read, and again for some seconds while a standby has not got so far, or cancels the read.

    It does that to continue with its replay.

    With `install`, which makes sure that the primary has the store, also while the standby does not
    have it, or has it as it was before an upgrade.
    """
    until = deadline(PATIENCE)
    while True:
        try:
            return read()
        except (StandbyBehindError, SerializationFailure, DeadlockDetected):
            if left(until) == 0:
                raise
        except (StoreNotInstalledError, StoreOutdatedError) as error:
            if left(until) == 0 or install is None or not error.on_standby:
                raise
            install()
        pause(_LOOK_AGAIN)
