"""The cursor on which everything of a store runs."""

from collections.abc import Sequence

from psycopg import AsyncConnection, AsyncCursor
from psycopg.adapt import AdaptersMap
from psycopg.rows import TupleRow, tuple_row

from pgstore._core.adapters import ADAPTERS_OF_ASCII, ADAPTERS_OF_CURSORS
from pgstore._core.arguments import no_connection
from pgstore._core.arrays import Array
from pgstore._core.translation import translated

Parameters = Sequence[str | Array | None]


class StoreCursor(AsyncCursor[TupleRow]):
    """A cursor that neither uses nor changes what the connection's owner has set up on it."""

    @property
    def adapters(self) -> AdaptersMap:
        if self.connection.info.encoding == "ascii":
            return ADAPTERS_OF_ASCII
        return ADAPTERS_OF_CURSORS


async def run(
    conn: AsyncConnection[object],
    statement: str,
    parameters: Parameters,
    *,
    prepare: bool | None = None,
) -> list[TupleRow]:
    """Run one statement of the store and fetch what it returns; `prepare` is psycopg's."""
    if not isinstance(conn, AsyncConnection):
        raise no_connection(conn, AsyncConnection)
    with translated(conn):
        async with StoreCursor(conn, row_factory=tuple_row) as cursor:
            await cursor.execute(statement, parameters, prepare=prepare, binary=True)
            # In the caller's pipeline the server's answer, or its error, arrives here.
            return await cursor.fetchall()
