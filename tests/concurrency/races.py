"""Racers for the last places of a rule, and what they decided upon.

A writer locks the tags of its message, and a condition those that it looks for, before it draws a
position. So of two that concern one another the earlier one has the lower position, and a winner
has decided upon exactly the matches that are stored below its own.
"""

import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow

Connection = psycopg.Connection[TupleRow]

READ = "SELECT global_position, decided_upon FROM read_tagged(%s::jsonb)"

CONDITIONAL = {
    "write_message": """
        SELECT version, global_position FROM write_message(
          %(stream)s, 'Enrolled', '{}', message_id => %(id)s, tags => %(tags)s::text[],
          condition => %(query)s, decided_upon => %(token)s
        )
    """,
    "write_message at a version": """
        SELECT version, global_position FROM write_message(
          %(stream)s, 'Enrolled', '{}', NULL, 0, %(id)s, %(tags)s::text[], %(query)s, %(token)s
        )
    """,
    "write_if": """
        SELECT version, global_position FROM write_if(
          %(stream)s,
          jsonb_build_array(jsonb_build_object(
            'type', 'Enrolled', 'data', 0, 'tags', %(tags)s::text[], 'message_id', %(id)s::uuid
          )),
          %(query)s, %(token)s
        )
    """,
    "write_arrays": """
        SELECT version, global_position FROM write_arrays(
          %(stream)s, '{Other,Enrolled}', '{1,2}', NULL, NULL, ARRAY[%(other_id)s, %(id)s]::uuid[],
          ARRAY['["other"]', to_jsonb(%(tags)s::text[])], %(query)s, %(token)s
        )
    """,
}

PLAIN = {
    "write_message": """
        SELECT global_position FROM write_message(
          %(stream)s, 'Enrolled', '1', message_id => %(id)s, tags => %(tags)s::text[]
        )
    """,
    "write_messages": """
        SELECT global_position FROM write_messages(
          %(stream)s,
          jsonb_build_array(
            '{"type": "Other", "data": 1}'::jsonb,
            jsonb_build_object('type', 'Enrolled', 'data', 1, 'tags', %(tags)s::text[])
          )
        )
    """,
    "write_arrays": """
        SELECT global_position FROM write_arrays(
          %(stream)s, '{Other,Enrolled}', '{1,2}', tags => ARRAY[NULL, to_jsonb(%(tags)s::text[])]
        )
    """,
    "synchronize_stream": """
        SELECT global_position FROM synchronize_stream(
          %(stream)s, '{}', '{Other,Enrolled}', '{1,2}',
          tags => ARRAY['[]', to_jsonb(%(tags)s::text[])]
        )
    """,
    # Delivers what is due, of others too; what it cannot have at once is delivered later, or never.
    "deliver_scheduled": """
        SELECT d.delivered
        FROM schedule_message(
          %(stream)s, 'Enrolled', '1', now() - interval '1 s', tags => %(tags)s::text[]
        ),
        LATERAL deliver_scheduled(5) AS d
    """,
    "import_messages": """
        SELECT imported FROM import_messages(
          ARRAY[%(stream)s], '{1}', '{Enrolled}', '{1}', NULL, ARRAY[%(id)s::uuid], ARRAY[now()],
          tags => ARRAY[to_jsonb(%(tags)s::text[])]
        )
    """,
}
ISOLATIONS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

_numbers = count()

# Makes the token of the positions that were read, and the token that was read.
Token = Callable[[list[int], str], str]
Way = Callable[["Racer", str, dict[str, Any]], TupleRow | None]


def as_read(seen: list[int], token: str) -> str:
    return token


class Rule:
    """At most so many messages may match a query of two items. The tags are no other rule's."""

    def __init__(self, places: int = 1) -> None:
        self.places = places
        number = next(_numbers)
        run = uuid4().hex[:8]
        self.x, self.y, self.z = (f"{name}:{run}:{number}" for name in "xyz")

    def query(self, choice: random.Random) -> str:
        """The query; the order of its items and tags, and so which tags it locks, is drawn."""
        items = [
            {"tags": [self.x], "types": ["Enrolled"]},
            {"tags": choice.sample([self.y, self.z], 2)},
        ]
        return json.dumps(choice.sample(items, 2))

    def tags(self, choice: random.Random, own: str) -> list[str]:
        """Tags of a message that matches one of the items, or both."""
        tags = choice.choice(
            [[self.x], [self.y, self.z], [self.x, self.y], [self.x, self.z, self.y]]
        )
        return choice.sample([*tags, own], len(tags) + 1)


