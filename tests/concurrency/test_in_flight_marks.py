"""The in-flight mark: a lock that bounds from below every position that may still appear.

What must hold: whenever a transaction has drawn a position and is not over, its backend holds a
mark whose bound is below that position.
"""

from uuid import uuid4

import pytest

import pgstore
from tests.concurrency.sessions import FUNCTIONS, Open, Session, until

each_function = pytest.mark.parametrize("function", FUNCTIONS)

_LAST_POSITION = "SELECT pg_sequence_last_value('global_position_seq')"


@each_function
def test_mark_is_below_every_position_of_its_transaction(
    session: Open, stream: str, function: str
) -> None:
    writer, other = session("writer"), session("other")
    other.write(f"{stream}-other")
    writer.begin()
    for n in range(5):
        _, position = writer.write(f"{stream}-{n}", function=function)
        assert writer.marks()[0] < position
        other.write(f"{stream}-other")
    assert writer.marks()[0] < position - 8


@each_function
@pytest.mark.parametrize("written_before", [False, True], ids=["first write", "second write"])
def test_mark_is_taken_before_the_position_is_drawn(
    session: Open, stream: str, function: str, written_before: bool
) -> None:
    writer, locker = session("writer"), session("locker")
    locker.write(stream)
    last = locker.number(_LAST_POSITION)
    locker.begin()
    locker.run("LOCK TABLE messages IN SHARE MODE")  # lets the writer read, but not insert
    writer.begin()
    if written_before:
        assign_transaction_id(writer)

    waiting = writer.start_write(stream, function=function).blocked_by(locker)

    assert locker.number(_LAST_POSITION) == last
    assert writer.marks() == [last]
    locker.commit()
    assert waiting.place() == (2, last + 1)


@each_function
def test_writer_that_waited_for_its_turn_is_marked_below_its_position(
    session: Open, stream: str, function: str
) -> None:
    first, second = session("first"), session("second")
    first.begin()
    second.begin()
    first.write(stream)
    waiting = second.start_write(stream, function=function).blocked_by(first)
    _, position = first.write(stream)
    assert first.marks()[0] < position
    first.commit()

    assert second.marks() == [] or second.marks()[0] < position + 1
    _, position = waiting.place()
    assert second.marks()[0] < position


@each_function
def test_one_write_takes_one_mark_and_many_take_two(
    session: Open, stream: str, function: str
) -> None:
    writer, other = session("writer"), session("other")
    writer.begin()
    writer.write(stream, function=function)
    assert len(writer.marks()) == 1
    for n in range(20):
        other.write(f"{stream}-other")
        writer.write(f"{stream}-{n % 7}", function=FUNCTIONS[n % 2])
        assert len(writer.marks()) <= 2


@each_function
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "killed"])
def test_mark_is_released_when_the_transaction_ends(
    session: Open, stream: str, function: str, end: str
) -> None:
    writer, other = session("writer"), session("other")
    writer.begin()
    writer.write(stream, function=function)
    writer.write(stream, function=function)
    assert writer.marks() != []
    if end == "killed":
        other.run("SELECT pg_terminate_backend(%s)", writer.pid)
        until(lambda: writer.marks() == [], "the end of the killed writer")
    else:
        writer.run(end)
        assert writer.marks() == []


@each_function
def test_write_of_its_own_leaves_no_mark(session: Open, stream: str, function: str) -> None:
    writer = session("writer")
    writer.write(stream, function=function)
    assert writer.marks() == []
    assert writer.refused(stream, 7, function=function) == "MS001"
    assert writer.marks() == []


