"""Connections whose server is silent, and how to end them."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import pq


def cut(conn: psycopg.BaseConnection[Any]) -> None:
    """End a connection whose server is silent: the caller that waits for it gets an error.

    Call it from any thread. Cancelling would ask the server; closing would not wait for the caller.
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

    def watch(self, conn: psycopg.BaseConnection[Any], handlers: bool) -> None:
        """Watch a connection from now on; a handler's may take longer to answer."""
        with self._lock:
            self._used[conn] = (time.monotonic(), handlers)

    def forget(self, conn: psycopg.BaseConnection[Any]) -> None:
        """Watch it no longer."""
        with self._lock:
            del self._used[conn]

    @contextmanager
    def of(self, conn: psycopg.BaseConnection[Any], handlers: bool) -> Iterator[None]:
        """Watch a connection in this block."""
        self.watch(conn, handlers)
        try:
            yield
        finally:
            self.forget(conn)

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
