# Generated from tests/client/_async/test_decide_query.py by `python tools/unasync.py`.

"""Decisions on the messages of a query, in any streams."""

import threading
from typing import Any
from unittest import mock
from uuid import uuid4

import msgspec
import psycopg
import pytest

import pgstore
from pgstore import MessageStore, QueryItem, Snapshots
from pgstore.testing import given
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client.parallel import Parallel
from tests.client.proxy import Proxy

MOST = 3


class Enrolled(msgspec.Struct):
    student: str
    course: str

    def get_tags(self) -> list[str]:
        return [self.student, self.course]


class Left(Enrolled):
    pass


class Enrolments(msgspec.Struct, frozen=True):
    pairs: frozenset[tuple[str, str]] = frozenset()


def evolve(state: Enrolments, message: Enrolled) -> Enrolments:
    pair = frozenset([(message.student, message.course)])
    return Enrolments(state.pairs - pair if type(message) is Left else state.pairs | pair)


class Full(Exception):
    pass


class Rule:
    """A student takes at most so many courses, a course has at most so many students."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def query(self, student: str, course: str) -> list[QueryItem]:
        return [QueryItem(tags=[course], types=[Enrolled, Left]), QueryItem(tags=[student])]

    def enrol(self, state: Enrolments, student: str, course: str) -> Enrolled:
        self.seen.append(len(state.pairs))
        if sum(pair[1] == course for pair in state.pairs) >= MOST:
            raise Full(course)
        if sum(pair[0] == student for pair in state.pairs) >= MOST:
            raise Full(student)
        return Enrolled(student, course)

    def decide(self, store: MessageStore[Any], student: str, course: str, **options: Any) -> Any:
        return store.decider(evolve, Enrolments).decide(
            f"enrolment-{uuid4()}",
            lambda state: self.enrol(state, student, course),
            query=iter(self.query(student, course)),  # read once, however often it decides
            **options,
        )


@pytest.fixture
def store(open_store: OpenStore) -> MessageStore[Any]:
    return open_store(Enrolled | Left)


@pytest.fixture
def rule() -> Rule:
    return Rule()


@pytest.fixture
def course() -> str:
    return f"course:{uuid4()}"


@pytest.fixture
def student() -> str:
    return f"student:{uuid4()}"


def taken(store: MessageStore[Any], tag: str) -> int:
    return len(store.read_tagged(QueryItem(tags=[tag])))


def before_write(store: MessageStore[Any], rivals: list[Enrolled]) -> Any:
    """Others write each of these when a decision was made, before it is written."""
    write_many = store.write_many

    def late(*arguments: Any, **named: Any) -> Any:
        if rivals:
            store.write(f"rival-{uuid4()}", rivals.pop())
        return write_many(*arguments, **named)

    return mock.patch.object(store, "write_many", late)


def test_decision_is_made_on_the_messages_of_all_streams(
    store: MessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    for number in range(2):
        store.write(f"other-{uuid4()}", Enrolled(f"{student}{number}", course))
    store.write(f"other-{uuid4()}", Enrolled(student, f"{course}x"))
    store.write(f"other-{uuid4()}", Left(student, f"{course}x"))
    decided = rule.decide(store, student, course, metadata={"by": "me"})
    assert len(decided.state.pairs) == 3
    assert (student, f"{course}x") not in decided.state.pairs
    assert (decided.version, decided.position.version) == (0, 1)
    stored = store.last(decided.position.stream)
    assert stored is not None
    assert (stored.message, stored.metadata) == (Enrolled(student, course), {"by": "me"})
    assert stored.tags == tuple(sorted([student, course]))
    with pytest.raises(Full, match=course):
        rule.decide(store, f"{student}z", course)
    assert taken(store, course) == 3


def test_one_item_is_a_query_and_no_message_may_be_decided(
    store: MessageStore[Any], stream: str, course: str
) -> None:
    sums = store.decider(evolve, Enrolments)
    item = QueryItem(tags=[course])
    assert sums.decide(stream, lambda _: None, query=item) == (Enrolments(), 0, None)
    assert sums.decide(stream, lambda _: [], query=(item,)) == (Enrolments(), 0, None)
    decided = sums.decide(
        stream, lambda _: [Enrolled("a", course), Enrolled("b", course)], query=item
    )
    assert decided.position is not None
    assert (len(decided.state.pairs), decided.position.version) == (2, 2)


def test_tags_of_the_call_are_added_to_those_of_each_message(
    store: MessageStore[Any], stream: str, course: str
) -> None:
    sums = store.decider(evolve, Enrolments)
    messages = [Enrolled("student:a", course), Enrolled("student:b", course)]
    for query in (QueryItem(tags=[course]), None):
        sums.decide(stream, lambda _: messages, query=query, tags=["by:me"])
    assert [stored.tags for stored in store.read(stream)] == [
        ("by:me", course, "student:a"),
        ("by:me", course, "student:b"),
    ] * 2


def test_conflict_decides_again_on_all_messages(
    store: MessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    rivals = [Enrolled("b", course), Enrolled(student, f"{course}x")]
    with before_write(store, rivals):
        decided = rule.decide(store, student, course)
    assert rule.seen == [0, 1, 2]
    assert len(decided.state.pairs) == 3


def test_conflict_is_raised_after_the_last_attempt(
    store: MessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    rivals = [Enrolled("b", course), Enrolled("a", course)]
    with (
        before_write(store, rivals),
        pytest.raises(pgstore.AppendConditionError) as caught,
    ):
        rule.decide(store, student, course, attempts=2)
    assert rule.seen == [0, 1]
    assert caught.value.type == "Enrolled"
    assert taken(store, student) == 0


def test_decision_whose_answer_is_lost_is_made_once(
    open_store: OpenStore,
    store: MessageStore[Any],
    conninfo: str,
    rule: Rule,
    student: str,
    course: str,
) -> None:
    """Its own message and a rival's are in the way when it is repeated, and it is answered."""
    with Proxy.running(conninfo) as proxy:
        deciding = open_store(Enrolled | Left, conninfo=proxy.conninfo)
        write_many, source = deciding.write_many, deciding._database.source
        renew = source.renew

        def lose(*arguments: Any, **named: Any) -> Any:
            proxy.lose_answer_to(course.encode())
            return write_many(*arguments, **named)

        def late(*arguments: Any, **named: Any) -> None:
            store.write(f"rival-{uuid4()}", Enrolled("b", course))
            renew(*arguments, **named)

        with (
            mock.patch.object(deciding, "write_many", lose),
            mock.patch.object(source, "renew", late),
        ):
            decided = rule.decide(deciding, student, course)
        deciding.close()
    assert (proxy.lost, rule.seen) == (1, [0])
    found = store.read_tagged(QueryItem(tags=[course]))
    assert [each.message.student for each in found] == [student, "b"]
    assert decided.position.global_position == found.messages[0].global_position


