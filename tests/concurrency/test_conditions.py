"""Writes on the condition that nothing else has come, step by step; by racers in test_races.py."""

import json
from itertools import combinations, permutations
from uuid import uuid4

import pytest

from tests.concurrency.races import ISOLATIONS, PLAIN
from tests.concurrency.sessions import Open, Session, Step

READ = "SELECT * FROM read_tagged(%s::jsonb)"
WRITES = {
    "write_message": """
        SELECT version, global_position FROM write_message(
          %s, 'Enrolled', '{}', tags => %s::text[], condition => %s, decided_upon => %s
        )
    """,
    "write_if": """
        SELECT w.version, w.global_position
        FROM (VALUES (%s::text, %s::text[], %s::jsonb, %s::text)) AS v (stream, tags, c, d)
        CROSS JOIN LATERAL write_if(
          v.stream,
          jsonb_build_array(jsonb_build_object('type', 'Enrolled', 'data', 0, 'tags', v.tags)),
          v.c, v.d
        ) AS w
    """,
}
each_function = pytest.mark.parametrize("function", WRITES)


class Rule:
    """What a decision is about: tags that no other test has, and the query of all of them."""

    def __init__(self) -> None:
        self.tags = [f"{name}:{uuid4().hex[:12]}" for name in ("course", "student", "room")]
        self.course, self.student, self.room = self.tags
        self.query = json.dumps([{"tags": [tag]} for tag in (self.course, self.student)])

    def read(self, session: Session, query: str | None = None) -> tuple[list[int], str]:
        """The positions that match, and the token."""
        rows = session.run(READ, query or self.query)
        return [row[3] for row in rows[:-1]], rows[-1][-1]

    def write(
        self,
        session: Session,
        token: str,
        *,
        query: str | None = None,
        function: str = "write_message",
        tags: list[str] | None = None,
    ) -> Step:
        written = [self.course, self.student] if tags is None else tags
        stream = f"enrolment-{uuid4().hex[:12]}"
        return session.start(WRITES[function], stream, written, query or self.query, token)

    def add(self, session: Session, *tags: str) -> Step:
        """Write a message with these tags, without a condition."""
        return session.start(
            "SELECT version, global_position FROM write_message(%s, 'Enrolled', '1', tags => %s)",
            f"enrolment-{uuid4().hex[:12]}",
            list(tags),
        )


@pytest.fixture
def rule() -> Rule:
    return Rule()


@each_function
def test_decision_is_refused_after_a_match_and_holds_otherwise(
    session: Open, rule: Rule, function: str
) -> None:
    one = session("one")
    positions, token = rule.read(one)
    assert positions == []
    _, position = rule.write(one, token, function=function).place()
    rule.add(one, rule.room).place()
    assert rule.write(one, token, function=function).sqlstate() == "MS009"
    positions, token = rule.read(one)
    assert positions == [position]
    rule.write(one, token, function=function).place()


@each_function
@pytest.mark.parametrize("tag", [0, 1])
@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_writer_waits_for_a_match_in_flight(
    session: Open, rule: Rule, function: str, tag: int, ends: str
) -> None:
    one, other = session("one"), session("other")
    other.begin()
    rule.add(other, rule.room, rule.tags[tag]).place()
    _, token = rule.read(one)
    waiting = rule.write(one, token, function=function).blocked_by(other)
    getattr(other, ends)()
    if ends == "commit":
        assert waiting.sqlstate() == "MS009"
    else:
        assert waiting.sqlstate() is None


@each_function
def test_match_waits_for_a_decision_in_flight(session: Open, rule: Rule, function: str) -> None:
    one, other = session("one"), session("other")
    _, token = rule.read(one)
    _, token_of_other = rule.read(other)
    one.begin()
    rule.write(one, token, function=function, tags=[]).place()
    waiting = rule.add(other, rule.course).blocked_by(one)
    one.commit()
    waiting.place()
    assert rule.write(other, token_of_other, function=function).sqlstate() == "MS009"


@each_function
def test_match_below_one_that_was_seen_is_not_passed_over(
    session: Open, rule: Rule, function: str
) -> None:
    """The highest position that was seen, alone, would miss it."""
    one, early, late = session("one"), session("early"), session("late")
    early.begin()
    _, lower = rule.add(early, rule.course).place()
    _, higher = rule.add(late, rule.student).place()
    assert lower < higher
    positions, token = rule.read(one)
    assert positions == [higher]
    early.commit()
    assert rule.write(one, token, function=function).sqlstate() == "MS009"


@each_function
def test_match_that_was_seen_above_the_safe_position_is_known(
    session: Open, rule: Rule, stream: str, function: str
) -> None:
    one, early = session("one"), session("early")
    early.begin()
    early.write(stream)
    _, higher = rule.add(one, rule.student).place()
    positions, token = rule.read(one)
    assert positions == [higher]
    assert int(token.split("+")[0]) < higher
    rule.write(one, token, function=function).place()
    early.commit()
    assert rule.write(one, token, function=function).sqlstate() == "MS009"


