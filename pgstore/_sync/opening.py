# Generated from pgstore/_async/opening.py by `python tools/unasync.py`.

"""The database for work that ends when the store is closed."""

from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from pgstore._sync.cursor import Parameters, run
from pgstore._sync.database import Database, Pool


class Opening(Database):
    """The database until the store is closed: what was begun before does not open it again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closings = database.closings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @property
    def ended(self) -> bool:
        """Whether the store is being closed, or has been since."""
        return self._database.closings != self._closings

    def rows(
        self,
        statement: str,
        parameters: Parameters,
        conn: Connection[object] | None = None,
        *,
        repeatable: bool = True,
    ) -> list[TupleRow]:
        """As the database; a transaction that was begun before the closing can be finished."""
        if conn is not None:
            return run(conn, statement, parameters)
        return super().rows(statement, parameters, repeatable=repeatable)

    def ready(self, closings: int | None = None) -> Pool:
        """The open pool; PoolClosed after the store has been closed."""
        return self._database.ready(self._closings)