def test_message_that_does_not_match_is_no_conflict(
    store: MessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    with before_write(store, [Enrolled(f"{student}x", f"{course}x")]):
        rule.decide(store, student, course)
    assert rule.seen == [0]


def test_of_many_who_decide_at_once_so_many_win(
    store: MessageStore[Any], rule: Rule, course: str
) -> None:
    with Parallel() as parallel:
        parallel.start(
            *[lambda: rule.decide(store, f"student:{uuid4()}", course, attempts=100)] * 8
        )
        results = parallel.results()
    assert sum(isinstance(result, Full) for result in results) == 8 - MOST
    assert taken(store, course) == MOST


def test_errors_leave_nothing_written(store: MessageStore[Any], stream: str, course: str) -> None:
    def refuse(state: Enrolments, message: Enrolled) -> Enrolments:
        if message.student == "bad":
            raise NotImplementedError("bad")
        return evolve(state, message)

    deciding = store.decider(refuse, Enrolments)
    item = QueryItem(tags=[course])
    with pytest.raises(NotImplementedError):
        deciding.decide(
            stream, lambda _: [Enrolled("a", course), Enrolled("bad", course)], query=item
        )
    with pytest.raises(ZeroDivisionError):
        deciding.decide(stream, lambda _: 1 / 0, query=item)
    with pytest.raises(pgstore.InvalidArgumentError, match="int is not a message type"):
        deciding.decide(stream, lambda _: 5, query=item)
    assert store.stream_version(stream) == 0
    store.write(stream, Enrolled("bad", course))
    with pytest.raises(NotImplementedError):
        deciding.decide(stream, lambda _: Enrolled("a", course), query=item)
    assert taken(store, course) == 1


def test_arguments_are_refused_before_the_decision(
    store: MessageStore[Any], stream: str, course: str
) -> None:
    deciding = store.decider(evolve, Enrolments)
    decision = mock.Mock(return_value=None)
    item = QueryItem(tags=[course])
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (5, {"query": item}),
        (stream, {"query": 5}),
        (stream, {"query": []}),
        (stream, {"query": course}),
        (stream, {"query": [course]}),
        (stream, {"query": item, "tags": course}),
        (stream, {"query": item, "tags": [5]}),
        (stream, {"tags": {"course": 42}}),
    ]
    for name, options in wrong:
        with pytest.raises(pgstore.InvalidArgumentError):
            deciding.decide(name, lambda _: decision(), **options)
    assert decision.call_count == 0


def test_snapshots_and_cache_are_those_of_streams(
    store: MessageStore[Any], stream: str, course: str
) -> None:
    deciding = store.decider(
        evolve, Enrolments, cache=9, snapshots=Snapshots(f"s{uuid4()}", every=1)
    )
    item = QueryItem(tags=[course])
    store.write(stream, Enrolled("a", f"{course}x"))
    deciding.load(stream)
    seen = []
    for _ in range(2):

        def decision(state: Enrolments) -> Enrolled:
            seen.append(len(state.pairs))
            return Enrolled(str(uuid4()), course)

        deciding.decide(stream, decision, query=item)
    assert seen == [0, 1]
    assert len(deciding.load(stream).state.pairs) == 3


