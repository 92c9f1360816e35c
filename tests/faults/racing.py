"""Racers for the last places of rules, which go on while something is done to the server."""

import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

import pgstore
from pgstore._core.translation import is_elsewhere, is_lost_connection
from tests.concurrency.races import PLAIN, WAYS, Race, Racer, Rule, Won, alone, as_read
from tests.faults.counts import Counts
from tests.faults.programs import Program, until_answered, wait_for_all

OWN = "racer:"
_RACERS = 8
_PLACES = 12
# So often a racer writes a match without a condition.
_WITHOUT = 0.1
_NAP = 0.002

_STORED = """
SELECT a.message_id, a.global_position FROM {name}.all_messages AS a
WHERE a.type = 'Enrolled' AND a.stream LIKE 'enrolment-%'
"""


class Rules:
    """One rule after the other: racers go on to the next one when all places are taken."""

    def __init__(self) -> None:
        self.made: list[Rule] = []
        self._lock = threading.Lock()

    def at(self, number: int) -> Rule:
        with self._lock:
            while len(self.made) <= number:
                self.made.append(Rule(_PLACES))
            return self.made[number]


class Taker(Program):
    """Takes places; repeats a write by its id until it is answered, whatever it was part of."""

    def __init__(self, conninfo: str, name: str, number: int, rules: Rules) -> None:
        super().__init__()
        self.answers: list[tuple[UUID, int]] = []
        self.turns = self.refused = self.repeated = self.prepared = 0
        options = f"-c search_path={name} -c deadlock_timeout=50ms -c lock_timeout=5s"
        self._connect = partial(psycopg.connect, conninfo, autocommit=True, options=options)
        self._rules = rules
        self._rule = 0
        self.racer = Racer(
            self._connect(), random.Random(number), f"{OWN}{number}", as_read, [self._answered]
        )

    def work(self) -> None:
        while not self.stopping.wait(_NAP):
            try:
                self._turn()
            except psycopg.Error as error:
                self._get_over(error)
            else:
                self.turns += 1
        self.racer.conn.close()

    def _turn(self) -> None:
        racer, rule = self.racer, self._rules.at(self._rule)
        racer.repeat()
        if racer.choice.random() < _WITHOUT:
            self._answered(racer, PLAIN["write_message"], racer.match(rule))
        before = len(racer.won)
        racer.take_a_place(rule)
        if len(racer.won) == before:
            self._rule += 1

    def _answered(self, racer: Racer, statement: str, given: dict[str, Any]) -> TupleRow | None:
        way = racer.choice.choice(WAYS)
        while True:
            try:
                answer = way(racer, statement, given)
            except psycopg.Error as error:
                self.refused += error.sqlstate == "MS009"
                self._get_over(error, given["id"])
                self.repeated += 1
                way = alone
            else:
                if answer is not None:
                    self.answers.append((given["id"], answer[-1]))
                return answer

    def _get_over(self, error: psycopg.Error, prepared: UUID | None = None) -> None:
        """Connect again and end what was prepared, either way; raise what no outage explains."""
        late = isinstance(error, psycopg.errors.LockNotAvailable)  # for its own, perhaps
        if not (late or is_lost_connection(error) or is_elsewhere(error)):
            raise error

        def connect() -> None:
            self.racer.conn.close()
            self.racer.conn = self._connect()
            if prepared is not None:
                self._end_prepared(prepared)

        until_answered(connect)

    def _end_prepared(self, name: UUID) -> None:
        conn, end = self.racer.conn, self.racer.choice.choice(("COMMIT", "ROLLBACK"))
        found = conn.execute("SELECT FROM pg_prepared_xacts WHERE gid = %s", [str(name)])
        if found.rowcount:
            self.prepared += 1
            conn.execute(f"{end} PREPARED '{name}'".encode())


class Racing:
    """Racers for the places of many rules in a new store; otherwise as `Traffic`."""

    def __init__(self, conninfo: str, name: str, *, direct: str | None = None) -> None:
        self.counts = Counts()
        self._conninfo = conninfo
        self._direct = direct or conninfo
        self._name = name
        self._rules = Rules()
        self._warm = False
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        pgstore.install(self._direct, store=self._name)
        self._takers = [
            Taker(self._conninfo, self._name, number, self._rules) for number in range(_RACERS)
        ]
        for each in self._takers:
            each.start()
            self._stack.callback(each.stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def wait_until_back(self) -> None:
        """Wait until every racer has had another turn."""
        took = wait_for_all(self._turns)
        if self._warm:
            self.counts.slowest = max(self.counts.slowest, took)
        self._warm = True

    def _turns(self) -> list[int]:
        for each in self._takers:
            each.raise_error()
        return [each.turns for each in self._takers]

    def finish(self) -> Counts:
        """End the racers, and compare what they were told with what is stored."""
        for each in self._takers:
            each.finish()
        with psycopg.connect(self._direct) as conn:
            there = conn.execute(_STORED.replace("{name}", self._name).encode()).fetchall()
        told = {answer for each in self._takers for answer in each.answers}
        self.counts.acknowledged += len(told)
        self.counts.lost += len(told - set(there))
        self.counts.doubled += len(set(there) - told)
        won = [win for each in self._takers for win in each.racer.won]
        matches = Race(self._direct, self._name, 1).matches(self._rules.made)
        check_decisions(self.counts, won, matches)
        self.counts.noted["places taken on a condition"] = len(won)
        self.counts.noted["decisions refused"] = sum(each.refused for each in self._takers)
        self.counts.noted["writes repeated"] = sum(each.repeated for each in self._takers)
        self.counts.noted["found prepared"] = sum(each.prepared for each in self._takers)
        return self.counts


def check_decisions(
    counts: Counts, won: Sequence[Won], matches: Mapping[Rule, Sequence[int]]
) -> None:
    """Compare what winners have decided upon with what is stored below them."""
    for each in won:
        below = {position for position in matches[each.rule] if position < each.position}
        counts.accepted += len(below) >= each.rule.places or not below <= each.seen
        counts.vanished += not each.seen <= below
