# Generated from pgstore/_async/joining.py by `python tools/unasync.py`.

"""Statements in a transaction of the caller's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection

from pgstore._compat.joining import Conn, join
from pgstore._core.frameworks import refuse_taken_out


@contextmanager
def joined(conn: Conn) -> Iterator[Connection[Any]]:
    """psycopg's connection, or the one under SQLAlchemy's or Django's, in its transaction.

    If a statement in this block fails, the framework does not commit the transaction.
    """
    if isinstance(conn, Connection):
        refuse_taken_out(conn)
        yield conn
        return
    found = join(conn)
    try:
        yield found.raw
    except BaseException as error:
        found.failed(error)
        raise
