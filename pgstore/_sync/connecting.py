# Generated from pgstore/_async/connecting.py by `python tools/unasync.py`.

"""Connections of the store's own pool."""

from functools import partial
from typing import Any, Protocol, Self

import psycopg

from pgstore._compat.events import Event
from pgstore._core.outages import PACE, Outage
from pgstore._core.text import one_line
from pgstore._core.translation import passes
from pgstore._sync.direct import DirectConnection
from pgstore._sync.racing import Hosts


class Noting(Protocol):
    """The source of the connections."""

    hosts: Hosts
    outage: Outage
    refusal: BaseException | None

    def look_again(self) -> bool:
        """Tell whether a directory has another place by now: then `hosts` are those."""


def connecting(owner: Noting, end: Event) -> type[DirectConnection]:
    """The class of connections that are made as soon as the server is there, until `end` is set.

    psycopg_pool itself doubles its pauses, up to minutes, and logs each attempt. Its connection
    string is the one with which it was made: the owner's hosts have the one of now.
    """

    class Persistent(DirectConnection):
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Self:
            attempt = object()
            try:
                while True:
                    hosts = owner.hosts
                    try:
                        connect = partial(super().connect, hosts.conninfo, **options)
                        conn = hosts.connect(connect)
                    except (psycopg.Error, OSError) as error:
                        owner.refusal = error
                        owner.outage.met(attempt, error)
                        moved = owner.look_again()
                        if not (moved or passes(error)) or end.wait(PACE):
                            # psycopg_pool logs it, with the server's text.
                            raise psycopg.OperationalError(one_line(str(error))) from error
                    else:
                        owner.refusal = None
                        owner.outage.over(attempt)
                        return conn
            finally:
                owner.outage.left(attempt)

    return Persistent
