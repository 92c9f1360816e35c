"""A transaction whose snapshot is too old to know a stream is told to start again."""

from uuid import uuid4

import pytest

from tests.concurrency.sessions import FUNCTIONS, Open, Session

pytestmark = [
    pytest.mark.parametrize("function", FUNCTIONS),
    pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"]),
]


def start_again(one: Session, isolation: str) -> None:
    one.rollback()
    one.begin(isolation)


@pytest.mark.parametrize(
    ("expected_version", "on_retry"),
    [
        pytest.param(None, None, id="any version"),
        pytest.param(1, "MS001", id="right in the snapshot, wrong now"),
        pytest.param(2, None, id="wrong in the snapshot, right now"),
        pytest.param(5, "MS001", id="wrong in both"),
        pytest.param(0, "MS001", id="an empty stream"),
    ],
)
def test_stale_version_is_a_serialization_failure(
    session: Open,
    stream: str,
    isolation: str,
    function: str,
    expected_version: int | None,
    on_retry: str | None,
) -> None:
    old, other = session("old"), session("other")
    other.write(stream)
    old.begin(isolation)
    other.write(stream)

    assert old.refused(stream, expected_version, function=function) == "40001"
    start_again(old, isolation)
    assert old.refused(stream, expected_version, function=function) == on_retry
    old.run("COMMIT")
    assert other.version(stream) == (3 if on_retry is None else 2)


@pytest.mark.parametrize(
    ("expected_version", "on_retry"), [(None, None), (0, "MS001"), (1, None), (2, "MS001")]
)
def test_stream_created_after_the_snapshot_is_a_serialization_failure(
    session: Open,
    stream: str,
    isolation: str,
    function: str,
    expected_version: int | None,
    on_retry: str | None,
) -> None:
    old, other = session("old"), session("other")
    old.begin(isolation)
    other.write(stream)

    assert old.refused(stream, expected_version, function=function) == "40001"
    start_again(old, isolation)
    assert old.refused(stream, expected_version, function=function) == on_retry


def test_message_id_used_after_the_snapshot_is_a_serialization_failure(
    session: Open, stream: str, isolation: str, function: str
) -> None:
    old, other, message_id = session("old"), session("other"), uuid4()
    other.write(f"{stream}-b")
    old.begin(isolation)
    other.write(stream, None, message_id)

    assert old.refused(f"{stream}-b", None, message_id, function=function) == "40001"
    start_again(old, isolation)
    assert old.refused(f"{stream}-b", None, message_id, function=function) == "MS002"


@pytest.mark.parametrize("expected_version", [None, 1])
def test_write_repeated_under_an_old_snapshot_gets_the_first_answer_on_retry(
    session: Open, stream: str, isolation: str, function: str, expected_version: int | None
) -> None:
    old, other, message_id = session("old"), session("other"), uuid4()
    other.write(stream)
    old.begin(isolation)
    place = other.write(stream, expected_version, message_id, function=function)

    assert old.refused(stream, expected_version, message_id, function=function) == "40001"
    start_again(old, isolation)
    assert old.write(stream, expected_version, message_id, function=function) == place


def test_writer_that_waited_is_too_old(
    session: Open, stream: str, isolation: str, function: str
) -> None:
    old, other = session("old"), session("other")
    other.write(stream)
    other.begin()
    other.write(stream)
    old.begin(isolation)

    waiting = old.start_write(stream, function=function).blocked_by(other)
    other.commit()

    assert waiting.sqlstate() == "40001"
    start_again(old, isolation)
    assert old.write(stream, 2, function=function)[0] == 3


def test_writer_that_waited_for_a_rollback_is_not_too_old(
    session: Open, stream: str, isolation: str, function: str
) -> None:
    old, other = session("old"), session("other")
    other.begin()
    other.write(stream)
    old.begin(isolation)

    waiting = old.start_write(stream, 0, function=function).blocked_by(other)
    other.rollback()

    assert waiting.place()[0] == 1


def test_mismatch_under_a_snapshot_that_is_not_too_old_is_the_wrong_version(
    session: Open, stream: str, isolation: str, function: str
) -> None:
    old, other = session("old"), session("other")
    other.write(stream)
    old.begin(isolation)
    old.run("SAVEPOINT before")

    assert old.refused(stream, 7, function=function) == "MS001"
    old.run("ROLLBACK TO SAVEPOINT before")
    assert old.refused(f"{stream}-b", 7, function=function) == "MS001"
    old.run("ROLLBACK TO SAVEPOINT before")
    assert old.write(stream, 1, function=function)[0] == 2  # what was refused has left nothing
    old.commit()
    assert other.version(stream) == 2
    assert other.version(f"{stream}-b") == 0


def test_own_writes_are_not_too_new(
    session: Open, stream: str, isolation: str, function: str
) -> None:
    old = session("old")
    old.begin(isolation)
    for version in range(3):
        assert old.write(stream, version, function=function)[0] == version + 1
    old.commit()
    assert old.version(stream) == 3
