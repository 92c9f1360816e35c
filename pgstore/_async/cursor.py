"""The cursor on which everything of a store runs."""

from psycopg import AsyncCursor
from psycopg.adapt import AdaptersMap
from psycopg.rows import TupleRow

from pgstore._adapters import ADAPTERS


class StoreCursor(AsyncCursor[TupleRow]):
    """A cursor that neither uses nor changes what the connection's owner has set up on it."""

    @property
    def adapters(self) -> AdaptersMap:
        return ADAPTERS
