"""Writers that meet a fence at each of its moments, with all that they can have from before it."""

import os
import signal
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.concurrency.sessions import FUNCTIONS, Open, Session, until

PLACE = "host=other dbname=shop"
FENCE = f"SELECT fence_store('{PLACE}', '20 seconds')"
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

# Statements of the owner, as of a trigger or a script; each is prepared before the fence.
_PREPARED = {
    "insert": "INSERT INTO streams SELECT * FROM streams WHERE stream = $1 ON CONFLICT DO NOTHING",
    "update on conflict": (
        "INSERT INTO streams SELECT * FROM streams WHERE stream = $1"
        " ON CONFLICT (stream) DO UPDATE SET floor = 0"
    ),
    "update": "UPDATE streams SET floor = 0 WHERE stream = $1",
    "delete": "DELETE FROM messages WHERE type = $1",
    "in a WITH": (
        "WITH u AS (UPDATE streams SET floor = 0 WHERE stream = $1 RETURNING 1)"
        " SELECT count(*) FROM messages"
    ),
    "through a function": "SELECT write_message($1, 'T', '1')",
    "through an import": "SELECT import_floors(ARRAY[$1 || '2'], '{5}')",
}


@pytest.fixture
def owner(session: Open) -> Session:
    return session("owner")


@pytest.fixture
def open_again(owner: Session) -> Callable[[], None]:
    def lift() -> None:
        owner.conn.execute("SELECT lift_fence('20 seconds')")

    return lift


def stored(owner: Session, stream: str) -> int:
    return owner.number("SELECT count(*) FROM all_messages WHERE stream = %s", stream)


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("commits", [True, False])
def test_writer_that_waits_for_the_fence_ends_as_the_fence_does(
    session: Open, owner: Session, stream: str, function: str, isolation: str, commits: bool
) -> None:
    """It has its snapshot and its plan, and waits for its lock on the table."""
    writer = session("writer")
    writer.write(stream, function=function)
    writer.begin(isolation)
    writer.version(stream)
    owner.begin()
    owner.run(FENCE)
    write = writer.start_write(stream, function=function).blocked_by(owner)
    if commits:
        owner.commit()
        assert write.sqlstate() == "MS030"
        writer.rollback()
        assert stored(owner, stream) == 1
        owner.run("SELECT lift_fence('20 seconds')")
    else:
        owner.rollback()
        assert write.place()[0] == 2
        writer.commit()
        assert stored(owner, stream) == 2


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_prepared_statement_of_before_is_refused(
    session: Open,
    owner: Session,
    open_again: Callable[[], None],
    stream: str,
    isolation: str,
    mode: str,
) -> None:
    writer = session("writer")
    writer.write(stream)
    writer.run(f"SET plan_cache_mode = {mode}")
    for number, (kind, statement) in enumerate(_PREPARED.items()):
        writer.run(f"PREPARE statement_{number} (text) AS {statement}")
        for _ in range(6):
            writer.begin()
            writer.run(f"EXECUTE statement_{number} ('{stream}')")
            writer.rollback()
        # The fence is committed already, and it commits while the statement waits for it.
        for waits in (False, True):
            writer.begin(isolation)
            writer.run("SELECT count(*) FROM messages, streams")
            owner.begin()
            owner.run(FENCE)
            if not waits:
                owner.commit()
            step = writer.start(f"EXECUTE statement_{number} ('{stream}')")
            if waits:
                step.blocked_by(owner)
                owner.commit()
            assert step.sqlstate() == "MS030", (kind, waits)
            writer.rollback()
            open_again()


def test_cursor_of_before_writes_nothing(
    session: Open, owner: Session, open_again: Callable[[], None], stream: str
) -> None:
    writer = session("writer")
    writer.write(stream)
    writer.begin()
    # Its plan is made, and nothing of it has run.
    writer.run(
        "DECLARE writes CURSOR FOR SELECT write_message(%s, 'T', '1') FROM generate_series(1, 3)",
        stream,
    )
    owner.run(FENCE)
    assert writer.start("FETCH writes").sqlstate() == "MS030"
    writer.rollback()
    open_again()
    assert stored(owner, stream) == 1


def test_copy_that_has_begun_is_waited_for(
    session: Open, owner: Session, open_again: Callable[[], None], stream: str
) -> None:
    """Its trigger came before the fence: it stores its rows, and the fence waits for it."""
    writer = session("writer")
    writer.write(stream)
    columns = "tag_key, global_position"
    ((row,),) = owner.run(
        "SELECT (m.global_position) FROM messages AS m JOIN streams AS s USING (stream_id)"
        " WHERE s.stream = %s",
        stream,
    )
    with writer.conn.cursor().copy(f"COPY message_tags ({columns}) FROM STDIN") as copy:
        step = owner.start(FENCE)
        until(lambda: writer.pid in owner.blockers() or step.done(), "the fence tries")
        assert not step.done()
        copy.write(f"17\t{row}\n")
    step.rows()
    try:
        kept = "SELECT count(*) FROM message_tags WHERE tag_key = 17 AND global_position = %s"
        assert owner.number(kept, row) == 1
        with (
            pytest.raises(psycopg.Error) as caught,
            writer.conn.cursor().copy(f"COPY message_tags ({columns}) FROM STDIN") as copy,
        ):
            copy.write(f"18\t{row}\n")
        assert caught.value.sqlstate == "MS030"
    finally:
        open_again()
    owner.run("DELETE FROM message_tags WHERE tag_key = 17")


