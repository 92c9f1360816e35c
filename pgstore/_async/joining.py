"""Statements in a transaction of the caller's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection

from pgstore._compat.joining import AsyncConn, async_join
from pgstore._core.frameworks import refuse_taken_out


@asynccontextmanager
async def joined(conn: AsyncConn) -> AsyncIterator[AsyncConnection[Any]]:
    """psycopg's connection, or the one under SQLAlchemy's or Django's, in its transaction.

    If a statement in this block fails, the framework does not commit the transaction.
    """
    if isinstance(conn, AsyncConnection):
        refuse_taken_out(conn)
        yield conn
        return
    found = await async_join(conn)
    try:
        yield found.raw
    except BaseException as error:
        found.failed(error)
        raise
