"""Installing a store as a step of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from pgstore._compat.joining import SqlEngine, SqlUrl, Transactional
from pgstore._core.arguments import refuse_no_address
from pgstore._core.conninfo import checked
from pgstore._core.frameworks import kind_of
from pgstore._core.quoting import Statements
from pgstore._sync import installer


def install(
    conninfo: str | SqlUrl | SqlEngine | Transactional = "",
    *,
    store: str = "pgstore",
    message_db: bool = False,
) -> int:
    """Install a store, or upgrade it to this package's schema version, which is returned.

    One transaction under a lock: safe to run again, and by several at once. Needs the right to
    create a schema, or to own the one with this name; not a superuser. With `message_db`, Message
    DB's clients can use the store too: needs the role message_store, or the right to create it.
    Where they can already, this is upgraded too.

    Args:
        conninfo: a connection string of libpq, or of SQLAlchemy for psycopg. With a SQLAlchemy
            engine or Django's connection, a new connection is made as those make theirs.

    Raises:
        InvalidArgumentError: nothing to connect with, or not a name.
        StoreTooNewError, MigrationEditedError: refused, and nothing was changed.
        UnsupportedDatabaseError: PostgreSQL older than 14, or a database that is not UTF8.
    """
    Statements(store)  # refuses what cannot be a name
    with _connected(conninfo) as conn:
        return installer.install(conn, store, message_db=message_db)


@contextmanager
def _connected(source: Any) -> Iterator[psycopg.Connection[Any]]:
    """A connection of its own, in autocommit mode."""
    refuse_no_address(source)
    if kind_of(source) in ("engine", "django"):
        from pgstore._sync.engines import lent_pool  # only where a framework is

        pool = lent_pool(source)
        pool.permit()
        with pool.beside() as conn:
            yield conn
        return
    with psycopg.connect(checked(source), autocommit=True, client_encoding="utf8") as conn:
        yield conn
