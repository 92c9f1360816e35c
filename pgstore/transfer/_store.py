"""The store that an export or import is of, and the connection to it."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection
from psycopg.pq import TransactionStatus

from pgstore._core.arguments import refuse_other
from pgstore._core.quoting import Statements
from pgstore._sync.installer import ensure


def statements_of(conn: Connection[object], store: str) -> Statements:
    """Return the store's statements; refuse an object that is no connection, or no store."""
    refuse_other(conn, Connection)
    statements = Statements(store)
    ensure(conn, statements, create=False)
    return statements


@contextmanager
def closed_if_interrupted(conn: Connection[object]) -> Iterator[None]:
    """Close a connection that Ctrl-C has met between psycopg's sending and waiting.

    psycopg leaves the statement running, and the connection of no use.
    """
    try:
        yield
    finally:
        if conn.info.transaction_status == TransactionStatus.ACTIVE:
            conn.close()