@dataclass(frozen=True)
class Won:
    """A conditional write that succeeded: what it decided upon, and how to repeat it."""

    rule: Rule
    position: int
    seen: frozenset[int]
    statement: str
    given: dict[str, Any]
    answer: TupleRow


@dataclass
class Racer:
    """A session that decides and writes."""

    conn: Connection
    choice: random.Random
    own: str
    token: Token
    ways: Sequence[Way]
    won: list[Won] = field(default_factory=list)

    def read(self, rule: Rule) -> tuple[list[int], str, str]:
        """The positions that match, the query, and the token."""
        query = rule.query(self.choice)
        *rows, (_, token) = self.conn.execute(READ, [query]).fetchall()
        positions = [position for position, _ in rows]
        return positions, query, self.token(positions, token)

    def take_a_place(self, rule: Rule) -> None:
        """Take one, unless none is left."""
        while True:
            positions, query, token = self.read(rule)
            if len(positions) >= rule.places:
                return
            given = self.match(rule) | {"other_id": uuid4(), "query": query, "token": token}
            statement = CONDITIONAL[self.choice.choice(list(CONDITIONAL))]
            way = self.choice.choice(self.ways)
            try:
                answer = way(self, statement, given)
            except psycopg.Error as error:
                if error.sqlstate != "MS009":
                    raise
                self.conn.rollback()
            else:
                if answer is not None:
                    self.won.append(
                        Won(rule, answer[1], frozenset(positions), statement, given, answer)
                    )
                    return

    def repeat(self) -> None:
        """Write once more, as if the answer was lost; others have written meanwhile."""
        if self.won:
            last = self.won[-1]
            assert self.conn.execute(last.statement, last.given).fetchone() == last.answer

    def add(self, rule: Rule, functions: list[str], *, commits: bool = True) -> None:
        """Write a match without a condition, in a transaction that lasts a while."""
        statement = PLAIN[self.choice.choice(functions)]
        given = self.match(rule)
        savepoint = self.choice.random() < 0.3
        while True:
            try:
                self.conn.execute(f"BEGIN ISOLATION LEVEL {self.choice.choice(ISOLATIONS)}")
                if savepoint:
                    self.conn.execute("SAVEPOINT s")
                    self.conn.execute(statement, given)
                    self.conn.execute("ROLLBACK TO s")
                self.conn.execute(statement, given)
                self.conn.execute("SELECT pg_sleep(0.003 * random())")
                self.conn.execute("COMMIT" if commits else "ROLLBACK")
                return
            except psycopg.Error as error:
                # MS004: deliver_scheduled.
                if error.sqlstate not in ("40001", "MS004"):
                    raise
                self.conn.rollback()

    def add_around(self, rule: Rule, while_in_flight: Callable[[], None]) -> None:
        """Write a match without a condition; do something before it is committed."""
        with self.conn.transaction():
            self.conn.execute(PLAIN["write_message"], self.match(rule))
            while_in_flight()

    def match(self, rule: Rule) -> dict[str, Any]:
        """What to write a match with."""
        return {
            "stream": f"enrolment-{uuid4().hex}",
            "id": uuid4(),
            "tags": rule.tags(self.choice, self.own),
        }


def alone(racer: Racer, statement: str, given: dict[str, Any]) -> TupleRow | None:
    return racer.conn.execute(statement, given).fetchone()


def _after_another_write(racer: Racer, statement: str, given: dict[str, Any]) -> TupleRow | None:
    with racer.conn.transaction():
        racer.conn.execute("SELECT write_message(%s, 'Other', '1')", [f"other-{uuid4()}"])
        answer = racer.conn.execute(statement, given).fetchone()
        racer.conn.execute("SELECT pg_sleep(0.002 * random())")
        return answer


