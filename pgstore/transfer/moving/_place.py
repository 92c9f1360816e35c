"""One end of a move: a store on a server."""

import time
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from pgstore._core.conninfo import checked, limits
from pgstore._core.places import place_of
from pgstore._core.quoting import Statements
from pgstore._sync.cursor import run
from pgstore._sync.pooling import pooling
from pgstore.transfer._errors import MoveError
from pgstore.transfer.moving import _sql as q

_POLL = 0.1


class End:
    """A connection to one end, in autocommit mode, with the store's name."""

    def __init__(self, conninfo: str, store: str) -> None:
        self.conninfo = checked(conninfo)
        self.place = place_of(conninfo)
        self.store = store
        self.statements = Statements(store)
        self.conn = self.connected()
        try:
            with self.connected() as other:
                pooler = pooling(self.conn, other)
            if pooler.status != "ok":
                # The lock that lets one program move the store would be another session's.
                raise MoveError(
                    f"a pooler leads to {self.place}: {pooler.value}",
                    hint="connect to the server itself, or in session mode",
                )
        except BaseException:
            self.conn.close()
            raise

    def connected(self) -> Connection[TupleRow]:
        """A connection: its commits are on disk, and no limit of the role's ends what it does."""
        conn = psycopg.connect(self.conninfo, autocommit=True, **limits(self.conninfo))
        try:
            run(conn, q.PLAIN, ())
            run(conn, q.UNLIMITED, ())
        except BaseException:
            conn.close()
            raise
        return conn

    def rows(self, statement: str, *parameters: Any) -> list[TupleRow]:
        """Run a statement in which STORE is the store."""
        return run(self.conn, self.statements[statement], parameters)

    def value(self, statement: str, *parameters: Any) -> Any:
        """The one value that a statement returns; None if it returns no row."""
        rows = self.rows(statement, *parameters)
        return rows[0][0] if rows else None

    def do(self, statement: str, **names: Any) -> None:
        """Run a statement that takes no parameters: names and other parts are quoted into it."""
        self.conn.execute(quoted(statement, **names))

    def has(self, statement: str, *parameters: Any) -> bool:
        """Whether a statement returns any row."""
        return bool(self.rows(statement, *parameters))

    @property
    def fence(self) -> str | None:
        """Where the store is instead of here; None if it is open here."""
        place: str | None = self.value(q.FENCE)
        return place

    @property
    def has_store(self) -> bool:
        """Whether there is a store of that name."""
        return self.has(q.IS_THERE, self.store)

    def names(self, statement: str) -> list[str]:
        """The names of tables or sequences of the store."""
        return [name for (name,) in self.rows(statement, self.store)]

    def take(self, patience: float) -> None:
        """Be the only one that moves this store from or to here, until the connection is closed."""
        key = f"pgstore:move:{self.store}"
        until = time.monotonic() + patience
        while not self.value(q.TRY_LOCK, key):
            if time.monotonic() > until:
                pid = self.value(q.LOCKED_BY, key)
                raise MoveError(
                    f"another program moves this store: the session with the pid {pid} at"
                    f" {self.place}",
                    hint="wait for it, or end it and run this again",
                )
            time.sleep(_POLL)

    def is_same(self, other: "End") -> bool:
        """Tell whether both are one database under two names: a lock of one stops the other."""
        key = f"pgstore:move:{uuid4().hex}"
        self.value(q.TRY_LOCK, key)
        same = not other.value(q.TRY_LOCK, key)
        self.value(q.UNLOCK, key)
        if not same:
            other.value(q.UNLOCK, key)
        return same


def quoted(statement: str, **names: Any) -> sql.Composed:
    """A statement with names quoted into it, and with parts of SQL, as `sql.Literal(text)`."""
    return sql.SQL(statement).format(
        **{
            name: sql.Identifier(value) if isinstance(value, str) else value
            for name, value in names.items()
        }
    )
