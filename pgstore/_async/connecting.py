"""Connections of the store's own pool."""

from typing import Any, Protocol, Self

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pgstore import _aio
from pgstore._connecting import PACE
from pgstore._outages import Outage
from pgstore._text import one_line
from pgstore._translation import passes


class Noting(Protocol):
    """Whose connections they are."""

    outage: Outage
    refusal: BaseException | None


def connecting(owner: Noting, end: _aio.Event) -> type[AsyncConnection[TupleRow]]:
    """The class of connections that are made as soon as the server is there, until `end` is set.

    psycopg_pool itself doubles its pauses, up to minutes, and logs each attempt.
    """

    class Persistent(AsyncConnection[TupleRow]):
        @classmethod
        async def connect(cls, conninfo: str = "", **options: Any) -> Self:
            attempt = object()
            try:
                while True:
                    try:
                        conn = await super().connect(conninfo, **options)
                    except (psycopg.Error, OSError) as error:
                        owner.refusal = error
                        owner.outage.met(attempt, error)
                        if not passes(error) or await _aio.wait_for(end, PACE):
                            # psycopg_pool logs it, with whatever the server said.
                            raise psycopg.OperationalError(one_line(str(error))) from error
                    else:
                        owner.refusal = None
                        owner.outage.over(attempt)
                        return conn
            finally:
                owner.outage.left(attempt)

    return Persistent
