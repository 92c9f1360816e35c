"""Outages of the server: logged once when they begin, and once when they are over."""

import threading
import time
from typing import Any

import psycopg

from pgstore._core.log import log
from pgstore._core.text import one_line

# Seconds between two attempts to connect, for as long as it takes: an outage of two hours is to be
# over as fast as one of two seconds.
PACE = 0.4


def is_read_only(conn: psycopg.BaseConnection[Any]) -> bool:
    """Tell whether the server has said, with its last answer, that new transactions only read."""
    status = conn.pgconn.parameter_status
    return status(b"default_transaction_read_only") == b"on" or status(b"in_hot_standby") == b"on"


def wants_primary(conn: psycopg.BaseConnection[Any]) -> bool:
    """Tell whether the connection string asks for a server that can be written to."""
    return conn.info.get_parameters().get("target_session_attrs") in ("read-write", "primary")


class Outage:
    """The outage that all waiting parts of a store share.

    The pool, the listening connection, workers and followers all meet an outage, each again and
    again. It begins with the first of them, and is over when the last one has got through.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._waiting: set[object] = set()
        self._began = 0.0
        self._lock = threading.Lock()

    def met(self, by: object, error: BaseException) -> None:
        """Note that somebody waits because of this error."""
        with self._lock:
            if not self._waiting:
                self._began = time.monotonic()
                said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
                text = one_line(said or str(error)) or type(error).__name__
                log.warning("store %s: %s; waiting until that passes", self._store, text)
            self._waiting.add(by)

    def over(self, by: object) -> None:
        """Note that somebody got through."""
        if by in self._waiting:
            with self._lock:
                self._waiting.discard(by)
                if not self._waiting:
                    seconds = time.monotonic() - self._began
                    log.warning("store %s: works again, after %.1f s", self._store, seconds)

    def left(self, by: object) -> None:
        """Note that somebody waits no longer, though it did not get through."""
        with self._lock:
            self._waiting.discard(by)
