"""Decisions over tags, compared with a serial model of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import TupleRow

from tests.fuzz.judging import fuzzed
from tests.stores import Stores

TAGS = ["a", "b", "é d"]
TYPES = ["T", "U", "V"]
STREAMS = ["s-1", "s-2", "t-1"]

ITEMS = st.tuples(
    st.lists(st.sampled_from(TAGS), min_size=1, max_size=2),
    st.none() | st.lists(st.sampled_from(TYPES), min_size=1, max_size=2),
)
QUERIES = st.lists(ITEMS, min_size=1, max_size=3)
MESSAGES = st.lists(
    st.tuples(st.sampled_from(TYPES), st.lists(st.sampled_from(TAGS), max_size=3)),
    min_size=1,
    max_size=3,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(STREAMS), MESSAGES, st.booleans()),
        st.tuples(st.just("read"), QUERIES, st.booleans()),
        st.tuples(
            st.just("decide"),
            st.sampled_from(STREAMS),
            MESSAGES,
            st.integers(0, 20),
            st.randoms(use_true_random=False),
            st.sampled_from([None, 0, 1]),
        ),
        st.tuples(st.just("repeat"), st.integers(0, 20)),
        st.tuples(st.just("delete"), st.sampled_from(STREAMS), st.integers(1, 3)),
        st.tuples(st.just("flight"), st.booleans()),
    ),
    min_size=20,
    max_size=40,
)

Query = list[tuple[list[str], list[str] | None]]


@dataclass(frozen=True)
class Message:
    """A stored message; `number` is the order in which they came."""

    number: int
    message_id: str
    stream: str
    version: int
    position: int
    type: str
    tags: frozenset[str]

    def matches(self, query: Query) -> bool:
        return any(
            self.tags >= set(tags) and (types is None or self.type in types)
            for tags, types in query
        )


@dataclass
class Decision:
    """What was read, and when."""

    query: Query
    token: str
    came: int


@dataclass
class Model:
    """A store, and what should be in it. The tags of an example are no other one's."""

    conn: psycopg.Connection[TupleRow]
    other: psycopg.Connection[TupleRow]
    run: str = field(default_factory=lambda: uuid4().hex[:12])
    stored: list[Message] = field(default_factory=list)
    came: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    accepted: list[tuple[tuple[Any, ...], TupleRow]] = field(default_factory=list)

    def json_of(self, query: Query) -> str:
        items = [
            {"tags": [f"{self.run}:{tag}" for tag in tags]}
            | ({} if types is None else {"types": types})
            for tags, types in query
        ]
        return json.dumps(items)

    def arguments(self, stream: str, messages: list[tuple[str, list[str]]]) -> tuple[str, str]:
        return f"{self.run}{stream}", json.dumps(
            [
                {
                    "type": kind,
                    "data": 1,
                    "message_id": str(uuid4()),
                    "tags": [f"{self.run}:{tag}" for tag in tags],
                }
                for kind, tags in messages
            ]
        )

    def keep(self, stream: str, messages: str, answer: TupleRow | None) -> None:
        """Add what was accepted, at the places that the store has given."""
        rows = self.conn.execute(
            "SELECT a.message_id::text, a.version, a.global_position, a.tags FROM all_messages AS a"
            " WHERE a.stream = %s AND a.version > %s ORDER BY a.version",
            [stream, self.versions.get(stream, 0)],
        ).fetchall()
        given = json.loads(messages)
        assert [row[0] for row in rows] == [each["message_id"] for each in given]
        assert answer == rows[-1][1:3]
        for each, (message_id, version, position, tags) in zip(given, rows, strict=True):
            assert (tags or []) == sorted(set(each["tags"]), key=str.encode)
            short = frozenset(tag.partition(":")[2] for tag in each["tags"])
            self.stored.append(
                Message(self.came, message_id, stream, version, position, each["type"], short)
            )
            self.came += 1
            self.versions[stream] = version

    def write(self, stream: str, messages: list[tuple[str, list[str]]], singly: bool) -> None:
        for batch in [[each] for each in messages] if singly else [messages]:
            name, text = self.arguments(stream, batch)
            if singly:
                (each,) = json.loads(text)
                answer = self.conn.execute(
                    "SELECT * FROM write_message(%s, %s, '1', message_id => %s, tags => %s)",
                    [name, each["type"], UUID(each["message_id"]), each["tags"]],
                ).fetchone()
            else:
                answer = self.conn.execute(
                    "SELECT * FROM write_messages(%s, %s)", [name, text]
                ).fetchone()
            self.keep(name, text, answer)

    def read(self, query: Query, after: bool) -> None:
        """Read all, or after what an earlier token says is known."""
        known = 0
        if after and self.decisions:
            known = int(self.decisions[-1].token.split("+")[0])
        *rows, last = self.conn.execute(
            "SELECT global_position, message_id::text, stream, version, type, decided_upon"
            " FROM read_tagged(%s, %s)",
            [self.json_of(query), known],
        ).fetchall()
        assert [row[:5] for row in rows] == [
            (each.position, each.message_id, each.stream, each.version, each.type)
            for each in sorted(self.stored, key=lambda each: each.position)
            if each.matches(query) and each.position > known
        ]
        assert last[:5] == (None,) * 5
        self.decisions.append(Decision(query, last[5], self.came))

    def decide(
        self,
        stream: str,
        messages: list[tuple[str, list[str]]],
        number: int,
        choice: Any,
        expected: int | None,
    ) -> None:
        """Write on the condition of an earlier reading, or of some of its items."""
        if not self.decisions:
            return
        decision = self.decisions[number % len(self.decisions)]
        query = [
            (choice.sample(tags, len(tags)), types)
            for tags, types in choice.sample(decision.query, choice.randint(1, len(decision.query)))
        ]
        name, text = self.arguments(stream, messages)
        at_version = None if expected is None else self.versions.get(name, 0) + expected
        given = (name, text, self.json_of(query), decision.token, at_version)
        newer = [m for m in self.stored if m.number >= decision.came and m.matches(query)]
        if newer or expected:
            with pytest.raises(psycopg.Error) as caught:
                self.conn.execute("SELECT * FROM write_if(%s, %s, %s, %s, %s)", given)
            assert caught.value.sqlstate == ("MS009" if newer else "MS001")
        if newer:
            first = min(newer, key=lambda each: each.position)
            assert json.loads(caught.value.diag.message_detail or "") == {
                "message_id": first.message_id,
                "stream": first.stream,
                "version": first.version,
                "global_position": first.position,
                "type": first.type,
            }
        elif not expected:
            answer = self.conn.execute(
                "SELECT * FROM write_if(%s, %s, %s, %s, %s)", given
            ).fetchone()
            assert answer is not None
            self.keep(name, text, answer)
            self.accepted.append((given, answer))

    def repeat(self, number: int) -> None:
        """Repeat a decision that was accepted; whatever has come since."""
        if self.accepted:
            given, answer = self.accepted[number % len(self.accepted)]
            stored = {each.message_id for each in self.stored}
            if {each["message_id"] for each in json.loads(given[1])} <= stored:
                again = self.conn.execute("SELECT * FROM write_if(%s, %s, %s, %s, %s)", given)
                assert again.fetchone() == answer

    def delete(self, stream: str, up_to: int) -> None:
        name = f"{self.run}{stream}"
        version = min(up_to, self.versions.get(name, 0))
        if version:
            self.conn.execute("SELECT truncate_stream(%s, %s)", [name, version + 1])
            self.stored = [m for m in self.stored if m.stream != name or m.version > version]

    def flight(self, commits: bool) -> None:
        """Begin a transaction that writes and stays open, or end it."""
        if self.other.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            self.other.execute("SELECT write_message(%s, 'T', '1', tags => '{z}')", [uuid4().hex])
        elif commits:
            self.other.commit()
        else:
            self.other.rollback()


@pytest.fixture(scope="module", params=["as it is", "with few keys"])
def store(request: pytest.FixtureRequest, stores: Stores, server_conninfo: str) -> Iterator[str]:
    """A store; in the second one most tags have the key of another one."""
    with stores.taken() as name:
        if request.param == "with few keys":
            with psycopg.connect(server_conninfo, options=f"-c search_path={name}") as conn:
                conn.execute(
                    "CREATE OR REPLACE FUNCTION _tag_key(tag text) RETURNS bigint LANGUAGE sql"
                    " IMMUTABLE PARALLEL SAFE STRICT RETURN octet_length(_tag_key.tag)"
                )
        yield name


def test_decisions_are_as_in_a_serial_model(server_conninfo: str, store: str) -> None:
    options = f"-c search_path={store} -c lock_timeout=10s"
    with (
        psycopg.connect(server_conninfo, autocommit=True, options=options) as conn,
        psycopg.connect(server_conninfo, options=options) as other,
    ):

        @fuzzed(60)
        @given(STEPS)
        def check(steps: list[tuple[Any, ...]]) -> None:
            model = Model(conn, other)
            for name, *arguments in steps:
                getattr(model, name)(*arguments)
            other.rollback()

        check()
