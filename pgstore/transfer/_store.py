"""The store that an export or import is of."""

from psycopg import Connection

from pgstore._core.arguments import refuse_other
from pgstore._core.quoting import Statements
from pgstore._sync.installer import ensure


def statements_of(conn: Connection[object], store: str) -> Statements:
    """Return the store's statements; refuse an object that is no connection, or no store."""
    refuse_other(conn, Connection)
    statements = Statements(store)
    ensure(conn, statements, create=False)
    return statements
