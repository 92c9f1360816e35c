"""One end of a move: a store on a server."""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from pgstore._core.conninfo import checked, limits
from pgstore._core.places import place_of
from pgstore._core.quoting import Statements
from pgstore._sync.cursor import run
from pgstore.transfer.moving import _sql as q


class End:
    """A connection to one end, in autocommit mode, with the store's name."""

    def __init__(self, conninfo: str, store: str) -> None:
        self.conninfo = checked(conninfo)
        self.place = place_of(conninfo)
        self.store = store
        self.statements = Statements(store)
        self.conn: Connection[TupleRow] = psycopg.connect(
            self.conninfo, autocommit=True, **limits(self.conninfo)
        )
        self.rows(q.PLAIN)

    def rows(self, statement: str, *parameters: Any) -> list[TupleRow]:
        """Run a statement in which STORE is the store."""
        return run(self.conn, self.statements[statement], parameters)

    def value(self, statement: str, *parameters: Any) -> Any:
        """The one value that a statement returns."""
        ((value,),) = self.rows(statement, *parameters)
        return value

    def do(self, statement: str, **names: Any) -> None:
        """Run a statement that takes no parameters: names and texts are quoted into it."""
        quoted = {
            name: sql.Literal(value.text) if isinstance(value, Text) else sql.Identifier(value)
            for name, value in names.items()
        }
        self.conn.execute(sql.SQL(statement).format(**quoted))

    def has(self, statement: str, *parameters: Any) -> bool:
        """Whether a statement returns any row."""
        return bool(self.conn.execute(statement.encode(), parameters).rowcount)

    @property
    def fence(self) -> str | None:
        """Where the store is instead of here; None if it is open here."""
        rows = self.rows(q.FENCE)
        return rows[0][0] if rows else None

    def names(self, statement: str) -> list[str]:
        """The names of tables or sequences of the store."""
        return [name for (name,) in self.rows(statement, self.store)]

    def listed(self, names: Iterable[str]) -> sql.Composed:
        """Tables of the store, as a statement lists them."""
        return sql.SQL(", ").join(sql.Identifier(self.store, name) for name in names)


class Text:
    """A text for a statement that takes no parameters."""

    def __init__(self, text: str) -> None:
        self.text = text
