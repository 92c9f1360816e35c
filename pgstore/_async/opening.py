"""The database for work that ends when the store is closed."""

from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pgstore._async.cursor import Parameters, run
from pgstore._async.database import AsyncDatabase, Pool


class AsyncOpening(AsyncDatabase):
    """The database until the store is closed: what was begun before does not open it again."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database
        self._closings = database.closings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @property
    def ended(self) -> bool:
        """Whether the store is being closed, or has been since."""
        return self._database.closings != self._closings

    async def rows(
        self,
        statement: str,
        parameters: Parameters,
        conn: AsyncConnection[object] | None = None,
        *,
        repeatable: bool = True,
    ) -> list[TupleRow]:
        """As the database; a transaction that was begun before the closing can be finished."""
        if conn is not None:
            return await run(conn, statement, parameters)
        return await super().rows(statement, parameters, repeatable=repeatable)

    async def ready(self, closings: int | None = None) -> Pool:
        """The open pool; PoolClosed after the store has been closed."""
        return await self._database.ready(self._closings)