def _in_a_savepoint(racer: Racer, statement: str, given: dict[str, Any]) -> TupleRow | None:
    with racer.conn.transaction(), racer.conn.transaction():
        return racer.conn.execute(statement, given).fetchone()


def _once_more_after_a_rollback(
    racer: Racer, statement: str, given: dict[str, Any]
) -> TupleRow | None:
    with racer.conn.transaction():
        with racer.conn.transaction(force_rollback=True):
            racer.conn.execute(statement, given)
        return racer.conn.execute(statement, given).fetchone()


def _in_a_savepoint_that_is_rolled_back(
    racer: Racer, statement: str, given: dict[str, Any]
) -> TupleRow | None:
    """Takes no place."""
    with racer.conn.transaction():
        with racer.conn.transaction(force_rollback=True):
            racer.conn.execute(statement, given)
        racer.conn.execute("SELECT write_message(%s, 'Other', '1')", [f"other-{uuid4()}"])
    return None


def _under_two_conditions(racer: Racer, statement: str, given: dict[str, Any]) -> TupleRow | None:
    own = f"own:{uuid4().hex}"
    first = given | {
        "stream": f"own-{uuid4().hex}",
        "id": uuid4(),
        "other_id": uuid4(),
        "tags": [own],
        "query": json.dumps([{"tags": [own]}]),
        "token": "0+",
    }
    with racer.conn.transaction():
        racer.conn.execute(statement, first)
        return racer.conn.execute(statement, given).fetchone()


def _prepared(racer: Racer, statement: str, given: dict[str, Any]) -> TupleRow | None:
    name: UUID = given["id"]
    racer.conn.execute("BEGIN")
    answer = racer.conn.execute(statement, given).fetchone()
    racer.conn.execute(f"PREPARE TRANSACTION '{name}'")
    racer.conn.execute("SELECT pg_sleep(0.002 * random())")
    racer.conn.execute(f"COMMIT PREPARED '{name}'")
    return answer


WAYS: list[Way] = [
    alone,
    alone,
    alone,
    _after_another_write,
    _in_a_savepoint,
    _once_more_after_a_rollback,
    _in_a_savepoint_that_is_rolled_back,
    _under_two_conditions,
    _prepared,
]


class Race:
    """Many racers in one store, round by round."""

    def __init__(
        self,
        conninfo: str,
        store: str,
        racers: int,
        token: Token = as_read,
    ) -> None:
        self._conninfo = conninfo
        self._options = f"-c search_path={store} -c deadlock_timeout=50ms"
        self._barrier = threading.Barrier(racers)
        self._racers = racers
        self._token = token
        self.failures: list[BaseException] = []
        self.ways: Sequence[Way] = WAYS
        self.won: list[Won] = []

    def run(self, rounds: int, turn: Callable[[Racer, int, int], None]) -> None:
        """In each round each racer has a turn, all at once."""

        def race(number: int) -> None:
            try:
                with psycopg.connect(
                    self._conninfo, autocommit=True, options=self._options
                ) as conn:
                    racer = Racer(
                        conn, random.Random(number), f"racer:{number}", self._token, self.ways
                    )
                    for each in range(rounds):
                        self._barrier.wait(60)
                        turn(racer, number, each)
                    self.won += racer.won
            except threading.BrokenBarrierError:
                pass
            except BaseException as error:
                self.failures.append(error)
                self._barrier.abort()

        threads = [threading.Thread(target=race, args=[n]) for n in range(self._racers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def matches(self, rules: list[Rule]) -> dict[Rule, list[int]]:
        """The positions that match each rule now."""
        with psycopg.connect(self._conninfo, options=self._options) as conn:
            return {
                rule: [
                    position
                    for position, _ in conn.execute(READ, [rule.query(random.Random(1))])
                    if position is not None
                ]
                for rule in rules
            }

    def stale(self, rules: list[Rule]) -> list[tuple[int, list[int]]]:
        """Winners that have not seen just the matches below them, and which they have not."""
        stored = self.matches(rules)
        wrong = []
        for won in self.won:
            below = {position for position in stored[won.rule] if position < won.position}
            if below != won.seen or won.position not in stored[won.rule]:
                wrong.append((won.position, sorted(below ^ won.seen)))
        return wrong
