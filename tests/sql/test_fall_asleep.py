"""fall_asleep and wake_up: announce a sleeper, look, and take it back."""

import json
import time

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Connection, Store

BELLS = """
SELECT count(*) FROM pg_locks AS l
WHERE l.pid = %s AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.mode = 'ShareLock'
  AND l.classid = (STORE._bell_lock_class()::bigint & 4294967295)::oid
  AND l.objid::bigint BETWEEN 0 AND 15
"""


def bells(store: Store, conn: Connection) -> int:
    ((count,),) = store.query(BELLS, [conn.info.backend_pid]).fetchall()
    return int(count)


def heard(store: Store, sleeper: Connection) -> int:
    return len(list(sleeper.notifies(timeout=0.05)))


def test_fall_asleep_rings_until_woken(store: Store, stream: str, connect: Connect) -> None:
    sleeper = connect()
    ((channel,),) = store.call("wake_channel")
    sleeper.execute(f'LISTEN "{channel}"'.encode())
    store.write(stream)
    assert heard(store, sleeper) == 0
    ((position, in_flight),) = store.call("fall_asleep", on=sleeper)
    assert [(position, in_flight)] == store.call("horizon")
    assert bells(store, sleeper) == 16
    store.write(stream)
    assert heard(store, sleeper) == 1
    store.call("wake_up", on=sleeper)
    assert bells(store, sleeper) == 0
    store.write(stream)
    assert heard(store, sleeper) == 0


def test_fall_asleep_tells_of_writers(store: Store, stream: str, connect: Connect) -> None:
    sleeper, writer = connect(), connect(autocommit=False)
    store.write(stream, on=writer)
    ((_, in_flight),) = store.call("fall_asleep", on=sleeper)
    assert in_flight is True
    writer.rollback()
    ((_, in_flight),) = store.call("fall_asleep", on=sleeper)
    assert in_flight is False
    store.call("wake_up", on=sleeper)
    assert bells(store, sleeper) == 16  # one of two
    store.call("wake_up", on=sleeper)
    assert bells(store, sleeper) == 0


# A writer that has tested the bell already gets its position, and is gone, between the two looks.
COME_AND_GONE = """
CREATE OR REPLACE FUNCTION STORE.horizon(OUT safe_position bigint, OUT in_flight boolean)
LANGUAGE plpgsql AS $$
BEGIN
  safe_position := STORE.last_position();
  PERFORM nextval('STORE.global_position_seq');
  in_flight := false;
END
$$
"""


def test_fall_asleep_tells_of_writers_that_came_and_went(store: Store, connect: Connect) -> None:
    sleeper = connect(autocommit=False)
    store.query(COME_AND_GONE, on=sleeper)
    ((_, in_flight),) = store.call("fall_asleep", on=sleeper)
    assert in_flight is True
    sleeper.rollback()


def test_sleepers_sleep_at_once(store: Store, connect: Connect) -> None:
    sleepers = [connect() for _ in range(5)]
    for sleeper in sleepers:
        store.call("fall_asleep", on=sleeper)
    assert [bells(store, sleeper) for sleeper in sleepers] == [16] * 5


@pytest.mark.parametrize("function", ["fall_asleep", "wake_up"])
def test_another_session_than_the_callers_is_refused(
    store: Store, connect: Connect, function: str
) -> None:
    sleeper, other = connect(), connect()
    own = sleeper.info.backend_pid
    store.call("fall_asleep", own, on=sleeper)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        store.call(function, own, on=other)
    assert json.loads(refused.value.diag.message_detail or "") == {
        "backend_pid": own,
        "actual_backend_pid": other.info.backend_pid,
    }
    assert (bells(store, sleeper), bells(store, other)) == (16, 0)
    store.call("wake_up", own, on=sleeper)
    assert bells(store, sleeper) == 0


def test_a_key_that_is_held_for_long_ends_the_wait_and_leaves_none(
    store: Store, connect: Connect
) -> None:
    hostile, sleeper = connect(), connect()
    store.query("SELECT pg_advisory_lock(STORE._bell_lock_class(), 9)", on=hostile)
    before = time.monotonic()
    with pytest.raises(psycopg.errors.LockNotAvailable):
        store.call("fall_asleep", on=sleeper)
    assert time.monotonic() - before < 20
    assert bells(store, sleeper) == 0


def test_an_error_in_the_look_leaves_no_key(store: Store, connect: Connect) -> None:
    sleeper = connect(autocommit=False)
    store.query(
        "CREATE OR REPLACE FUNCTION STORE.horizon(OUT safe_position bigint, OUT in_flight boolean)"
        " LANGUAGE plpgsql AS 'BEGIN safe_position := 1 / 0; END'",
        on=sleeper,
    )
    with pytest.raises(psycopg.errors.DivisionByZero):
        store.call("fall_asleep", on=sleeper)
    sleeper.rollback()
    assert bells(store, sleeper) == 0
