"""The store that an export or import is of."""

from psycopg import Connection

from pgstore._core.arguments import name_of, refuse_other
from pgstore._core.statements import Statements
from pgstore._sync.installer import ensure


def refuse_other_store(conn: Connection[object], store: str) -> None:
    """Refuse an object that is no connection, or a schema that is no store, as a store does."""
    refuse_other(conn, Connection)
    name_of("store", store)
    ensure(conn, Statements(store), store, create=False)
