# Generated from pgstore/_async/opening.py by `python tools/unasync.py`.

"""The database for work that ends when the store is closed."""

import time

from psycopg_pool import PoolTimeout

from pgstore._core.deadlines import deadline, left
from pgstore._core.silence import Silence
from pgstore._core.translation import passes
from pgstore._sync.database import Database
from pgstore._sync.source import Pool, PoolConnection, Source

# A worker that waits for a connection looks after this many seconds whether it is still to wait.
# The pool then puts it at the end of the queue, so each step is twice as long as the one before:
# with equal steps, callers that keep all connections in use would never let it have one. While the
# pool cannot connect, nobody gets a connection, and the steps stay short.
_SLICE = 0.5

# So long a worker that is to end waits for a store that moves, to acknowledge what it has handled.
_LAST_MOVE = 2.0


class Opening(Database):
    """The database until the store is closed: work that began before does not open it again."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._closings = source.closings
        self.silence = Silence()
        self.until: float | None = None  # do not wait for a connection after that

    @property
    def ended(self) -> bool:
        """Whether the store is being closed, or has been since."""
        return self.source.closings != self._closings

    def permit(self) -> None:
        """A transaction that was begun before the closing can be finished."""

    def ready(self) -> Pool:
        """The open pool; PoolClosed after the store has been closed."""
        return self.source.ready(self._closings)

    def waits_for_move(self, since: float) -> bool:
        """As the database; a worker that is to end waits as long as most moves take."""
        if self.ended or self.silence.stopping or left(self.until) == 0:
            return time.monotonic() - since < _LAST_MOVE
        return super().waits_for_move(since)

    def take(self, pool: Pool, handlers: bool = False) -> PoolConnection:
        """As the database; but nobody waits long for one that it needs no longer."""
        conn: PoolConnection
        until, step = deadline(pool.timeout), _SLICE
        while True:
            try:
                ends = [each for each in (left(until), left(self.until)) if each is not None]
                conn = self.source.getconn(pool, max(min(step, *ends), _SLICE))
                break
            except PoolTimeout as error:
                over = self.ended or self.silence.stopping or 0 in (left(until), left(self.until))
                if over or (self.source.refusal is not None and not passes(self.source.refusal)):
                    raise self.source.explained(error) from error
                step = _SLICE if self.source.refusal is not None else 2 * step
        self.silence.watch(conn, handlers)
        return conn

    def give_back(self, pool: Pool, conn: PoolConnection) -> None:
        """As the database."""
        self.silence.forget(conn)
        super().give_back(pool, conn)
