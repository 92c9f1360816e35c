"""The store that an export or import is of."""

from psycopg import Connection

from pgstore._core.arguments import name_of, refuse_other
from pgstore._core.statements import Statements
from pgstore._sync.installer import ensure


def refuse_other_store(conn: Connection[object], store: str) -> None:
    """Refuse what is no connection, and what is no store of this package, as a store does."""
    refuse_other(conn, Connection)
    name_of("store", store)
    ensure(conn, Statements(store), store, create=False)