def test_decisions_in_a_transaction_see_what_it_has_written(
    store: MessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    with store.transaction() as conn:
        for number in range(MOST):
            rule.decide(store, f"{student}{number}", course, conn=conn)
        with pytest.raises(Full):
            rule.decide(store, student, course, conn=conn)
        assert taken(store, course) == 0
    assert rule.seen == [0, 1, 2, 3]
    assert taken(store, course) == MOST


def test_conflict_in_a_transaction_keeps_what_was_written_before(
    store: MessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    with store.transaction() as conn:
        rule.decide(store, student, f"{course}x", conn=conn)
        with before_write(store, [Enrolled("b", course)]):
            rule.decide(store, f"{student}x", course, conn=conn)
        third = f"{course}y"  # a rival for the others would wait for this transaction
        rivals = [Enrolled("c", third)]
        with before_write(store, rivals), pytest.raises(pgstore.AppendConditionError):
            rule.decide(store, f"{student}y", third, conn=conn, attempts=1)
    assert taken(store, student) == 1
    assert taken(store, f"{student}x") == 1
    assert taken(store, f"{student}y") == 0


def test_an_attempt_that_failed_keeps_no_lock(
    store: MessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    with store.transaction() as conn:
        with (
            before_write(store, [Enrolled("b", course)]),
            pytest.raises(pgstore.AppendConditionError),
        ):
            rule.decide(store, student, course, conn=conn, attempts=1)
        with store.transaction() as other:
            other.execute("SET LOCAL lock_timeout = '5s'")
            store.write(f"rival-{uuid4()}", Enrolled("c", course), conn=other)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_transactions_with_an_old_snapshot_are_refused(
    store: MessageStore[Any],
    open_connection: OpenConnection,
    rule: Rule,
    student: str,
    course: str,
    level: str,
) -> None:
    conn = open_connection(autocommit=False)
    conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    with pytest.raises(pgstore.ReadIsolationError):
        rule.decide(store, student, course, conn=conn)
    assert rule.seen == []


def test_decide_on_a_connection_in_autocommit_mode(
    store: MessageStore[Any],
    open_connection: OpenConnection,
    rule: Rule,
    student: str,
    course: str,
) -> None:
    rule.decide(store, student, course, conn=open_connection(autocommit=True))
    assert taken(store, course) == 1


def test_deadlock_of_two_transactions_ends_one_of_them(
    store: MessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    first, second = f"{course}1", f"{course}2"

    def both(one: str, other: str, met: threading.Barrier) -> None:
        with store.transaction() as conn:
            rule.decide(store, f"student:{uuid4()}", one, conn=conn)
            met.wait()
            rule.decide(store, f"student:{uuid4()}", other, conn=conn)

    met = threading.Barrier(2)
    with Parallel() as parallel:
        parallel.start(lambda: both(first, second, met), lambda: both(second, first, met))
        results = parallel.results()
    failed = [result for result in results if result is not None]
    assert [type(error) for error in failed] == [psycopg.errors.DeadlockDetected]
    assert taken(store, first) == taken(store, second) == 1


class Closed(msgspec.Struct):
    course: str


def left_out(old: dict[str, Any]) -> None:
    return None


def test_messages_that_are_passed_over_make_no_state_but_a_conflict(
    open_store: OpenStore, stream: str, course: str
) -> None:
    old = open_store(messages={"Closed": Closed})
    store = open_store(Enrolled | Left, upcasters=[pgstore.Upcaster("Closed", left_out)])
    item = QueryItem(tags=[course])
    old.write(stream, Closed(course), tags=[course])
    seen = []

    def decide(attempts: int) -> Any:
        def decision(state: Enrolments) -> Enrolled:
            seen.append(len(state.pairs))
            return Enrolled("a", course)

        return store.decider(evolve, Enrolments).decide(
            stream, decision, query=item, attempts=attempts
        )

    decide(1)
    write_many = store.write_many

    def late(*arguments: Any, **named: Any) -> Any:
        old.write(stream, Closed(course), tags=[course])
        return write_many(*arguments, **named)

    with mock.patch.object(store, "write_many", late), pytest.raises(pgstore.AppendConditionError):
        decide(1)
    assert seen == [0, 1]


def test_given_stands_for_the_messages_of_the_query(rule: Rule) -> None:
    deciding = pgstore.MessageStore[Any](messages=Enrolled | Left).decider(evolve, Enrolments)
    full = [Enrolled(f"student:{number}", "course:1") for number in range(MOST)]
    given(deciding, *full).when(rule.enrol, "student:a", "course:1").then(Full("course:1"))
    given(deciding, *full, Left("student:0", "course:1")).when(
        rule.enrol, "student:a", "course:1"
    ).then(Enrolled("student:a", "course:1"))
