# Generated from pgstore/_async/opening.py by `python tools/unasync.py`.

"""The database for work that ends when the store is closed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from pgstore import _threads
from pgstore._connecting import Silence
from pgstore._sync.cursor import Parameters, run
from pgstore._sync.database import Database, Pool, PoolConnection
from pgstore._time import deadline, left
from pgstore._translation import passes

# A worker that waits for a connection looks after this many seconds whether it is still to wait.
# The pool then puts it at the end of the queue, so each step is twice as long as the one before:
# with equal steps, callers that keep all connections in use would never let it have one. While the
# pool cannot connect, nobody gets a connection, and the steps stay short.
_SLICE = 0.5


class Opening(Database):
    """The database until the store is closed: work that began before does not open it again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closings = database.closings
        self.silence = Silence()
        self.until: float | None = None  # do not wait for a connection after that

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @property
    def ended(self) -> bool:
        """Whether the store is being closed, or has been since."""
        return self._database.closings != self._closings

    def rows(
        self,
        statement: str,
        parameters: Parameters,
        conn: Connection[object] | None = None,
        *,
        repeatable: bool = True,
    ) -> list[TupleRow]:
        """As the database; a transaction that was begun before the closing can be finished."""
        if conn is not None:
            return run(conn, statement, parameters)
        return super().rows(statement, parameters, repeatable=repeatable)

    def ready(self, closings: int | None = None) -> Pool:
        """The open pool; PoolClosed after the store has been closed."""
        return self._database.ready(self._closings)

    def renew(self, pool: Pool, began: float) -> None:
        """As the database, whose pool others use too."""
        self._database.renew(pool, began)

    @contextmanager
    def taken(self, pool: Pool, handlers: bool = False) -> Iterator[PoolConnection]:
        """As the database; but nobody waits long for one that it needs no longer."""
        until, step = deadline(pool.timeout), _SLICE
        while True:
            try:
                ends = [each for each in (left(until), left(self.until)) if each is not None]
                conn = pool.getconn(max(min(step, *ends), _SLICE))
                break
            except PoolTimeout as error:
                over = self.ended or self.silence.stopping or 0 in (left(until), left(self.until))
                if over or (self.refusal is not None and not passes(self.refusal)):
                    raise self.explained(error) from error
                step = _SLICE if self.refusal is not None else 2 * step
        try:
            with self.silence.of(conn, handlers), conn:
                yield conn
        finally:
            _threads.finish(pool.putconn, conn)
