# Generated from pgstore/_async/cursor.py by `python tools/unasync.py`.

"""The cursor on which everything of a store runs."""

from psycopg import Cursor
from psycopg.adapt import AdaptersMap
from psycopg.rows import TupleRow

from pgstore._adapters import ADAPTERS


class StoreCursor(Cursor[TupleRow]):
    """A cursor that neither uses nor changes what the connection's owner has set up on it."""

    @property
    def adapters(self) -> AdaptersMap:
        return ADAPTERS
