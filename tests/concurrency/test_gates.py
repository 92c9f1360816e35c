"""The gates: readers that find all of them free do not look for in-flight marks.

What must hold: whoever holds a mark holds a gate, from before its first position until it ends.
"""

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.concurrency.sessions import FUNCTIONS, Open, Session

each_function = pytest.mark.parametrize("function", FUNCTIONS)

_HORIZON = "SELECT safe_position, in_flight FROM horizon()"
_LAST_POSITION = "SELECT pg_sequence_last_value('global_position_seq')"
_IMPORT = """
SELECT import_messages(
  ARRAY[%s], ARRAY[1], ARRAY['T'], ARRAY['1']::jsonb[], NULL, ARRAY[%s]::uuid[],
  ARRAY['2020-01-01']::timestamptz[], {positions}
)
"""
_ARRAYS = "SELECT write_arrays(%s, ARRAY['T'], ARRAY['1']::jsonb[], NULL, 0, ARRAY[%s]::uuid[])"


def first(writer: Session, stream: str) -> None:
    writer.write(stream)


def second(writer: Session, stream: str) -> None:
    writer.write(stream)
    writer.write(f"{stream}-b", function="write_messages")


def after_business_rows(writer: Session, stream: str) -> None:
    writer.run("CREATE TEMP TABLE business ON COMMIT DROP AS SELECT 1 AS id")
    writer.write(stream)


def after_a_savepoint(writer: Session, stream: str) -> None:
    writer.run("SAVEPOINT before")
    writer.write(f"{stream}-b")
    writer.run("ROLLBACK TO SAVEPOINT before")
    writer.write(stream)


def after_a_second_write_that_went(writer: Session, stream: str) -> None:
    writer.write(stream)
    writer.run("SAVEPOINT before")
    writer.write(f"{stream}-b")
    writer.run("ROLLBACK TO SAVEPOINT before")


def in_a_released_savepoint(writer: Session, stream: str) -> None:
    writer.run("SAVEPOINT before")
    writer.write(stream)
    writer.run("RELEASE SAVEPOINT before")


def with_a_forged_setting(writer: Session, stream: str) -> None:
    writer.run("SELECT set_config(_mark_setting(), '1', true)")
    after_business_rows(writer, stream)


def with_a_forged_setting_after_a_savepoint(writer: Session, stream: str) -> None:
    writer.run("SELECT set_config(_mark_setting(), '1', true)")
    after_a_savepoint(writer, stream)


def with_an_old_snapshot(writer: Session, stream: str) -> None:
    writer.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    writer.write(stream)


def as_arrays(writer: Session, stream: str) -> None:
    writer.run(_ARRAYS, stream, str(uuid4()))


def synchronized(writer: Session, stream: str) -> None:
    writer.run("SELECT synchronize_stream(%s, '{}', ARRAY['T'], ARRAY['1']::jsonb[])", stream)


def imported(writer: Session, stream: str) -> None:
    writer.run(_IMPORT.format(positions="NULL"), stream, str(uuid4()))


def imported_with_positions(writer: Session, stream: str) -> None:
    position = writer.number(_LAST_POSITION) + 5
    writer.run(_IMPORT.format(positions=f"ARRAY[{position}]"), stream, str(uuid4()))


WAYS: list[Callable[[Session, str], None]] = [
    first,
    second,
    after_business_rows,
    after_a_savepoint,
    after_a_second_write_that_went,
    in_a_released_savepoint,
    with_a_forged_setting,
    with_a_forged_setting_after_a_savepoint,
    with_an_old_snapshot,
    as_arrays,
    synchronized,
    imported,
    imported_with_positions,
]

each_way = pytest.mark.parametrize("way", WAYS)


def free(session: Session) -> bool:
    ((found,),) = session.run("SELECT _gates_free()")
    assert isinstance(found, bool)
    return found


@pytest.fixture
def reader(session: Open, stream: str) -> Session:
    """A reader of a store with a message, in which nobody writes."""
    reader = session("reader")
    reader.write(f"{stream}-before")
    assert free(reader)
    return reader


