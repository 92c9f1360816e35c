"""Lending the waiting connection to the reader that waits alone."""

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pgstore._async.cursor import Parameters
from pgstore._async.direct import AsyncDirectConnection
from pgstore._async.opening import AsyncOpening
from pgstore._compat.events import AsyncCounter, AsyncEvent
from pgstore._core.translation import is_elsewhere, is_lost_connection
from pgstore.errors import StoreMovedError


class AsyncLending:
    """Lends the waiting connection to the only reader that waits.

    That reader listens on it, and runs the statement that looks for messages on it. So neither
    another thread nor a connection of the pool is between a notification and the look. The waiting
    task uses the connection when it is not lent.
    """

    def __init__(self, counter: AsyncCounter) -> None:
        self.reading = False  # so that nobody listens
        self._counter = counter
        self._offered: AsyncConnection[object] | None = None
        self.returned = AsyncEvent()  # set while the connection is not lent
        self.returned.set()

    def offer(self, conn: AsyncConnection[object]) -> None:
        """Let the reader that waits take the connection."""
        self.returned = AsyncEvent()
        self._offered = conn
        self._counter.interrupt()

    def accept(self) -> AsyncConnection[object] | None:
        """Take the connection that is offered."""
        conn, self._offered = self._offered, None
        return conn

    def give_back(self) -> None:
        """End a loan, or an offer."""
        self._offered, self.reading = None, False
        self.returned.set()

    def withdraw(self) -> None:
        """End an offer: the reader for which it was waits no longer."""
        if self._offered is not None:
            self.give_back()


class AsyncBorrower:
    """A reader that may borrow the waiting connection, for the next statement that it runs."""

    def __init__(self, lending: AsyncLending, database: AsyncOpening) -> None:
        self._lending = lending
        self._database = database
        self._conn: AsyncConnection[object] | None = None

    def keep(self, conn: AsyncConnection[object]) -> None:
        """Keep the connection on which a notification has come, for one statement."""
        self._lending.reading = True
        self._conn = conn

    def give_back(self) -> None:
        if self._conn is not None:
            self._conn = None
            self._lending.give_back()

    async def rows(self, statement: str, parameters: Parameters) -> list[TupleRow]:
        """Run a statement on the connection that was borrowed; if there is none, on the pool's."""
        if self._conn is not None:
            try:
                with self._database.silence.of(self._conn, False):
                    if isinstance(self._conn, AsyncDirectConnection):
                        text = self._database.statements[statement]
                        return await self._conn.rows(text, parameters)
                    return await self._database.rows(statement, parameters, self._conn)
            except psycopg.Error as error:
                moved = isinstance(error, StoreMovedError)
                if not moved and not is_lost_connection(error) and not is_elsewhere(error):
                    raise
            finally:
                self.give_back()
        return await self._database.rows(statement, parameters)
