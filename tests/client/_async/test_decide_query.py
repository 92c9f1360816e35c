"""Decisions on the messages of a query, in any streams."""

import asyncio
from typing import Any
from unittest import mock
from uuid import uuid4

import msgspec
import psycopg
import pytest

import pgstore
from pgstore import AsyncMessageStore, QueryItem, Snapshots
from pgstore.testing import given
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client.parallel import AsyncParallel
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

    async def decide(
        self, store: AsyncMessageStore[Any], student: str, course: str, **options: Any
    ) -> Any:
        return await store.decider(evolve, Enrolments).decide(
            f"enrolment-{uuid4()}",
            lambda state: self.enrol(state, student, course),
            query=iter(self.query(student, course)),  # read once, however often it decides
            **options,
        )


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncMessageStore[Any]:
    return await open_store(Enrolled | Left)


@pytest.fixture
def rule() -> Rule:
    return Rule()


@pytest.fixture
def course() -> str:
    return f"course:{uuid4()}"


@pytest.fixture
def student() -> str:
    return f"student:{uuid4()}"


async def taken(store: AsyncMessageStore[Any], tag: str) -> int:
    return len(await store.read_tagged(QueryItem(tags=[tag])))


def before_write(store: AsyncMessageStore[Any], rivals: list[Enrolled]) -> Any:
    """Others write each of these when a decision was made, before it is written."""
    write_many = store.write_many

    async def late(*arguments: Any, **named: Any) -> Any:
        if rivals:
            await store.write(f"rival-{uuid4()}", rivals.pop())
        return await write_many(*arguments, **named)

    return mock.patch.object(store, "write_many", late)


