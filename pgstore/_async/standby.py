"""Reads that go to a standby: their connections, and how long they wait if it is behind."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from psycopg.errors import DeadlockDetected, SerializationFailure

from pgstore._async.database import AsyncDatabase
from pgstore._async.source import AsyncSource
from pgstore._async.waker import AsyncWaker, WakeUp
from pgstore._compat.tasks import async_pause
from pgstore._core.deadlines import deadline, left
from pgstore.errors import StandbyBehindError, StoreNotInstalledError, StoreOutdatedError

T = TypeVar("T")

# How long a read waits for a standby that is behind.
PATIENCE = 5.0
_LOOK_AGAIN = 0.02


class AsyncStandby:
    """The connections for reads that may be a little behind the writes, and their waker."""

    def __init__(self, source: AsyncSource, wakeup: WakeUp) -> None:
        self.database = AsyncDatabase(source)
        self.waker = AsyncWaker(source, wakeup)

    async def aclose(self) -> None:
        """Close the connections; a pool that was given stays open."""
        await self.waker.aclose()
        await self.database.source.aclose()


async def async_once_there(
    read: Callable[[], Awaitable[T]], install: Callable[[], Awaitable[object]] | None = None
) -> T:
    """Read, and again for some seconds while a standby has not got so far, or cancels the read.

    It does that to continue with its replay.

    With `install`, which makes sure that the primary has the store, also while the standby does not
    have it, or has it as it was before an upgrade.
    """
    until = deadline(PATIENCE)
    while True:
        try:
            return await read()
        except (StandbyBehindError, SerializationFailure, DeadlockDetected):
            if left(until) == 0:
                raise
        except (StoreNotInstalledError, StoreOutdatedError) as error:
            if left(until) == 0 or install is None or not error.on_standby:
                raise
            await install()
        await async_pause(_LOOK_AGAIN)
