"""A fence among writers, waiting and sleeping sessions: nothing is lost, nothing stored later."""

import json
import threading
from uuid import uuid4

import psycopg
import pytest

from pgstore.transfer import verify
from tests.concurrency.sessions import FUNCTIONS, Open, Session, until

PLACE = "host=other dbname=shop"

FENCE = f"SELECT fence_store('{PLACE}', '20 seconds')"
_TRIGGERS = """
SELECT count(*) FROM pg_trigger AS g
WHERE g.tgname = 'store_is_closed' AND g.tgrelid = ANY (
  SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace
)
"""
IMPATIENT = f"SELECT fence_store('{PLACE}', '1 ms')"


@pytest.fixture
def owner(session: Open) -> Session:
    return session("owner")


def lift(owner: Session) -> None:
    assert owner.run("SELECT lift_fence('20 seconds')") == [(True,)]


def named(session: Session, call: str = IMPATIENT) -> list[dict[str, object]]:
    """The transactions that an impatient fence names, of the lock that it could not have."""
    try:
        session.run(call)
    except psycopg.errors.LockNotAvailable as error:
        found = json.loads(error.diag.message_detail or "")["transactions"]
        assert isinstance(found, list)
        return found
    raise AssertionError("the fence did not wait")


def count(owner: Session, stream: str) -> int:
    return owner.number("SELECT count(*) FROM all_messages WHERE starts_with(stream, %s)", stream)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_fence_waits_for_a_transaction_that_has_written(
    session: Open, owner: Session, stream: str, function: str
) -> None:
    writer = session("writer")
    writer.begin()
    writer.write(f"{stream}-a", function=function)
    assert [(found["pid"], found["application"]) for found in named(owner)] == [
        (writer.pid, "writer")
    ]
    fence = owner.start(FENCE)
    until(lambda: writer.pid in owner.blockers() or fence.done(), "the fence tries")
    # It gives the lock back, so that others write in between, and the transaction continues.
    session("other").write(f"{stream}-b", function=function)
    writer.write(f"{stream}-c", function=function)
    assert not fence.done()
    writer.commit()
    fence.rows()
    try:
        assert count(owner, stream) == 3
        assert writer.refused(f"{stream}-a", function=function) == "MS030"
        assert count(owner, stream) == 3
    finally:
        lift(owner)


def test_fence_and_its_end_wait_as_long_as_they_are_told_and_name_the_transaction(
    session: Open, owner: Session
) -> None:
    writer = session("writer")
    # Shorter than the patience of a call that is told none.
    owner.run("SET statement_timeout = '8s'")
    for call in (IMPATIENT, "SELECT lift_fence('1 ms')"):
        writer.begin()
        writer.run("LOCK TABLE messages IN ROW EXCLUSIVE MODE")
        assert [found["pid"] for found in named(owner, call)] == [writer.pid]
        writer.rollback()
        if call == IMPATIENT:
            owner.run(FENCE)
    lift(owner)


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_transaction_with_an_older_snapshot_is_refused(
    session: Open, owner: Session, stream: str, function: str, isolation: str
) -> None:
    """It has planned the statement before, and has read; it has no lock of a writer."""
    writer = session("writer")
    writer.write(stream, function=function)
    writer.begin(isolation)
    writer.version(stream)
    owner.run(FENCE)
    try:
        assert writer.refused(stream, function=function) == "MS030"
        writer.rollback()
    finally:
        lift(owner)
    assert writer.write(stream, function=function)[0] == 2


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_writer_that_waits_inside_its_function_is_refused(
    session: Open, owner: Session, stream: str, function: str, new: bool
) -> None:
    """The function runs since before the fence, with its plans: it waits for the stream's lock."""
    writer, holder = session("writer"), session("holder")
    for _ in range(0 if new else 7):
        writer.write(stream, function=function)
    writer.write(f"{stream}-other", function=function)
    holder.begin()
    holder.run("SELECT pg_advisory_xact_lock(_stream_lock_class(), hashtext(%s))", stream)
    write = writer.start_write(stream, function=function).blocked_by(holder)
    owner.run(FENCE)
    try:
        holder.rollback()
        assert write.sqlstate() == "MS030"
        assert (
            owner.run(
                "SELECT FROM messages JOIN streams USING (stream_id) WHERE stream = %s"
                " AND version > 7",
                stream,
            )
            == []
        )
    finally:
        lift(owner)


def test_savepoint_that_was_rolled_back_neither_holds_the_fence_nor_passes_it(
    session: Open, owner: Session, stream: str
) -> None:
    writer = session("writer")
    writer.begin()
    writer.run("SAVEPOINT one")
    writer.write(stream)
    assert [found["pid"] for found in named(owner)] == [writer.pid]
    writer.run("ROLLBACK TO SAVEPOINT one")
    owner.run(FENCE)
    try:
        writer.run("SAVEPOINT two")
        assert writer.refused(stream) == "MS030"
        writer.run("ROLLBACK TO SAVEPOINT two")
        writer.commit()
        assert count(owner, stream) == 0
    finally:
        lift(owner)


