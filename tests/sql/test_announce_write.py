"""What a write shows to readers before it commits: its in-flight mark, and the bell it rings."""

from collections.abc import Callable

import pytest

from tests.conftest import Connect
from tests.sql.store import Connection, Store, last_position, marks, wait_until

Write = Callable[[Connection, str], None]

WRITES: dict[str, str] = {
    "write_message": "SELECT STORE.write_message(%s, 'A', '{}')",
    "write_messages": 'SELECT STORE.write_messages(%s, \'[{"type": "A", "data": 1}]\')',
    "write_arrays": "SELECT STORE.write_arrays(%s, '{A}', '{1}')",
    "write_group": (
        "SELECT STORE.write_group(ARRAY[%s], '{A}', '{1}', NULL, NULL, ARRAY[gen_random_uuid()])"
    ),
    "synchronize_stream": "SELECT STORE.synchronize_stream(%s, '{}', '{A}', '{1}')",
}


@pytest.fixture(params=WRITES)
def write(request: pytest.FixtureRequest, store: Store) -> Write:
    def write(conn: Connection, stream: str) -> None:
        store.query(WRITES[request.param], [stream], on=conn)

    return write


@pytest.fixture
def writer(store: Store, connect: Connect) -> Connection:
    return connect(autocommit=False)


def test_write_holds_its_mark_until_it_commits(
    store: Store, stream: str, writer: Connection, write: Write
) -> None:
    before = last_position(store)
    write(writer, stream)
    assert marks(store, writer) == [before]
    writer.commit()
    assert marks(store, writer) == []


def test_write_takes_at_most_two_marks_a_transaction(
    store: Store, stream: str, writer: Connection, write: Write
) -> None:
    before = last_position(store)
    for n in range(5):
        store.write(f"{stream}-other-{n}")
        write(writer, f"{stream}-{n}")
    found = marks(store, writer)
    assert min(found) == before + 1
    assert len(found) <= 2
    writer.rollback()
    assert marks(store, writer) == []


def test_write_after_the_callers_own_changes_holds_its_mark(
    store: Store, stream: str, writer: Connection, write: Write
) -> None:
    writer.execute("CREATE TEMP TABLE own (n int) ON COMMIT DROP")
    before = last_position(store)
    write(writer, stream)
    assert marks(store, writer) == [before]


def test_write_after_a_rolled_back_savepoint_holds_a_mark_again(
    store: Store, stream: str, writer: Connection, write: Write
) -> None:
    with writer.transaction(force_rollback=True):
        write(writer, stream)
        write(writer, stream + "-2")
    assert marks(store, writer) == []
    before = last_position(store)
    write(writer, stream)
    assert marks(store, writer) == [before]


def test_write_refused_in_a_savepoint_leaves_the_mark_of_the_write_before(
    store: Store, stream: str, writer: Connection, write: Write
) -> None:
    before = last_position(store)
    write(writer, stream)
    with store.refused("MS001"), writer.transaction():
        store.write(stream, on=writer, expected_version=7)
    write(writer, stream + "-2")
    assert before in marks(store, writer)


@pytest.fixture
def sleeper(store: Store, connect: Connect) -> Connection:
    """A reader that sleeps: it holds the bell keys and listens."""
    conn = connect()
    ((channel,),) = store.query("SELECT STORE.wake_channel()").fetchall()
    conn.execute(f'LISTEN "{channel}"'.encode())
    store.query(
        "SELECT pg_advisory_lock_shared(STORE._bell_lock_class(), n) FROM generate_series(0, 15) n",
        on=conn,
    )
    return conn


def notified(sleeper: Connection, expected: int = 0) -> list[str]:
    """Payloads of what arrives: waits long for as many as are expected, and a little for more."""
    arrived = list(sleeper.notifies(timeout=30, stop_after=expected)) if expected else []
    return [notify.payload for notify in [*arrived, *sleeper.notifies(timeout=0.1)]]


def test_write_wakes_a_sleeping_reader_when_it_commits(
    stream: str, sleeper: Connection, writer: Connection, write: Write
) -> None:
    write(writer, stream)
    write(writer, stream + "-2")
    assert notified(sleeper) == []
    writer.commit()
    assert notified(sleeper, 1) == [""]


def test_write_rolled_back_wakes_nobody(
    stream: str, sleeper: Connection, writer: Connection, write: Write
) -> None:
    write(writer, stream)
    writer.rollback()
    assert notified(sleeper) == []


def test_write_notifies_nobody_when_nobody_sleeps(
    store: Store, stream: str, sleeper: Connection, write: Write
) -> None:
    sleeper.execute("SELECT pg_advisory_unlock_all()")
    # The session of another test's sleeper may not have ended yet.
    held = (
        "SELECT FROM pg_locks AS l WHERE l.locktype = 'advisory'"
        " AND l.classid::bigint = STORE._bell_lock_class()::bigint & 4294967295"
    )
    wait_until(lambda: store.query(held).rowcount == 0)
    write(store.conn, stream)
    assert notified(sleeper) == []


def test_write_gives_the_bell_key_back(store: Store, stream: str, write: Write) -> None:
    write(store.conn, stream)
    held = "SELECT FROM pg_locks AS l WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory'"
    assert store.query(held).rowcount == 0


def test_write_does_not_notify_if_told_not_to(
    stream: str, sleeper: Connection, writer: Connection, write: Write
) -> None:
    writer.execute("SET pgstore.notify = off")
    write(writer, stream)
    writer.execute("PREPARE TRANSACTION 'of_a_writer'")
    writer.rollback()
    writer.autocommit = True
    writer.execute("COMMIT PREPARED 'of_a_writer'")
    assert notified(sleeper) == []
