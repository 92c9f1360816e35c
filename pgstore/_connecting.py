"""Parameters of the store's own connections, and how to end one whose server is silent."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

# Seconds between two attempts to connect, for as long as it takes: an outage of two hours is to be
# over as fast as one of two seconds.
PACE = 0.4

# A host that has gone, or a firewall that drops packets, sends nothing. TCP alone would wait for
# two minutes when connecting, for 15 when it has sent something, and for ever when it has not.
_LIMITS = {
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}


def limits(conninfo: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The limits that neither the connection string, `given`, nor the environment sets.

    A connection string that names a service gets none: only libpq reads the service's file.
    """
    chosen = conninfo_to_dict(conninfo, **(given or {}))
    if "service" in chosen:
        return {}
    defaults = pq.Conninfo.get_defaults()
    set_outside = {each.keyword.decode() for each in defaults if each.val is not None}
    return {
        name: value
        for name, value in _LIMITS.items()
        if name not in chosen and name not in set_outside
    }


def cut(conn: psycopg.BaseConnection[Any]) -> None:
    """End a connection whose server is silent: whoever waits for an answer gets an error.

    From any thread. Cancelling would ask the server, and closing would wait for nobody.
    """
    with (
        suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(conn.pgconn.socket)) as copy,
    ):
        copy.shutdown(socket.SHUT_RDWR)


class Silence:
    """Finds the connections of a `run` that is to end whose server does not answer.

    `stopping` says that it is to end.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._used: dict[psycopg.BaseConnection[Any], tuple[float, bool]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def of(self, conn: psycopg.BaseConnection[Any], handlers: bool) -> Iterator[None]:
        """Watch a connection in this block; a handler's may take longer to answer."""
        with self._lock:
            self._used[conn] = (time.monotonic(), handlers)
        try:
            yield
        finally:
            with self._lock:
                del self._used[conn]

    def cut(self, ours: float, handlers: float) -> bool:
        """Cut those that have waited for so many seconds for an answer; whether there were any."""
        silent = []
        now = time.monotonic()
        with self._lock:
            for conn, (since, handlers_own) in self._used.items():
                if conn.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
                    self._used[conn] = (now, handlers_own)
                elif now - since >= (handlers if handlers_own else ours):
                    silent.append(conn)
            for conn in silent:
                cut(conn)
        return bool(silent)