def test_decisions_that_wait_for_another_look_side_by_side(session: Open, rule: Rule) -> None:
    # In a queue for the exclusive mode they would look one by one, each before the next decision
    # that can hold.
    one, other, third = session("one"), session("other"), session("third")
    _, token = rule.read(one)
    one.begin()
    rule.write(one, token).place()
    waiting = [rule.write(each, token).blocked_by(one) for each in (other, third)]
    modes = "SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    found = [mode for (mode,) in one.run(f"{modes} AND classid::bigint = %s", class_of(one))]
    one.commit()
    assert found == ["ShareLock"] * 2
    assert [step.sqlstate() for step in waiting] == ["MS009"] * 2


def class_of(session: Session) -> int:
    """The class of the locks of tags, as pg_locks shows it."""
    return session.number("SELECT _tag_lock_class()::bigint & 4294967295")


def test_an_item_of_several_tags_waits_for_all_who_match(session: Open, rule: Rule) -> None:
    one, other = session("one"), session("other")
    for tags in permutations(rule.tags):
        query = json.dumps([{"tags": tags[:2]}])
        _, token = rule.read(one, query)
        other.begin()
        rule.add(other, *rule.tags).place()
        waiting = rule.write(one, token, query=query, tags=[]).blocked_by(other)
        other.commit()
        assert waiting.sqlstate() == "MS009"
        _, token = rule.read(one, query)
        rule.add(other, tags[0]).place()
        rule.add(other, tags[1], tags[2]).place()
        rule.write(one, token, query=query, tags=[]).place()


def test_types_of_an_item_choose(session: Open, rule: Rule) -> None:
    one = session("one")
    query = json.dumps([{"tags": [rule.course], "types": ["Other", "Left"]}])
    _, token = rule.read(one, query)
    rule.add(one, rule.course).place()
    rule.write(one, token, query=query).place()
    query = json.dumps([{"tags": [rule.course], "types": ["Other", "Enrolled"]}])
    assert rule.write(one, token, query=query).sqlstate() == "MS009"


def test_rolled_back_savepoint_is_no_match(session: Open, rule: Rule) -> None:
    one, other = session("one"), session("other")
    _, token = rule.read(one)
    other.begin()
    other.run("SAVEPOINT s")
    rule.add(other, rule.course).place()
    waiting = rule.write(one, token).blocked_by(other)
    other.run("ROLLBACK TO s")
    waiting.place()
    other.commit()


def test_a_transaction_decides_upon_what_it_has_written(session: Open, rule: Rule) -> None:
    one = session("one")
    one.begin()
    _, token = rule.read(one)
    rule.write(one, token).place()
    assert rule.read(one)[0] != []
    _, token = rule.read(one)
    rule.write(one, token).place()
    one.commit()


@each_function
@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_other_isolation_levels_are_refused(
    session: Open, rule: Rule, isolation: str, function: str
) -> None:
    one = session("one")
    _, token = rule.read(one)
    one.begin(isolation)
    assert rule.write(one, token, function=function).sqlstate() == "MS004"
    one.rollback()
    one.begin(isolation)
    assert one.start(READ, rule.query).sqlstate() == "MS004"
    one.rollback()


# Every way to write tags without a condition; one that keeps positions locks as the one beside it.
WAYS = PLAIN | {
    "import_messages, positions": """
        SELECT imported FROM import_messages(
          ARRAY[%(stream)s], '{1}', '{Enrolled}', '{1}', NULL, ARRAY[%(id)s::uuid], ARRAY[now()],
          ARRAY[last_position() + 1], ARRAY[to_jsonb(%(tags)s::text[])]
        )
    """,
}
INSERTING = """
SELECT p.proname FROM pg_proc AS p
WHERE p.pronamespace = current_schema()::regnamespace
  AND p.prosrc ~ 'INSERT INTO messages' AND p.prosrc ~ '\\ytags\\y'
"""


def match(rule: Rule) -> dict[str, object]:
    return {"stream": f"enrolment-{uuid4()}", "id": uuid4(), "tags": [rule.room, rule.student]}


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_a_match_is_waited_for(
    session: Open, rule: Rule, way: str, isolation: str
) -> None:
    if way == "deliver_scheduled" and isolation != "READ COMMITTED":
        return
    one, other = session("one"), session("other")
    _, token = rule.read(one)
    other.begin(isolation)
    other.conn.execute(WAYS[way], match(rule))
    waiting = rule.write(one, token).blocked_by(other)
    other.commit()
    assert waiting.sqlstate() == "MS009"


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_a_match_waits_for_a_decision(
    session: Open, rule: Rule, way: str
) -> None:
    one, other = session("one"), session("other")
    _, token = rule.read(one)
    one.begin()
    rule.write(one, token, tags=[]).place()
    if way == "deliver_scheduled":
        assert other.conn.execute(WAYS[way], match(rule)).fetchall() == [(0,)]
        one.commit()
        assert other.run("SELECT delivered FROM deliver_scheduled()") == [(1,)]
    else:
        step = other.start_named(WAYS[way], match(rule)).blocked_by(one)
        one.commit()
        step.rows()
    assert len(rule.read(one)[0]) == 1


