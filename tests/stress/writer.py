"""A process that writes: out of order, in pieces, and not always to the end."""

import logging
import random
import time
from collections import Counter

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from tests.stress.messages import Noted
from tests.stress.processes import Pipe

CATEGORIES = ("left", "right")
STREAMS = [f"{category}-{n}" for category in CATEGORIES for n in range(100)]
APPLICATION = "stress writer"

# Seconds longer than it was told, at most.
_PATIENCE = 30.0
_NAPS = (0.0, 0.0, 0.0, 0.001, 0.01)


def write(
    pipe: Pipe, conninfo: str, name: str, writer: int, seconds: float, least: int, forged: str = ""
) -> None:
    """Write until the time is up and so many transactions are committed; sends their counts.

    `forged` is the setting that remembers a transaction's mark, if the sessions forge it.
    """
    # A lost connection is part of the work, not worth a warning.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    pipe.send(Writer(conninfo, name, writer, forged).run(seconds, least))


class Writer:
    """Transactions on several streams, with savepoints, pauses and roll-backs."""

    def __init__(self, conninfo: str, name: str, writer: int, forged: str = "") -> None:
        options = "-c deadlock_timeout=20ms" + (f" -c {forged}=1" if forged else "")
        self._conninfo = make_conninfo(conninfo, application_name=APPLICATION, options=options)
        self._chance = random.Random(writer)
        self._writer = writer
        self._number = 0
        self._one = f"SELECT {name}.write_message(%s, 'Noted', %s::jsonb)".encode()
        self._many = f"SELECT {name}.write_messages(%s, %s::jsonb)".encode()

    def run(self, seconds: float, least: int) -> dict[str, int]:
        counts: Counter[str] = Counter()
        conn = self._connect()
        end = time.monotonic() + seconds
        while time.monotonic() < end or (
            counts["committed"] < least and time.monotonic() < end + _PATIENCE
        ):
            try:
                if conn.closed:
                    conn = self._connect()
                back = self._chance.random() < 0.1
                with conn.transaction(force_rollback=back):
                    self._transaction(conn)
                counts["rolled back" if back else "committed"] += 1
            except psycopg.Error as error:
                counts[error.sqlstate or "lost"] += 1
        conn.close()
        return dict(counts)

    def _connect(self) -> psycopg.Connection[TupleRow]:
        return psycopg.connect(self._conninfo, autocommit=True)

    def _transaction(self, conn: psycopg.Connection[TupleRow]) -> None:
        for stream in self._chance.sample(STREAMS, self._chance.choice((1, 1, 2, 3))):
            if self._chance.random() < 0.3:
                with conn.transaction(force_rollback=True):
                    self._write(conn, stream)
            self._write(conn, stream)
            time.sleep(self._chance.choice(_NAPS))

    def _write(self, conn: psycopg.Connection[TupleRow], stream: str) -> None:
        if self._chance.random() < 0.8:
            conn.execute(self._one, (stream, self._next()))
            return
        batch = ",".join(f'{{"type": "Noted", "data": {self._next()}}}' for _ in range(3))
        conn.execute(self._many, (stream, f"[{batch}]"))

    def _next(self) -> str:
        self._number += 1
        return msgspec.json.encode(Noted(self._writer, self._number)).decode()
