"""A store's entry in a directory: where the store is."""

import time

from psycopg import AsyncConnection

from pgstore._async.cursor import run
from pgstore._core.conninfo import limits
from pgstore._core.places import PLACE_OF, Place, connected
from pgstore.errors import StoreMovedError, StoreNotInDirectoryError

# A move opens the store at its new place, and changes the directory some milliseconds later. After
# this time the new place is tried although the directory does not have it: the program that moved
# the store may have ended in between.
_DIRECTORY_FIRST = 2.0


class AsyncEntry:
    """Asks a directory for one store, on a connection for each question."""

    def __init__(self, directory: str, store: str) -> None:
        self.own = directory  # with the user, the password and the rest for the store too
        self.store = store
        self._told: tuple[float, str] = (0.0, "")  # when the store was first said to have moved

    async def place(self) -> Place:
        """Return the entry of the directory."""
        async with await AsyncConnection.connect(
            self.own, autocommit=True, **limits(self.own)
        ) as conn:
            rows = await run(conn, PLACE_OF, (self.store,))
        if not rows:
            raise StoreNotInDirectoryError(self.store)
        return Place(*rows[0])

    async def find(self) -> str:
        """The connection string for the store."""
        return connected((await self.place()).conninfo, self.own)

    async def follow(self, error: StoreMovedError) -> str:
        """The connection string for a store that was closed, and said where it is."""
        said = connected(error.conninfo, self.own)
        now = time.monotonic()
        if self._told[1] != said:
            self._told = now, said
        found = await self.find()
        return said if now - self._told[0] > _DIRECTORY_FIRST else found
