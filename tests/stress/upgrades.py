"""Upgrades from a version without gates, under transactions that wait in its functions.

Such a transaction continues with the function bodies of before: it has a mark and enters no gate. A
reader that trusts the gates while it runs passes it.
"""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from tests.released import install_released, upgrade_to_released

BEFORE = 3  # the last released version whose writers enter no gate
AFTER = 5  # one whose upgrade does not end the calls that run
_WRITERS, _READERS = 6, 2
_STREAMS = ("a-1", "b-1")
_NAPS = (0.0, 0.002, 0.01)
_BUSY = 0.2  # seconds before an upgrade, and after it

_WRITE = "SELECT global_position FROM {}.write_message(%s, 'Noted', '1')"
_READ = "SELECT global_position FROM {}.read_all(after_position => %s)"
_STORED = "SELECT global_position FROM {}.messages ORDER BY 1"
_TRUSTED = "SELECT pg_sequence_last_value({}) IS NOT NULL"
_TRUST = "SELECT setval({}, 1)"


class Upgrades(msgspec.Struct):
    """What rounds of an upgrade have shown."""

    rounds: int = 0
    seconds: float = 0.0
    messages: int = 0
    late: int = 0  # messages of transactions that were open when the upgrade ended
    looks: int = 0
    trusted: int = 0  # rounds at whose end readers trusted the gates
    missed: int = 0
    repeated: int = 0

    @property
    def tells(self) -> bool:
        """Transactions were open when an upgrade ended, and readers trusted the gates later."""
        return self.late > 0 and self.trusted > 0


def upgrades(
    conninfo: str, name: str, rounds: int, *, trusting: bool = False, enough: int | None = None
) -> Upgrades:
    """Upgrade so many stores; or until readers that are `trusting` at once have missed enough.

    If these rounds do not tell anything, there are more of them.
    """
    found, start = Upgrades(), time.monotonic()
    while found.rounds < rounds or (not found.tells and found.rounds < 10 * rounds):
        if enough is not None and found.missed >= enough:
            break
        found.rounds += 1
        with psycopg.connect(conninfo, autocommit=True) as conn:
            schema = f"{name}_{found.rounds}"
            install_released(conninfo, schema, BEFORE)
            _Round(conninfo, conn, schema, found).run(trusting)
            conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
        found.seconds = time.monotonic() - start
    return found


class _Round:
    def __init__(
        self, conninfo: str, conn: psycopg.Connection[TupleRow], schema: str, found: Upgrades
    ) -> None:
        self._conninfo = conninfo
        self._conn = conn
        self._schema = sql.Identifier(schema)
        self._sequence = sql.Literal(f"{schema}.gate_trust_seq")
        self._name = schema
        self._found = found
        self._written = threading.Event()
        self._last: int | None = None
        self._ended = 0.0

    def run(self, trusting: bool) -> None:
        with ExitStack() as stack:
            threads = stack.enter_context(ThreadPoolExecutor(_WRITERS + _READERS))
            stack.callback(self._end)
            reading = [threads.submit(self._read) for _ in range(_READERS)]
            writing = [threads.submit(self._write, n) for n in range(_WRITERS)]
            time.sleep(_BUSY)
            upgrade_to_released(self._conninfo, self._name, AFTER)
            if trusting:
                self._conn.execute(sql.SQL(_TRUST).format(self._sequence))
            self._ended = time.monotonic()
            time.sleep(_BUSY)
            self._written.set()
            open_then = [thread.result() for thread in writing]
            stored = [row[0] for row in self._conn.execute(sql.SQL(_STORED).format(self._schema))]
            self._last = stored[-1]
            seen = [thread.result() for thread in reading]
        ((trusted,),) = self._conn.execute(sql.SQL(_TRUSTED).format(self._sequence)).fetchall()
        self._found.trusted += trusted
        self._found.messages += len(stored)
        self._found.late += sum(open_then)
        for each in seen:
            self._found.missed += len(set(stored) - set(each))
            self._found.repeated += len(each) - len(set(each))

    def _end(self) -> None:
        self._written.set()
        if self._last is None:
            self._last = 0

    def _connection(self) -> psycopg.Connection[TupleRow]:
        # The upgrade changes what statements return.
        return psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)

    def _write(self, number: int) -> int:
        """Write until told; the messages of a transaction that was open at the upgrade's end."""
        chance, late = random.Random(f"{self._name} {number}"), 0
        write = sql.SQL(_WRITE).format(self._schema)
        with self._connection() as conn:
            while not self._written.is_set():
                began, stream, count = (
                    time.monotonic(),
                    chance.choice(_STREAMS),
                    chance.choice((1, 2)),
                )
                with conn.transaction():
                    for _ in range(count):
                        conn.execute(write, (stream,))
                        time.sleep(chance.choice(_NAPS))
                if began < self._ended < time.monotonic():
                    late += count
        return late

    def _read(self) -> list[int]:
        """Look again and again after the last position, up to the last one that is written."""
        seen: list[int] = []
        read = sql.SQL(_READ).format(self._schema)
        with self._connection() as conn:
            while self._last is None or (seen or [0])[-1] < self._last:
                seen += [row[0] for row in conn.execute(read, ((seen or [0])[-1],))]
                self._found.looks += 1
        return seen
