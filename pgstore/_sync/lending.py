# Generated from pgstore/_async/lending.py by `python tools/unasync.py`.

"""Lending the waiting connection to the reader that waits alone."""

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from pgstore._compat.events import Counter, Event
from pgstore._core.translation import is_elsewhere, is_lost_connection
from pgstore._sync.cursor import Parameters
from pgstore._sync.direct import DirectConnection
from pgstore._sync.opening import Opening
from pgstore.errors import StoreMovedError


class Lending:
    """Lends the waiting connection to the only reader that waits.

    That reader listens on it, and runs the statement that looks for messages on it. So neither
    another thread nor a connection of the pool is between a notification and the look. The waiting
    task uses the connection when it is not lent.
    """

    def __init__(self, counter: Counter) -> None:
        self.reading = False  # so that nobody listens
        self._counter = counter
        self._offered: Connection[object] | None = None
        self.returned = Event()  # set while the connection is not lent
        self.returned.set()

    def offer(self, conn: Connection[object]) -> None:
        """Let the reader that waits take the connection."""
        self.returned = Event()
        self._offered = conn
        self._counter.interrupt()

    def accept(self) -> Connection[object] | None:
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


class Borrower:
    """A reader that may borrow the waiting connection, for the next statement that it runs."""

    def __init__(self, lending: Lending, database: Opening) -> None:
        self._lending = lending
        self._database = database
        self._conn: Connection[object] | None = None

    def keep(self, conn: Connection[object]) -> None:
        """Keep the connection on which a notification has come, for one statement."""
        self._lending.reading = True
        self._conn = conn

    def give_back(self) -> None:
        if self._conn is not None:
            self._conn = None
            self._lending.give_back()

    def rows(self, statement: str, parameters: Parameters) -> list[TupleRow]:
        """Run a statement on the connection that was borrowed; if there is none, on the pool's."""
        if self._conn is not None:
            try:
                with self._database.silence.of(self._conn, False):
                    if isinstance(self._conn, DirectConnection):
                        text = self._database.statements[statement]
                        return self._conn.rows(text, parameters)
                    return self._database.rows(statement, parameters, self._conn)
            except psycopg.Error as error:
                moved = isinstance(error, StoreMovedError)
                if not moved and not is_lost_connection(error) and not is_elsewhere(error):
                    raise
            finally:
                self.give_back()
        return self._database.rows(statement, parameters)
