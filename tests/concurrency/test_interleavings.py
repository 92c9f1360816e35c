"""Two or three sessions, step by step: who waits for whom, and what each is told."""

from uuid import uuid4

import pytest

import pgstore
from tests.concurrency.sessions import FUNCTIONS, Open, until

each_function = pytest.mark.parametrize("function", FUNCTIONS)


@each_function
def test_second_writer_of_a_stream_waits_and_gets_the_next_version(
    session: Open, stream: str, function: str
) -> None:
    first, second, third = session("first"), session("second"), session("third")
    first.write(stream)
    first.begin()
    _, position = first.write(stream, function=function)

    waiting = second.start_write(stream, function=function).blocked_by(first)
    also_waiting = third.start_write(stream, function=function).blocked_by(first)
    first.commit()

    places = sorted([waiting.place(), also_waiting.place()])
    assert [version for version, _ in places] == [3, 4]
    assert position < places[0][1] < places[1][1]


@each_function
def test_waiting_writer_that_expected_the_version_before_is_refused(
    session: Open, stream: str, function: str
) -> None:
    first, second = session("first"), session("second")
    first.write(stream)
    first.begin()
    first.write(stream, 1)

    waiting = second.start_write(stream, 1, function=function).blocked_by(first)
    first.commit()

    assert waiting.sqlstate() == "MS001"
    assert second.version(stream) == 2


@each_function
def test_waiting_writer_that_expected_the_version_after_succeeds(
    session: Open, stream: str, function: str
) -> None:
    first, second = session("first"), session("second")
    first.write(stream)
    first.begin()
    first.write(stream)

    waiting = second.start_write(stream, 2, function=function).blocked_by(first)
    first.commit()

    assert waiting.place()[0] == 3


@each_function
def test_writers_of_different_streams_do_not_wait(session: Open, function: str) -> None:
    first, second, third = session("first"), session("second"), session("third")
    category = uuid4().hex[:12]
    for n in (1, 2):
        first.write(f"{category}-{n}")
    first.begin()
    second.begin()

    assert first.write(f"{category}-1", function=function)[0] == 2
    assert second.write(f"{category}-2", function=function)[0] == 2
    assert third.write(f"{category}-3", function=function)[0] == 1


@each_function
def test_creators_of_streams_in_a_new_category_do_not_wait(session: Open, function: str) -> None:
    first, second, third = session("first"), session("second"), session("third")
    category = uuid4().hex[:12]
    first.begin()
    second.begin()

    assert first.write(f"{category}-1", function=function)[0] == 1  # and stays open
    assert second.write(f"{category}-2", function=function)[0] == 1
    second.commit()
    assert third.write(f"{category}-3", function=function)[0] == 1
    assert third.write(category, function=function)[0] == 1


@each_function
def test_stream_that_two_create_at_once_is_created_once(
    session: Open, stream: str, function: str
) -> None:
    first, second = session("first"), session("second")
    first.begin()
    assert first.write(stream, 0, function=function)[0] == 1

    waiting = second.start_write(stream, function=function).blocked_by(first)
    first.commit()

    assert waiting.place()[0] == 2
    assert second.number("SELECT count(*) FROM streams WHERE stream = %s", stream) == 1


@each_function
@pytest.mark.parametrize("end", ["ROLLBACK", "ROLLBACK TO SAVEPOINT before", "killed"])
def test_writer_that_is_undone_frees_its_place(
    session: Open, stream: str, function: str, end: str
) -> None:
    first, second = session("first"), session("second")
    first.begin()
    first.run("SAVEPOINT before")
    first.write(stream, 0)
    first.write(stream, 1)

    waiting = second.start_write(stream, 0, function=function).blocked_by(first)
    if end == "killed":
        session("killer").run("SELECT pg_terminate_backend(%s)", first.pid)
    else:
        first.run(end)

    assert waiting.place()[0] == 1
    assert second.version(stream) == 1


@each_function
def test_message_id_used_in_two_streams_at_once_is_stored_once(
    session: Open, stream: str, function: str
) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    first.begin()
    first.write(stream, None, message_id)

    waiting = second.start_write(f"{stream}-b", 0, message_id, function=function)
    waiting.blocked_by(first)
    first.commit()

    assert waiting.sqlstate() == "MS002"
    assert second.number("SELECT count(*) FROM messages WHERE message_id = %s", message_id) == 1
    assert second.version(stream) == 1
    assert second.version(f"{stream}-b") == 0


