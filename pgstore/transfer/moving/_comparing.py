"""Both ends compared, all rows of all tables.

Large tables while the store is open: in parts, and a part that differs in halves, down to a key.
For a target that fails over can have lost changes, which PostgreSQL's replication does not tell.
The rest while the store is closed. A failover in between ends the connection, and with it the move.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

from psycopg.rows import TupleRow

from pgstore.transfer._errors import MoveError
from pgstore.transfer.moving import _sql as q
from pgstore.transfer.moving._place import End

# Bytes of a table that is read as a whole while everybody waits, and of a part of a larger one.
_SMALL = 16 << 20
_PART = 8 << 20
# Rows are only added to these, with a rising position: the newest are left for the end.
_RISING = ("messages", "message_tags")
# So many positions at most are left for the end; how often that is tried.
_NEWEST, _TIMES = 10_000, 5
# Rows that change all the time are compared at the end: so many at most.
_RESTLESS = 100
_TRIES = 5

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


class Table(NamedTuple):
    """A large table: `key` is a number that each row has, by which it is divided."""

    name: str
    key: str
    bytes: int


class Part(NamedTuple):
    """The rows of a table whose keys are within bounds."""

    table: Table
    low: int
    high: int
    condition: str

    @property
    def halves(self) -> "tuple[Part, Part]":
        middle = (self.low + self.high) // 2
        return self._replace(low=middle + 1), self._replace(high=middle)

    @property
    def counted(self) -> str:
        within = f"{self.table.key} BETWEEN '{self.low}'::bigint AND '{self.high}'::bigint"
        return counted(self.table.name, f"{within} AND {self.condition}")


class Comparison:
    """Compares two ends: `large` while both change, `rest` while the store is closed."""

    def __init__(
        self, source: End, target: End, follow: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        """`follow` waits until the target has what the source has by then."""
        self._source, self._target = source, target
        self._follow = follow
        self._tell = tell
        found = source.rows(q.KEYS, source.store, source.names(q.TABLES))
        self._all = [name for name, *_ in found]
        self._large = [
            Table(name, f"t.{column}" if is_number else f"hashtextextended(t.{column}::text, 0)", n)
            for name, column, is_number, n in found
            if n >= _SMALL
        ]
        self._after = 0  # the messages up to there are compared
        self._restless: list[Part] = []

    def large(self) -> None:
        """Compare the large tables.

        Raises:
            MoveError: they differ, and not only because they change.
        """
        for table in self._large:
            if table.name != "messages":
                # Newer ones are not left for the end: no index has them by their position.
                newest = f"t.global_position <= {self._safe()}"
                self._compare(table, newest if table.name in _RISING else "true")
        for table in self._large:
            for _ in range(_TIMES if table.name == "messages" else 0):
                before, self._after = self._after, max(self._after, self._safe())
                newer = f"t.global_position > {before} AND t.global_position <= {self._after}"
                self._compare(table, newer)
                if self._after < before + _NEWEST:
                    break

    def rest(self) -> list[str]:
        """The small tables, and rows of the large ones, that differ. Nobody changes either end."""
        large = {table.name for table in self._large}
        statements = [counted(name, "true") for name in self._all if name not in large]
        statements += [part.counted for part in self._restless]
        if "messages" in large:
            statements.append(counted("messages", f"t.global_position > {self._after}"))
        here, there = self._both(" UNION ALL ".join(statements))
        return sorted({one[0] for one, other in zip(here, there, strict=True) if one != other})

    def _safe(self) -> int:
        """A position: the messages up to there are there for good, and at the target too."""
        safe: int = self._source.value(q.SAFE)
        self._follow()
        return safe

    def _compare(self, table: Table, condition: str) -> None:
        bounds = filled(q.BOUNDS, table.name, condition).replace("KEY", table.key)
        ((least, most),) = self._source.rows(bounds)
        number = 1 + table.bytes // _PART
        width = 1 + (most - least) // number
        # The first and the last one are without a bound, for rows that are at the target only.
        edges = [_LEAST, *(least + width * n for n in range(1, number)), _MOST + 1]
        parts = [Part(table, low, high - 1, condition) for low, high in pairwise(edges)]
        for done, part in enumerate(parts):
            self._tell(f"{table.name}: {done} of {number} parts")
            self._settle(part)

    def _settle(self, part: Part) -> None:
        """Compare a part, and its halves if it differs: rows may have changed in between."""
        parts = [part]
        while parts:
            part = parts.pop()
            if self._same(part):
                continue
            if part.low < part.high:
                parts += part.halves
            elif not self._comes_to_rest(part):
                self._restless.append(part)
                if part.table.name in _RISING or len(self._restless) > _RESTLESS:
                    raise MoveError(
                        f"{part.table.name} is not the same at both places: {part.table.key[2:]}"
                        f" {part.low}",
                        hint="abort the move, and begin again",
                    )

    def _comes_to_rest(self, part: Part) -> bool:
        for _ in range(_TRIES):
            self._follow()
            if self._same(part):
                return True
            time.sleep(0.05)
        return False

    def _same(self, part: Part) -> bool:
        here, there = self._both(part.counted)
        return here == there

    def _both(self, statement: str) -> tuple[list[TupleRow], list[TupleRow]]:
        """Ask both at the same time."""
        with ThreadPoolExecutor(1) as other:
            there = other.submit(self._target.rows, statement)
            here = self._source.rows(statement)
            return here, there.result()


def counted(table: str, condition: str) -> str:
    """The statement that counts rows of a table, and sums them up."""
    return filled(q.COUNTED, table, condition)


def filled(statement: str, table: str, condition: str) -> str:
    return statement.replace("TABLE", table).replace("CONDITION", condition)
