"""A store's entry in a directory: where the store is."""

import time

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from pgstore._async.cursor import run
from pgstore._core.conninfo import limits
from pgstore._core.places import LIMIT, PLACE_OF, Place, connected, of_the_directory
from pgstore.errors import (
    InvalidArgumentError,
    PgstoreError,
    StoreMovedError,
    StoreNotInDirectoryError,
)

# A move opens the store at its new place, and changes the directory some milliseconds later. After
# this time the new place is tried although the directory does not have it, or does not answer: the
# program that moved the store may have ended in between.
_DIRECTORY_FIRST = 2.0


class AsyncEntry:
    """Asks a directory for one store, on a connection for each question."""

    def __init__(self, directory: str, store: str) -> None:
        self.own = directory  # with the user, the password and the rest for the store too
        self.store = store
        self._found: Place | None = None  # by the last question
        self._late: Place | None = None  # the entry that a closed store has corrected
        self._said: str | None = None  # by the closed store, lately
        self._said_first = self._said_last = 0.0

    async def place(self) -> Place:
        """Return the entry of the directory."""
        with of_the_directory():
            async with (
                await AsyncConnection.connect(
                    self.own, autocommit=True, **limits(self.own)
                ) as conn,
                conn.transaction(),
            ):
                await run(conn, LIMIT, ())
                rows = await run(conn, PLACE_OF, (self.store,))
        if not rows:
            raise StoreNotInDirectoryError(self.store)
        self._found = Place(*rows[0])
        return self._found

    async def find(self) -> str:
        """The connection string for the store, by the directory."""
        return self._address((await self.place()).conninfo)

    async def find_again(self) -> str | None:
        """The connection string for the store; None if the directory says nothing new."""
        try:
            place = await self.place()
            # Not back to where it was: that server may be gone by now.
            return None if place == self._late else self._address(place.conninfo)
        except (psycopg.Error, OSError, PgstoreError):
            return None

    @property
    def note(self) -> str:
        """For errors at the place that the directory has."""
        place = "" if self._found is None else self._found.conninfo
        return f"by the directory, store {self.store} is at {place}"

    def said(self, error: StoreMovedError) -> str | None:
        """The connection string for the place that a closed store has said; None if it is none."""
        try:
            return self._address(error.conninfo)
        except InvalidArgumentError:
            return None

    async def follow(self, error: StoreMovedError) -> str | None:
        """The connection string for a store that was closed; None while nothing says it."""
        said, now = error.conninfo, time.monotonic()
        if said != self._said or now - self._said_last > _DIRECTORY_FIRST:
            self._said, self._said_first = said, now
        found = await self.find_again()
        self._said_last = time.monotonic()
        if self._said_last - self._said_first > _DIRECTORY_FIRST:
            self._late, found = self._found, self.said(error) or found
        return found

    def _address(self, place: str) -> str:
        try:
            conninfo = connected(place, self.own)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"the place of store {self.store}: {error}") from None
        return make_conninfo(conninfo, **limits(conninfo))