@each_function
def test_message_id_is_free_again_when_its_first_user_rolls_back(
    session: Open, stream: str, function: str
) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    first.begin()
    first.write(stream, None, message_id)

    waiting = second.start_write(f"{stream}-b", 0, message_id, function=function)
    waiting.blocked_by(first)
    first.rollback()

    assert waiting.place()[0] == 1


@each_function
@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_message_id_used_at_once_under_a_fixed_snapshot_is_refused_on_retry(
    session: Open, stream: str, function: str, isolation: str
) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    first.begin()
    first.write(stream, None, message_id)
    second.begin(isolation)

    waiting = second.start_write(f"{stream}-b", None, message_id, function=function)
    waiting.blocked_by(first)
    first.commit()

    assert waiting.sqlstate() == "40001"
    second.rollback()
    second.begin(isolation)
    assert second.refused(f"{stream}-b", None, message_id, function=function) == "MS002"


@each_function
@pytest.mark.parametrize("expected_version", [None, 0])
def test_same_write_sent_twice_at_once_gets_the_same_answer(
    session: Open, stream: str, function: str, expected_version: int | None
) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    first.begin()
    place = first.write(stream, expected_version, message_id, function=function)

    waiting = second.start_write(stream, expected_version, message_id, function=function)
    waiting.blocked_by(first)
    first.commit()

    assert waiting.place() == place
    assert second.version(stream) == 1


def test_transactions_that_write_in_opposite_order_lose_nothing(session: Open, stream: str) -> None:
    first, second, other = session("first"), session("second"), f"{stream}-b"
    first.begin()
    second.begin()
    first.write(stream)
    second.write(other)

    steps = {first: first.start_write(other).blocked_by(second), second: second.start_write(stream)}
    states = {one: step.sqlstate() for one, step in steps.items()}

    assert sorted(map(str, states.values())) == ["40P01", "None"]
    (victim,) = [one for one, state in states.items() if state == "40P01"]
    (winner,) = states.keys() - {victim}
    victim.rollback()
    winner.commit()
    assert victim.write(stream)[0] == 2
    assert victim.write(other)[0] == 2


def test_killed_writer_leaves_no_lock(session: Open, stream: str) -> None:
    first, killer = session("first"), session("killer")
    first.begin()
    first.write(stream)
    assert len(killer.lock_keys("stream", first.pid)) == 1

    killer.run("SELECT pg_terminate_backend(%s)", first.pid)

    until(lambda: killer.lock_keys("stream", first.pid) == [], "the stream's lock")
    assert killer.write(stream, 0)[0] == 1


def test_synchronize_that_waited_is_told_the_version(session: Open, stream: str) -> None:
    first, second = session("first"), session("second")
    a, b, c = uuid4(), uuid4(), uuid4()
    call = "SELECT * FROM synchronize_stream(%s, '{}', %s, %s, NULL, %s)"
    first.begin()
    first.run(call, stream, ["A", "A"], "{1,2}", [a, b])
    waiting = second.start(call, stream, ["A", "A", "A"], "{1,2,3}", [a, b, c])
    waiting.blocked_by(first)
    first.commit()
    assert waiting.sqlstate() == "MS001"


def test_refusal_names_the_message_that_has_the_id(session: Open, stream: str) -> None:
    """Not one of the refused batch, which is there while it is being refused."""
    first, second, third = session("first"), session("second"), session("third")
    a, p, b = uuid4(), uuid4(), uuid4()
    first.begin()
    first.run("SELECT * FROM write_message(%s, 'A', '1', message_id => %s)", "p-" + stream, p)
    waiting = second.start(
        "SELECT * FROM write_arrays(%s, '{A,A,A}', '{1,2,3}', NULL, NULL, %s)",
        stream,
        [a, p, b],
    )
    waiting.blocked_by(first)
    third.run("SELECT * FROM write_message(%s, 'A', '1', message_id => %s)", "b-" + stream, b)
    first.rollback()
    with pytest.raises(pgstore.MessageIdInUseError) as caught:
        waiting.rows()
    assert (caught.value.message_id, caught.value.stream) == (b, "b-" + stream)


def test_repeated_writes_take_two_marks_at_most(session: Open, stream: str) -> None:
    first, second = session("first"), session("second")
    call = "SELECT * FROM write_message(%s, 'A', '1', expected_version => 0, message_id => %s)"
    message_id = uuid4()
    first.run(call, stream, message_id)
    first.begin()
    for _ in range(10):
        first.run(call, stream, message_id)
        second.write("other-" + stream)
    assert len(first.marks()) <= 2
    first.commit()