def test_no_other_function_stores_tags(session: Open) -> None:
    """Otherwise it belongs above."""
    found = {name for (name,) in session("one").run(INSERTING)}
    assert found == {"write_message", "write_arrays", "import_messages"}


@pytest.mark.parametrize("decided", [False, True])
def test_a_prepared_transaction_is_waited_for(session: Open, rule: Rule, decided: bool) -> None:
    one, other = session("one"), session("other")
    _, token = rule.read(one)
    name = f"prepared-{uuid4()}"
    other.begin()
    if decided:
        rule.write(other, token).place()
    else:
        rule.add(other, rule.course).place()
    other.run(f"PREPARE TRANSACTION '{name}'")
    try:
        # No session holds its locks.
        one.run("SET lock_timeout = '100ms'")
        assert rule.write(one, token).sqlstate() == "55P03"
        one.run("RESET lock_timeout")
        waiting = rule.write(one, token)
        other.run(f"COMMIT PREPARED '{name}'")
        name = ""
        assert waiting.sqlstate() == "MS009"
    finally:
        if name:
            other.run(f"ROLLBACK PREPARED '{name}'")


@pytest.mark.parametrize("kept", [False, True])
def test_a_condition_in_a_savepoint_holds_its_locks_as_long_as_its_message(
    session: Open, rule: Rule, kept: bool
) -> None:
    one, other = session("one"), session("other")
    _, token = rule.read(one)
    one.begin()
    one.run("SAVEPOINT s")
    rule.write(one, token).place()
    waiting = rule.write(other, token).blocked_by(one)
    one.run("RELEASE s" if kept else "ROLLBACK TO s")
    if kept:
        assert not waiting.done()
        one.commit()
        assert waiting.sqlstate() == "MS009"
    else:
        waiting.place()
        assert rule.write(one, token).sqlstate() == "MS009"
        one.rollback()


def test_a_condition_comes_before_an_expected_version(session: Open, rule: Rule) -> None:
    one = session("one")
    _, token = rule.read(one)
    stream = f"enrolment-{uuid4()}"
    write = (
        "SELECT version, global_position FROM write_message(%s, 'Enrolled', '1', NULL, %s,"
        " tags => %s, condition => %s, decided_upon => %s)"
    )
    assert one.start(write, stream, 1, [], rule.query, token).sqlstate() == "MS001"
    one.start(write, stream, 0, [rule.course], rule.query, token).place()
    for expected in (0, 1):
        assert one.start(write, stream, expected, [], rule.query, token).sqlstate() == "MS009"
    _, token = rule.read(one)
    assert one.start(write, stream, 0, [], rule.query, token).sqlstate() == "MS001"
    one.start(write, stream, 1, [], rule.query, token).place()


COLLISION = """
SELECT (array_agg(t.tag))[:2] FROM (
  SELECT %s || ':' || n AS tag FROM generate_series(1, 400000) AS g (n)
) AS t GROUP BY hashtext(t.tag COLLATE "C") HAVING count(*) > 1 LIMIT 1
"""


@pytest.mark.parametrize("upside_down", [False, True])
def test_two_tags_with_one_lock_do_not_deadlock(session: Open, upside_down: bool) -> None:
    """Each session needs it in both modes: a lock that is taken twice would be raised."""
    one, other, gate = session("one"), session("other"), session("gate")
    ((pair,),) = one.run(COLLISION, uuid4().hex)
    looked_for, written = pair[::-1] if upside_down else pair
    rule = Rule()
    query = json.dumps([{"tags": [looked_for]}])
    _, token = rule.read(one, query)
    gate.begin()
    rule.add(gate, *sorted(pair)).place()
    steps = [
        rule.write(each, token, query=query, tags=[written]).blocked_by(blocker)
        for each, blocker in ((one, gate), (other, one))
    ]
    gate.rollback()
    for step in steps:
        step.place()
    assert rule.read(one, query)[0] == []
    assert len(rule.read(one, json.dumps([{"tags": [written]}]))[0]) == 2


def test_tags_are_locked_in_the_order_of_their_keys(session: Open, rule: Rule) -> None:
    """A message has them in the order of their bytes."""
    one, other, gate = session("one"), session("other"), session("gate")
    by_key = 'SELECT array_agg(t ORDER BY hashtext(t COLLATE "C")) FROM unnest(%s::text[]) AS t'
    ((tags,),) = one.run(by_key, [f"key:{n}" for n in range(20)])
    first, second = next(pair for pair in combinations(tags, 2) if pair[0] > pair[1])
    query = json.dumps([{"tags": [second]}, {"tags": [first]}])
    _, token = rule.read(one, query)
    gate.begin()
    rule.add(gate, first).place()
    waiting = rule.write(one, token, query=query, tags=[first, second]).blocked_by(gate)
    rule.add(other, second).place()  # which is not locked yet
    gate.rollback()
    assert waiting.sqlstate() == "MS009"