@each_function
def test_savepoint_takes_its_mark_back_and_the_next_write_takes_one_again(
    session: Open, stream: str, function: str
) -> None:
    writer, other = session("writer"), session("other")
    writer.begin()
    for _ in range(3):
        writer.run("SAVEPOINT before")
        writer.write(stream, function=function)
        writer.write(f"{stream}-b", function=function)
        assert writer.marks() != []
        writer.run("ROLLBACK TO SAVEPOINT before")
        assert writer.marks() == []
        other.write(f"{stream}-other")

    _, position = writer.write(stream, function=function)
    assert writer.marks()[0] < position
    writer.run("SAVEPOINT after")
    writer.write(stream, function=function)
    writer.run("ROLLBACK TO SAVEPOINT after")
    assert writer.marks()[0] < position
    _, later = writer.write(stream, function=function)
    assert writer.marks()[0] < position < later


@each_function
def test_released_savepoint_keeps_its_mark(session: Open, stream: str, function: str) -> None:
    writer = session("writer")
    writer.begin()
    writer.run("SAVEPOINT before")
    _, position = writer.write(stream, function=function)
    writer.run("RELEASE SAVEPOINT before")
    assert writer.marks()[0] < position


def test_caught_exception_takes_the_mark_back(session: Open, stream: str) -> None:
    writer, other = session("writer"), session("other")
    other.write(f"{stream}-other")
    writer.begin()
    writer.run(
        f"""
        DO $$ BEGIN
          PERFORM write_message('{stream}', 'T', '1');
          PERFORM write_message('{stream}', 'T', '2', expected_version => 7);
        EXCEPTION WHEN SQLSTATE 'MS001' THEN
          NULL;
        END $$
        """
    )
    assert writer.marks() == []
    _, position = writer.write(stream)
    assert writer.marks()[0] < position


@each_function
def test_transaction_that_wrote_business_rows_first_is_marked(
    session: Open, stream: str, function: str
) -> None:
    writer = session("writer")
    writer.begin()
    assign_transaction_id(writer)
    _, position = writer.write(stream, function=function)
    assert writer.marks()[0] < position
    assert len(writer.marks()) == 1


@each_function
def test_transaction_that_wrote_to_another_store_first_is_marked(
    schema: str, session: Open, stream: str, function: str, server_conninfo: str
) -> None:
    pgstore.install(server_conninfo, store=schema)
    writer = session("writer")
    writer.begin()
    for _ in range(2):
        writer.run(f"SELECT {schema}.write_message(%s, 'T', '1')", stream)
    assert writer.marks() == []  # those of this store
    _, position = writer.write(stream, function=function)
    assert writer.marks()[0] < position


@pytest.mark.parametrize("forged", ["0", "1", "4000000000", "9000000000000000000"])
@pytest.mark.parametrize("local", [True, False], ids=["in the transaction", "in the session"])
@each_function
def test_forged_setting_does_not_hide_a_transaction(
    session: Open, stream: str, function: str, forged: str, local: bool
) -> None:
    writer = session("writer")
    writer.write(stream)
    writer.begin()
    assign_transaction_id(writer)
    writer.run("SELECT set_config(_mark_setting(), %s, %s)", forged, local)
    _, position = writer.write(stream, function=function)
    assert any(bound < position for bound in writer.marks())


@each_function
def test_prepared_transaction_keeps_its_mark(session: Open, stream: str, function: str) -> None:
    writer, name = session("writer"), f"prepared-{uuid4().hex}"
    writer.begin()
    _, position = writer.write(stream, function=function)
    writer.write(stream, function=function)
    marks = writer.marks()
    writer.run(f"PREPARE TRANSACTION '{name}'")
    try:
        assert writer.marks() == []
        assert writer.lock_keys("mark", None) == marks
        assert marks[0] < position
    finally:
        writer.run(f"COMMIT PREPARED '{name}'")
    assert writer.lock_keys("mark", None) == []
    assert writer.version(stream) == 2


def assign_transaction_id(writer: Session) -> None:
    """Write something that is not a message, as an application does."""
    writer.run("CREATE TEMP TABLE business AS SELECT 1 AS id")
    assert writer.run("SELECT pg_current_xact_id_if_assigned() IS NOT NULL") == [(True,)]
