# Generated from pgstore/_async/entry.py by `python tools/unasync.py`.

"""A store's entry in a directory: where the store is."""

import time

from psycopg import Connection

from pgstore._core.conninfo import limits
from pgstore._core.places import PLACE_OF, Place, connected
from pgstore._sync.cursor import run
from pgstore.errors import StoreMovedError, StoreNotInDirectoryError

# A move opens the store at its new place, and changes the directory some milliseconds later. After
# this time the new place is tried although the directory does not have it: the program that moved
# the store may have ended in between.
_DIRECTORY_FIRST = 2.0


class Entry:
    """Asks a directory for one store, on a connection for each question."""

    def __init__(self, directory: str, store: str) -> None:
        self.own = directory  # with the user, the password and the rest for the store too
        self.store = store
        self._told: tuple[float, str] = (0.0, "")  # when the store was first said to have moved

    def place(self) -> Place:
        """Return the entry of the directory."""
        with Connection.connect(self.own, autocommit=True, **limits(self.own)) as conn:
            rows = run(conn, PLACE_OF, (self.store,))
        if not rows:
            raise StoreNotInDirectoryError(self.store)
        return Place(*rows[0])

    def find(self) -> str:
        """The connection string for the store."""
        return connected(self.place().conninfo, self.own)

    def follow(self, error: StoreMovedError) -> str:
        """The connection string for a store that was closed, and said where it is."""
        said = connected(error.conninfo, self.own)
        now = time.monotonic()
        if self._told[1] != said:
            self._told = now, said
        found = self.find()
        return said if now - self._told[0] > _DIRECTORY_FIRST else found
