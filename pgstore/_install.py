"""Installing a store as a step of its own."""

import psycopg

from pgstore._core.conninfo import checked
from pgstore._core.quoting import Statements
from pgstore._sync import installer


def install(conninfo: str = "", *, store: str = "pgstore", message_db: bool = False) -> int:
    """Install a store, or upgrade it to this package's schema version, which is returned.

    One transaction under a lock: safe to run again, and by several at once. Needs the right to
    create a schema, or to own the one with this name; not a superuser. With `message_db`, Message
    DB's clients can use the store too: needs the role message_store, or the right to create it.

    Raises:
        InvalidArgumentError: not a connection string, or not a name.
        StoreTooNewError, MigrationEditedError: refused, and nothing was changed.
        UnsupportedDatabaseError: PostgreSQL older than 14, or a database that is not UTF8.
    """
    Statements(store)  # refuses what cannot be a name
    with psycopg.connect(checked(conninfo), autocommit=True, client_encoding="utf8") as conn:
        return installer.install(conn, store, message_db=message_db)