def test_prepared_transaction_is_named_and_waited_for(
    session: Open, owner: Session, stream: str
) -> None:
    writer, gid = session("writer"), f"fence {uuid4()}"
    writer.run("SET pgstore.notify = off")
    writer.begin()
    writer.write(stream)
    writer.run(f"PREPARE TRANSACTION '{gid}'")
    assert [(found["pid"], found["gid"]) for found in named(owner)] == [(None, gid)]
    writer.run(f"COMMIT PREPARED '{gid}'")
    owner.run(FENCE)
    try:
        assert count(owner, stream) == 1
    finally:
        lift(owner)


def test_handler_that_holds_a_row_is_refused_to_acknowledge(
    session: Open, owner: Session, stream: str
) -> None:
    """A row lock alone does not hold the fence."""
    worker, name = session("worker"), f"sums-{uuid4()}"
    worker.write(stream)
    worker.run("SELECT create_subscription(%s, ARRAY[category(%s)])", name, stream)
    ((_, partition, token),) = worker.run(
        "SELECT subscription, partition, token FROM claim_partition(ARRAY[%s], 'w')", name
    )
    worker.begin()
    worker.run("SELECT FROM subscription_partitions FOR UPDATE")
    owner.run(FENCE)
    try:
        acknowledge = worker.start("SELECT acknowledge(%s, %s, %s, 1)", name, partition, token)
        assert acknowledge.sqlstate() == "MS030"
        worker.rollback()
    finally:
        lift(owner)
    worker.run("SELECT drop_subscription(%s)", name)


def test_long_reader_keeps_a_store_neither_open_nor_closed(
    session: Open, owner: Session, store: str, stream: str
) -> None:
    """Such as a dump. A trigger that does nothing can stay where it reads."""
    reader, writer = session("reader"), session("writer")
    reader.write(stream)
    for _ in range(2):
        reader.begin("REPEATABLE READ")
        reader.run("SELECT count(*) FROM all_messages")
        owner.run(FENCE)
        assert writer.refused(stream) == "MS030"
        lift(owner)
        assert owner.number(_TRIGGERS) == 2  # of messages and streams
        writer.write(stream)
        with owner.conn.transaction():
            assert [each for each in verify(owner.conn, store=store) if each.wrong] == []
        reader.rollback()
    owner.run(FENCE)
    lift(owner)
    assert owner.number(_TRIGGERS) == 0


def test_vacuum_in_the_way_keeps_no_writer_waiting(
    session: Open, owner: Session, stream: str
) -> None:
    """The fence waits with a lock that is in nobody's way but vacuum's."""
    vacuum, writer = session("vacuum"), session("writer")
    vacuum.begin()
    vacuum.run("LOCK TABLE messages IN SHARE UPDATE EXCLUSIVE MODE")  # as VACUUM does
    fence = owner.start(FENCE).blocked_by(vacuum)
    wanted = "SELECT l.mode FROM pg_locks AS l WHERE l.pid = %s AND NOT l.granted"
    assert {mode for (mode,) in writer.run(wanted, owner.pid)} <= {"ShareUpdateExclusiveLock"}
    for _ in range(3):
        writer.write(stream)
        assert not fence.done()
    vacuum.rollback()
    fence.rows()
    lift(owner)


def test_sleepers_are_notified_and_told(session: Open, owner: Session) -> None:
    sleeper = session("sleeper")
    channel = sleeper.run("SELECT wake_channel()")[0][0]
    sleeper.run(f'LISTEN "{channel}"')
    sleeper.run("SELECT fall_asleep()")
    for close in (True, False):
        owner.run(FENCE if close else "SELECT lift_fence()")
        got = list(sleeper.conn.notifies(timeout=20, stop_after=1))
        assert [each.channel for each in got] == [channel]
        if close:
            assert sleeper.start("SELECT wake_up()").sqlstate() == "MS030"
    sleeper.run("SELECT wake_up()")


def test_writers_of_several_streams_lose_nothing_and_store_nothing_later(
    server_conninfo: str, store: str, owner: Session, stream: str
) -> None:
    """Each transaction is stored as a whole, and only if its writer was told so."""
    acknowledged: list[list[int]] = []
    unexpected: list[BaseException] = []
    stop = threading.Event()

    def write(number: int) -> None:
        options = f"-c search_path={store} -c lock_timeout=20s"
        with psycopg.connect(server_conninfo, autocommit=True, options=options) as conn:
            while not stop.is_set():
                try:
                    with conn.transaction():
                        places = [
                            conn.execute(
                                "SELECT global_position FROM write_message(%s, 'T', '1')",
                                [f"{stream}-{part}"],
                            ).fetchall()[0][0]
                            for part in range(number, number + 3)
                        ]
                    acknowledged.append(places)
                except psycopg.Error as error:
                    if error.sqlstate != "MS030":
                        unexpected.append(error)
                    return

    for _ in range(5):
        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        before = len(acknowledged)
        for thread in threads:
            thread.start()
        until(lambda: len(acknowledged) > before + 20, "the writers write")  # noqa: B023
        owner.run(FENCE)
        at_the_fence = count(owner, stream)
        for thread in threads:
            thread.join(20)
        stored = {
            position
            for (position,) in owner.run(
                "SELECT global_position FROM all_messages WHERE starts_with(stream, %s)", stream
            )
        }
        assert len(stored) == at_the_fence
        assert stored == {position for places in acknowledged for position in places}
        lift(owner)
    stop.set()
    assert unexpected == []