def test_session_that_analyzes_in_another_order_does_not_end_the_fence(
    session: Open, owner: Session, open_again: Callable[[], None]
) -> None:
    """As ANALYZE locks. The fence finds the deadlock first, gives way, and tries again."""
    analyst, gate = session("analyst"), session("gate")
    analyst.run("SET deadlock_timeout = '20s'")
    gate.begin()
    gate.run("LOCK TABLE messages IN SHARE UPDATE EXCLUSIVE MODE")
    analyst.begin()
    analyst.run("LOCK TABLE streams IN SHARE UPDATE EXCLUSIVE MODE")
    fence = owner.start(FENCE).blocked_by(gate)
    step = analyst.start("LOCK TABLE messages IN SHARE UPDATE EXCLUSIVE MODE").blocked_by(owner)
    gate.commit()
    step.rows()
    assert not fence.done()
    analyst.commit()
    fence.rows()
    open_again()


def test_fence_waits_longer_for_transactions_that_overlap(
    session: Open, owner: Session, open_again: Callable[[], None], stream: str
) -> None:
    """They would never end all within a tenth of a second; and others write in between."""
    writer, other = session("writer"), session("other")
    owner.run("SET deadlock_timeout = '1s'")
    writer.begin()
    writer.write(stream)
    fence = owner.start(FENCE)
    waits = (
        "SELECT count(*) FROM pg_locks AS l WHERE l.pid = %s AND NOT l.granted"
        " AND l.waitstart < clock_timestamp() - interval '0.2 s'"
    )
    until(lambda: other.number(waits, owner.pid) > 0, "the fence waits for longer")
    other.write(f"{stream}-other")
    assert not fence.done()
    writer.commit()
    fence.rows()
    open_again()


@pytest.mark.parametrize("call", [FENCE, "SELECT lift_fence('20 seconds')"])
def test_right_that_is_being_granted_by_hand_keeps_no_writer_waiting_for_long(
    session: Open, owner: Session, stream: str, call: str
) -> None:
    """It changes a row of the catalog that the fence changes, and holds no lock on the table."""
    granting, writer = session("granting"), session("writer")
    if call != FENCE:
        owner.run(FENCE)
    owner.run("SET lock_timeout = 0")
    granting.begin()
    granting.run("GRANT SELECT ON streams TO pg_monitor")
    granting.run("GRANT EXECUTE ON FUNCTION _is_open() TO pg_monitor")
    assert owner.start(call).blocked_by(granting).sqlstate() == "55P03"
    granting.rollback()
    assert writer.refused(stream) == (None if call == FENCE else "MS030")
    owner.run("SELECT lift_fence('20 seconds')")


def test_caller_with_limits_of_its_own_changes_nothing(
    session: Open, owner: Session, stream: str
) -> None:
    """Its lock_timeout does not count, and comes back; its statement_timeout ends the fence."""
    writer = session("writer")
    owner.run("SET lock_timeout = '1ms'")
    writer.begin()
    writer.write(stream)
    owner.run("SET statement_timeout = '400ms'")
    assert owner.start(FENCE).sqlstate() == "57014"
    owner.run("SET statement_timeout = 0")
    writer.write(stream)
    fence = owner.start(FENCE)
    until(lambda: writer.pid in owner.blockers() or fence.done(), "the fence tries")
    writer.commit()
    fence.rows()
    assert owner.run("SHOW lock_timeout") == [("1ms",)]
    assert owner.run("SELECT lift_fence()") == [(True,)]


def test_statement_timeout_ends_a_fence_whose_lock_timeout_ends_at_the_same_time(
    session: Open, owner: Session, stream: str
) -> None:
    """On a busy machine the session looks at neither before both are over."""
    writer = session("writer")
    writer.begin()
    writer.write(stream)
    owner.run("SET statement_timeout = '400ms'")
    fence = owner.start(FENCE)
    until(lambda: writer.pid in owner.blockers(), "the fence waits")
    os.kill(owner.pid, signal.SIGSTOP)
    try:
        time.sleep(0.5)
    finally:
        os.kill(owner.pid, signal.SIGCONT)
    assert fence.sqlstate() == "57014"


def test_replicated_changes_pass_the_fence(
    session: Open, owner: Session, open_again: Callable[[], None], stream: str
) -> None:
    """The target of a move is closed, and gets the rows. A superuser alone can do the same."""
    writer = session("writer")
    writer.write(stream)
    owner.run(FENCE)
    writer.run("SET session_replication_role = replica")  # as the worker of a subscription
    writer.run("UPDATE streams SET floor = 0 WHERE stream = %s", stream)
    writer.run("SET session_replication_role = origin")
    assert writer.start("UPDATE streams SET floor = 0").sqlstate() == "MS030"
    open_again()


def test_fence_and_an_installer_wait_for_each_other(session: Open, owner: Session) -> None:
    """An upgrade can make a table, which the fence has to close."""
    installer = session("installer")
    key = "hashtextextended('pgstore:install:' || current_schema() COLLATE \"C\", 0)"
    for call in (FENCE, "SELECT lift_fence('20 seconds')"):
        installer.begin()
        installer.run(f"SELECT pg_advisory_xact_lock({key})")
        step = owner.start(call).blocked_by(installer)
        installer.commit()
        step.rows()
