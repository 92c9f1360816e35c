"""Two sessions that schedule, deliver or cancel a message with the same id at the same time."""

from uuid import UUID, uuid4

import pytest

from tests.concurrency.sessions import Open, Session, Step

each_content = pytest.mark.parametrize("data", ["1", "2"], ids=["same", "other"])


def schedule(session: Session, stream: str, message_id: UUID, data: str = "1") -> Step:
    return session.start(
        "SELECT schedule_message(%s, 'T', %s, now(), message_id => %s)", stream, data, message_id
    )


def scheduled(session: Session, stream: str) -> list[str]:
    return [
        data for (data,) in session.run("SELECT s.data::text FROM list_scheduled(%s) AS s", stream)
    ]


def check(step: Step, data: str, message_id: UUID) -> None:
    """The same message is scheduled once; another one with its id is refused."""
    if data == "1":
        assert step.rows() == [(message_id,)]
    else:
        assert step.sqlstate() == "MS002"


@each_content
def test_second_session_waits_and_finds_the_message_scheduled(
    session: Open, stream: str, data: str
) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    first.begin()
    schedule(first, stream, message_id).rows()

    waiting = schedule(second, stream, message_id, data).blocked_by(first)
    first.commit()

    check(waiting, data, message_id)
    assert scheduled(first, stream) == ["1"]


def test_second_session_schedules_what_the_first_rolls_back(session: Open, stream: str) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    first.begin()
    schedule(first, stream, message_id).rows()

    waiting = schedule(second, stream, message_id, "2").blocked_by(first)
    first.rollback()

    assert waiting.rows() == [(message_id,)]
    assert scheduled(first, stream) == ["2"]


@each_content
def test_schedule_that_waits_for_a_delivery_finds_the_message_written(
    session: Open, stream: str, data: str
) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    schedule(first, stream, message_id).rows()
    first.begin()
    first.run("SELECT deliver_scheduled()")

    waiting = schedule(second, stream, message_id, data).blocked_by(first)
    first.commit()

    check(waiting, data, message_id)
    assert scheduled(first, stream) == []
    assert first.version(stream) == 1


def test_schedule_that_waits_for_a_cancellation_schedules(session: Open, stream: str) -> None:
    first, second, message_id = session("first"), session("second"), uuid4()
    schedule(first, stream, message_id).rows()
    first.begin()
    first.run("SELECT cancel_message(%s)", message_id)

    waiting = schedule(second, stream, message_id, "2").blocked_by(first)
    first.commit()

    assert waiting.rows() == [(message_id,)]
    assert scheduled(first, stream) == ["2"]


def test_message_that_is_cancelled_after_the_conflict_is_scheduled(
    session: Open, stream: str
) -> None:
    first, second, gate, message_id = session("first"), session("second"), session("gate"), uuid4()
    schedule(first, stream, message_id).rows()
    # In its first 1000 positions a store looks at streams before a conflict can come.
    first.run("SELECT count(nextval('global_position_seq')) FROM generate_series(1, 1000)")
    gate.begin()
    gate.run("LOCK TABLE streams IN ACCESS EXCLUSIVE MODE")

    waiting = schedule(second, stream, message_id, "2").blocked_by(gate)
    first.run("SELECT cancel_message(%s)", message_id)
    gate.commit()

    assert waiting.rows() == [(message_id,)]
    assert scheduled(first, stream) == ["2"]


def test_message_that_is_scheduled_again_during_a_delivery_is_not_delivered_before_its_time(
    session: Open, stream: str
) -> None:
    first, second, gate, message_id = session("first"), session("second"), session("gate"), uuid4()
    schedule(first, stream, message_id).rows()
    gate.begin()
    gate.run("LOCK TABLE messages IN SHARE MODE")

    delivering = second.start("SELECT deliver_scheduled()").blocked_by(gate)
    first.run("SELECT cancel_message(%s)", message_id)
    later = "SELECT schedule_message(%s, 'T', '2', now() + '1 day', message_id => %s)"
    first.run(later, stream, message_id)
    gate.commit()

    delivering.rows()
    assert scheduled(first, stream) == ["2"]
    assert first.version(stream) == 0