@each_way
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_writer_holds_a_gate_as_long_as_its_mark(
    session: Open, reader: Session, stream: str, way: Callable[[Session, str], None], end: str
) -> None:
    writer = session("writer")
    writer.run("BEGIN")
    way(writer, stream)
    assert writer.lock_keys("gate", writer.pid) == [writer.pid % 4]
    assert not free(reader)
    ((safe, in_flight),) = reader.run(_HORIZON)
    assert in_flight
    assert safe < reader.number(_LAST_POSITION)
    assert writer.run(_HORIZON) == [(safe, True)]  # its own mark counts
    writer.run(end)
    assert free(reader)
    assert reader.run(_HORIZON) == [(reader.number(_LAST_POSITION), False)]


@each_function
@pytest.mark.parametrize("written_before", [False, True], ids=["first write", "second write"])
def test_gate_is_entered_before_the_position_is_drawn(
    session: Open, reader: Session, stream: str, function: str, written_before: bool
) -> None:
    writer, locker = session("writer"), session("locker")
    last = reader.number(_LAST_POSITION)
    locker.begin()
    locker.run("LOCK TABLE messages IN SHARE MODE")
    writer.begin()
    if written_before:
        writer.run("SELECT pg_current_xact_id()")
    waiting = writer.start_write(stream, function=function).blocked_by(locker)
    assert reader.number(_LAST_POSITION) == last
    assert not free(reader)
    locker.commit()
    waiting.place()


def test_rolled_back_savepoint_leaves_its_gate(session: Open, reader: Session, stream: str) -> None:
    """With its messages: the transaction is not in flight any more."""
    writer = session("writer")
    writer.begin()
    writer.run("SAVEPOINT before")
    writer.write(stream)
    writer.run("ROLLBACK TO SAVEPOINT before")
    assert free(reader)
    assert writer.run(_HORIZON) == reader.run(_HORIZON)


def test_prepared_transaction_keeps_its_gate(session: Open, reader: Session, stream: str) -> None:
    writer, name = session("writer"), f"prepared-{uuid4().hex}"
    before = reader.number(_LAST_POSITION)
    writer.begin()
    writer.run(_HORIZON)  # has it tried its own gate
    writer.write(stream)
    writer.run(f"PREPARE TRANSACTION '{name}'")
    try:
        assert not free(reader)
        assert reader.run(_HORIZON) == [(before, True)]
        assert writer.run(_HORIZON) == [(before, True)]
    finally:
        writer.run(f"COMMIT PREPARED '{name}'")
    assert free(reader)


@pytest.mark.parametrize("repeated", [_ARRAYS, _IMPORT.format(positions="NULL")])
def test_transaction_that_only_repeats_a_write_counts_its_own_mark(
    session: Open, reader: Session, stream: str, repeated: str
) -> None:
    writer, message_id = session("writer"), str(uuid4())
    writer.run(repeated, stream, message_id)
    last = reader.number(_LAST_POSITION)
    writer.begin()
    writer.run(repeated, stream, message_id)
    assert writer.marks() != []
    ((safe, in_flight),) = writer.run(_HORIZON)
    assert in_flight
    assert safe <= last


@pytest.mark.parametrize("key", range(4))
def test_reader_that_meets_another_one_at_a_gate_looks_for_marks(
    session: Open, reader: Session, stream: str, key: int
) -> None:
    """A try is for an instant; here it lasts."""
    other, writer = session("other"), session("writer")
    last = reader.number(_LAST_POSITION)
    other.run("SELECT pg_advisory_lock(_gate_lock_class(), %s)", key)
    assert not free(reader)
    assert reader.run(_HORIZON) == [(last, False)]
    writer.begin()
    writing = writer.start_write(stream)
    if writer.pid % 4 == key:
        writing.blocked_by(other)
        other.run("SELECT pg_advisory_unlock_all()")
    writing.place()
    assert reader.run(_HORIZON) == [(last, True)]


def test_free_gates_are_not_left_locked(reader: Session) -> None:
    reader.begin()
    for _ in range(3):
        reader.run(_HORIZON)
        reader.run("SELECT read_all()")
    assert reader.lock_keys("gate", reader.pid) == []


@pytest.mark.parametrize("way", ["read only", "an old snapshot"])
def test_reader_that_cannot_write_uses_the_gates(session: Open, reader: Session, way: str) -> None:
    other = session("other")
    other.run("BEGIN READ ONLY" if way == "read only" else "BEGIN ISOLATION LEVEL SERIALIZABLE")
    assert other.run(_HORIZON) == [(reader.number(_LAST_POSITION), False)]