async def test_decision_is_made_on_the_messages_of_all_streams(
    store: AsyncMessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    for number in range(2):
        await store.write(f"other-{uuid4()}", Enrolled(f"{student}{number}", course))
    await store.write(f"other-{uuid4()}", Enrolled(student, f"{course}x"))
    await store.write(f"other-{uuid4()}", Left(student, f"{course}x"))
    decided = await rule.decide(store, student, course, metadata={"by": "me"})
    assert len(decided.state.pairs) == 3
    assert (student, f"{course}x") not in decided.state.pairs
    assert (decided.version, decided.position.version) == (0, 1)
    stored = await store.last(decided.position.stream)
    assert stored is not None
    assert (stored.message, stored.metadata) == (Enrolled(student, course), {"by": "me"})
    assert stored.tags == tuple(sorted([student, course]))
    with pytest.raises(Full, match=course):
        await rule.decide(store, f"{student}z", course)
    assert await taken(store, course) == 3


async def test_one_item_is_a_query_and_no_message_may_be_decided(
    store: AsyncMessageStore[Any], stream: str, course: str
) -> None:
    sums = store.decider(evolve, Enrolments)
    item = QueryItem(tags=[course])
    assert await sums.decide(stream, lambda _: None, query=item) == (Enrolments(), 0, None)
    assert await sums.decide(stream, lambda _: [], query=(item,)) == (Enrolments(), 0, None)
    decided = await sums.decide(
        stream, lambda _: [Enrolled("a", course), Enrolled("b", course)], query=item
    )
    assert decided.position is not None
    assert (len(decided.state.pairs), decided.position.version) == (2, 2)


async def test_tags_of_the_call_are_added_to_those_of_each_message(
    store: AsyncMessageStore[Any], stream: str, course: str
) -> None:
    sums = store.decider(evolve, Enrolments)
    messages = [Enrolled("student:a", course), Enrolled("student:b", course)]
    for query in (QueryItem(tags=[course]), None):
        await sums.decide(stream, lambda _: messages, query=query, tags=["by:me"])
    assert [stored.tags async for stored in store.read(stream)] == [
        ("by:me", course, "student:a"),
        ("by:me", course, "student:b"),
    ] * 2


async def test_conflict_decides_again_on_all_messages(
    store: AsyncMessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    rivals = [Enrolled("b", course), Enrolled(student, f"{course}x")]
    with before_write(store, rivals):
        decided = await rule.decide(store, student, course)
    assert rule.seen == [0, 1, 2]
    assert len(decided.state.pairs) == 3


async def test_conflict_is_raised_after_the_last_attempt(
    store: AsyncMessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    rivals = [Enrolled("b", course), Enrolled("a", course)]
    with (
        before_write(store, rivals),
        pytest.raises(pgstore.AppendConditionError) as caught,
    ):
        await rule.decide(store, student, course, attempts=2)
    assert rule.seen == [0, 1]
    assert caught.value.type == "Enrolled"
    assert await taken(store, student) == 0


async def test_decision_whose_answer_is_lost_is_made_once(
    open_store: OpenStore,
    store: AsyncMessageStore[Any],
    conninfo: str,
    rule: Rule,
    student: str,
    course: str,
) -> None:
    """Its own message and a rival's are in the way when it is repeated, and it is answered."""
    with Proxy.running(conninfo) as proxy:
        deciding = await open_store(Enrolled | Left, conninfo=proxy.conninfo)
        write_many, source = deciding.write_many, deciding._database.source
        renew = source.renew

        async def lose(*arguments: Any, **named: Any) -> Any:
            proxy.lose_answer_to(course.encode())
            return await write_many(*arguments, **named)

        async def late(*arguments: Any, **named: Any) -> None:
            await store.write(f"rival-{uuid4()}", Enrolled("b", course))
            await renew(*arguments, **named)

        with (
            mock.patch.object(deciding, "write_many", lose),
            mock.patch.object(source, "renew", late),
        ):
            decided = await rule.decide(deciding, student, course)
        await deciding.aclose()
    assert (proxy.lost, rule.seen) == (1, [0])
    found = await store.read_tagged(QueryItem(tags=[course]))
    assert [each.message.student for each in found] == [student, "b"]
    assert decided.position.global_position == found.messages[0].global_position


async def test_message_that_does_not_match_is_no_conflict(
    store: AsyncMessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    with before_write(store, [Enrolled(f"{student}x", f"{course}x")]):
        await rule.decide(store, student, course)
    assert rule.seen == [0]


async def test_of_many_who_decide_at_once_so_many_win(
    store: AsyncMessageStore[Any], rule: Rule, course: str
) -> None:
    async with AsyncParallel() as parallel:
        await parallel.start(
            *[lambda: rule.decide(store, f"student:{uuid4()}", course, attempts=100)] * 8
        )
        results = await parallel.results()
    assert sum(isinstance(result, Full) for result in results) == 8 - MOST
    assert await taken(store, course) == MOST


async def test_errors_leave_nothing_written(
    store: AsyncMessageStore[Any], stream: str, course: str
) -> None:
    def refuse(state: Enrolments, message: Enrolled) -> Enrolments:
        if message.student == "bad":
            raise NotImplementedError("bad")
        return evolve(state, message)

    deciding = store.decider(refuse, Enrolments)
    item = QueryItem(tags=[course])
    with pytest.raises(NotImplementedError):
        await deciding.decide(
            stream, lambda _: [Enrolled("a", course), Enrolled("bad", course)], query=item
        )
    with pytest.raises(ZeroDivisionError):
        await deciding.decide(stream, lambda _: 1 / 0, query=item)
    with pytest.raises(pgstore.InvalidArgumentError, match="int is not a message type"):
        await deciding.decide(stream, lambda _: 5, query=item)
    assert await store.stream_version(stream) == 0
    await store.write(stream, Enrolled("bad", course))
    with pytest.raises(NotImplementedError):
        await deciding.decide(stream, lambda _: Enrolled("a", course), query=item)
    assert await taken(store, course) == 1


async def test_arguments_are_refused_before_the_decision(
    store: AsyncMessageStore[Any], stream: str, course: str
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
            await deciding.decide(name, lambda _: decision(), **options)
    assert decision.call_count == 0


async def test_snapshots_and_cache_are_those_of_streams(
    store: AsyncMessageStore[Any], stream: str, course: str
) -> None:
    deciding = store.decider(
        evolve, Enrolments, cache=9, snapshots=Snapshots(f"s{uuid4()}", every=1)
    )
    item = QueryItem(tags=[course])
    await store.write(stream, Enrolled("a", f"{course}x"))
    await deciding.load(stream)
    seen = []
    for _ in range(2):

        def decision(state: Enrolments) -> Enrolled:
            seen.append(len(state.pairs))
            return Enrolled(str(uuid4()), course)

        await deciding.decide(stream, decision, query=item)
    assert seen == [0, 1]
    assert len((await deciding.load(stream)).state.pairs) == 3


async def test_decisions_in_a_transaction_see_what_it_has_written(
    store: AsyncMessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    async with store.transaction() as conn:
        for number in range(MOST):
            await rule.decide(store, f"{student}{number}", course, conn=conn)
        with pytest.raises(Full):
            await rule.decide(store, student, course, conn=conn)
        assert await taken(store, course) == 0
    assert rule.seen == [0, 1, 2, 3]
    assert await taken(store, course) == MOST


async def test_conflict_in_a_transaction_keeps_what_was_written_before(
    store: AsyncMessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    async with store.transaction() as conn:
        await rule.decide(store, student, f"{course}x", conn=conn)
        with before_write(store, [Enrolled("b", course)]):
            await rule.decide(store, f"{student}x", course, conn=conn)
        third = f"{course}y"  # a rival for the others would wait for this transaction
        rivals = [Enrolled("c", third)]
        with before_write(store, rivals), pytest.raises(pgstore.AppendConditionError):
            await rule.decide(store, f"{student}y", third, conn=conn, attempts=1)
    assert await taken(store, student) == 1
    assert await taken(store, f"{student}x") == 1
    assert await taken(store, f"{student}y") == 0


async def test_an_attempt_that_failed_keeps_no_lock(
    store: AsyncMessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    async with store.transaction() as conn:
        with (
            before_write(store, [Enrolled("b", course)]),
            pytest.raises(pgstore.AppendConditionError),
        ):
            await rule.decide(store, student, course, conn=conn, attempts=1)
        async with store.transaction() as other:
            await other.execute("SET LOCAL lock_timeout = '5s'")
            await store.write(f"rival-{uuid4()}", Enrolled("c", course), conn=other)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_transactions_with_an_old_snapshot_are_refused(
    store: AsyncMessageStore[Any],
    open_connection: OpenConnection,
    rule: Rule,
    student: str,
    course: str,
    level: str,
) -> None:
    conn = await open_connection(autocommit=False)
    await conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    with pytest.raises(pgstore.ReadIsolationError):
        await rule.decide(store, student, course, conn=conn)
    assert rule.seen == []


async def test_decide_on_a_connection_in_autocommit_mode(
    store: AsyncMessageStore[Any],
    open_connection: OpenConnection,
    rule: Rule,
    student: str,
    course: str,
) -> None:
    await rule.decide(store, student, course, conn=await open_connection(autocommit=True))
    assert await taken(store, course) == 1


async def test_deadlock_of_two_transactions_ends_one_of_them(
    store: AsyncMessageStore[Any], rule: Rule, student: str, course: str
) -> None:
    first, second = f"{course}1", f"{course}2"

    async def both(one: str, other: str, met: asyncio.Barrier) -> None:
        async with store.transaction() as conn:
            await rule.decide(store, f"student:{uuid4()}", one, conn=conn)
            await met.wait()
            await rule.decide(store, f"student:{uuid4()}", other, conn=conn)

    met = asyncio.Barrier(2)
    async with AsyncParallel() as parallel:
        await parallel.start(lambda: both(first, second, met), lambda: both(second, first, met))
        results = await parallel.results()
    failed = [result for result in results if result is not None]
    assert [type(error) for error in failed] == [psycopg.errors.DeadlockDetected]
    assert await taken(store, first) == await taken(store, second) == 1


class Closed(msgspec.Struct):
    course: str


def left_out(old: dict[str, Any]) -> None:
    return None


async def test_messages_that_are_passed_over_make_no_state_but_a_conflict(
    open_store: OpenStore, stream: str, course: str
) -> None:
    old = await open_store(messages={"Closed": Closed})
    store = await open_store(Enrolled | Left, upcasters=[pgstore.Upcaster("Closed", left_out)])
    item = QueryItem(tags=[course])
    await old.write(stream, Closed(course), tags=[course])
    seen = []

    async def decide(attempts: int) -> Any:
        def decision(state: Enrolments) -> Enrolled:
            seen.append(len(state.pairs))
            return Enrolled("a", course)

        return await store.decider(evolve, Enrolments).decide(
            stream, decision, query=item, attempts=attempts
        )

    await decide(1)
    write_many = store.write_many

    async def late(*arguments: Any, **named: Any) -> Any:
        await old.write(stream, Closed(course), tags=[course])
        return await write_many(*arguments, **named)

    with mock.patch.object(store, "write_many", late), pytest.raises(pgstore.AppendConditionError):
        await decide(1)
    assert seen == [0, 1]


def test_given_stands_for_the_messages_of_the_query(rule: Rule) -> None:
    deciding = pgstore.AsyncMessageStore[Any](messages=Enrolled | Left).decider(evolve, Enrolments)
    full = [Enrolled(f"student:{number}", "course:1") for number in range(MOST)]
    given(deciding, *full).when(rule.enrol, "student:a", "course:1").then(Full("course:1"))
    given(deciding, *full, Left("student:0", "course:1")).when(
        rule.enrol, "student:a", "course:1"
    ).then(Enrolled("student:a", "course:1"))
