"""Streams whose first messages were deleted: what is left, and what comes next."""

from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Background, Connection, Store

Row = tuple[object, ...]


def audit(store: Store) -> Row:
    """Action, subject, reason and detail of the last entry."""
    ((*_, action, subject, reason, detail),) = store.call("list_audit", 1)
    return action, subject, reason, detail


def versions(store: Store, stream: str) -> list[int]:
    return [row[2] for row in store.call("read_stream", stream)]


def filled(store: Store, stream: str, count: int = 5) -> str:
    for _ in range(count):
        store.write(stream)
    return stream


def test_truncate_stream_leaves_the_last_messages(store: Store, stream: str) -> None:
    filled(store, stream)
    assert store.call("truncate_stream", stream, 4, "law") == [(3,)]
    assert versions(store, stream) == [4, 5]
    assert [row[2] for row in store.call("read_stream", stream, backward=True)] == [5, 4]
    assert store.call("stream_version", stream) == [(5,)]
    assert store.write(stream, expected_version=5)[0] == 6
    assert audit(store) == (
        "truncate_stream",
        stream,
        "law",
        {"before_version": 4, "version": 5, "deleted": 3, "snapshots": 0},
    )


def test_truncate_stream_goes_on_where_it_was(store: Store, stream: str) -> None:
    filled(store, stream)
    assert store.call("truncate_stream", stream, 3) == [(2,)]
    assert store.call("truncate_stream", stream, 3) == [(0,)]
    assert store.call("truncate_stream", stream, 2) == [(0,)]
    assert store.call("truncate_stream", stream, 5) == [(2,)]
    assert versions(store, stream) == [5]


@pytest.mark.parametrize("before", [None, 0, -1, 7, 2**63 - 1])
def test_truncate_stream_refuses_a_version_beyond_the_stream(
    store: Store, stream: str, before: int | None
) -> None:
    filled(store, stream)
    with store.refused("22023", argument="before_version"):
        store.call("truncate_stream", stream, before)


@pytest.mark.parametrize("function", ["truncate_stream", "delete_stream"])
def test_stream_that_was_never_written_is_refused(store: Store, stream: str, function: str) -> None:
    for name in (stream, "", None):
        with store.refused("22023", argument="stream"):
            store.call(function, name, 1)


@pytest.mark.parametrize("way", ["truncate_stream", "delete_stream"])
def test_versions_never_restart(store: Store, stream: str, way: str) -> None:
    filled(store, stream)
    assert store.call(way, stream, 6 if way == "truncate_stream" else 5) == [(5,)]
    assert versions(store, stream) == []
    assert store.call("stream_version", stream) == [(5,)]
    for expected in (0, 4, 6):
        with store.refused("MS001", actual_version=5):
            store.write(stream, expected_version=expected)
        with store.refused("MS001", actual_version=5):
            store.call("write_arrays", stream, ["A"], ["1"], expected_version=expected)
    assert store.write(stream, expected_version=5)[0] == 6
    assert store.call("delete_stream", stream, 6) == [(1,)]
    ((version, _),) = store.call("write_arrays", stream, ["A", "B"], ["1", "2"])
    assert version == 8
    assert versions(store, stream) == [7, 8]
    assert store.call("delete_stream", stream) == [(2,)]
    ((version, _),) = store.call("write_messages", stream, '[{"type": "A", "data": 1}]')
    assert version == 9


def test_delete_stream_at_another_version_is_refused(store: Store, stream: str) -> None:
    filled(store, stream)
    with store.refused("MS001", stream=stream, expected_version=4, actual_version=5):
        store.call("delete_stream", stream, 4)
    with pytest.raises(psycopg.Error) as caught:
        store.call("delete_stream", stream, 4)
    # A write's hint has the program write.
    assert "write" not in (caught.value.diag.message_hint or "write")
    store.call("delete_stream", stream, 5, "gone")
    assert audit(store) == ("delete_stream", stream, "gone", {"version": 5, "deleted": 5})
    assert store.call("delete_stream", stream, 5) == [(0,)]


def test_synchronize_stream_goes_on_after_what_was_cut_off(store: Store, stream: str) -> None:
    ids = [uuid4() for _ in range(5)]
    store.call("write_arrays", stream, ["A"] * 5, ["1"] * 5, message_ids=ids)
    store.call("truncate_stream", stream, 3)
    for known in (ids, [None, None, *ids[2:]]):
        ((version, _),) = store.call("synchronize_stream", stream, known, [], [])
        assert version == 5
    with store.refused("MS003", version=3):
        store.call("synchronize_stream", stream, [*ids[:2], uuid4(), *ids[3:]], ["A"], ["1"])
    store.call("delete_stream", stream, 5)
    assert store.call("synchronize_stream", stream, ids, [], []) == [(5, 0)]
    ((version, _),) = store.call("synchronize_stream", stream, ids, ["A"], ["1"])
    assert version == 6
    with store.refused("MS001", actual_version=6):
        store.call("synchronize_stream", stream, ids, [], [])


def test_repetition_of_what_was_cut_off_is_not_written_again(store: Store, stream: str) -> None:
    ids = [uuid4() for _ in range(3)]
    for version, message_id in enumerate(ids):
        store.write(stream, expected_version=version, message_id=message_id)
    store.call("truncate_stream", stream, 3)
    with store.refused("MS001", actual_version=3):
        store.write(stream, expected_version=0, message_id=ids[0])
    assert store.write(stream, expected_version=2, message_id=ids[2])[0] == 3
    batch = (stream, ["A"] * 3, ["{}"] * 3)
    with store.refused("MS002"):
        store.call("write_arrays", *batch, expected_version=0, message_ids=ids)
    store.call("delete_stream", stream, 3)
    with store.refused("MS001", actual_version=3):
        store.call("write_arrays", *batch, expected_version=0, message_ids=ids)


def serializable(connect: Connect, level: str) -> Connection:
    """Open a transaction whose snapshot is taken now."""
    conn = connect(autocommit=False, options=f"-c default_transaction_isolation={level}")
    conn.execute("SELECT 1 FROM pg_class LIMIT 1")
    return conn


LEVELS = pytest.mark.parametrize("level", [r"repeatable\ read", "serializable"])


@LEVELS
@pytest.mark.parametrize("expected", [None, 2, 3])
@pytest.mark.parametrize("function", ["write_message", "write_arrays"])
def test_snapshot_older_than_what_was_cut_off_is_refused(
    store: Store,
    stream: str,
    connect: Connect,
    level: str,
    expected: int | None,
    function: str,
) -> None:
    """Versions 3 and 4 were written and deleted after it: no index knows them any more."""
    filled(store, stream, 2)
    old = serializable(connect, level)
    filled(store, stream, 2)
    store.call("truncate_stream", stream, 5)
    message = ("A", "1") if function == "write_message" else (["A"], ["1"])
    with store.refused("40001"):
        store.call(function, stream, *message, expected_version=expected, on=old)
    old.rollback()
    ((version, _),) = store.call(function, stream, *message, on=old)
    assert version == 5


@LEVELS
def test_synchronize_with_a_snapshot_older_than_the_cut_is_refused(
    store: Store, stream: str, connect: Connect, level: str
) -> None:
    ids = [uuid4(), uuid4()]
    store.write(stream, message_id=ids[0])
    old = serializable(connect, level)
    store.write(stream, message_id=ids[1])
    store.call("delete_stream", stream, 2)
    with store.refused("40001"):
        store.call("synchronize_stream", stream, ids, [], [], on=old)


@LEVELS
@pytest.mark.parametrize("call", ["truncate_stream", "delete_stream"])
def test_cutting_needs_read_committed(
    store: Store, stream: str, connect: Connect, level: str, call: str
) -> None:
    filled(store, stream)
    with store.refused("MS004"):
        store.call(call, stream, 5, on=serializable(connect, level))


def test_delete_stream_waits_for_writers_and_they_for_it(
    store: Store, stream: str, connect: Connect
) -> None:
    """Who writes after it sees where the stream was."""
    filled(store, stream)
    writer, admin, later = (connect(autocommit=False) for _ in range(3))
    store.write(stream, on=writer)

    def delete() -> tuple[int, int]:
        ((deleted,),) = store.call("delete_stream", stream, None, on=admin)
        admin.commit()
        return deleted, 0

    deleting = Background(delete)
    store.wait_until_blocked(admin)

    def write() -> tuple[int, int]:
        found = store.write(stream, on=later)
        later.commit()
        return found

    writing = Background(write)
    store.wait_until_blocked(later)
    writer.commit()
    assert deleting.result() == (6, 0)
    assert writing.result()[0] == 7
    assert versions(store, stream) == [7]


def test_rolled_back_cut_leaves_everything(store: Store, stream: str, connect: Connect) -> None:
    filled(store, stream)
    before = store.call("list_audit", 1)
    conn = connect(autocommit=False)
    store.call("delete_stream", stream, 5, on=conn)
    conn.rollback()
    assert versions(store, stream) == [1, 2, 3, 4, 5]
    assert store.call("list_audit", 1) == before


def test_readers_across_streams_cross_what_is_gone(store: Store, stream: str) -> None:
    category = f"c{uuid4().hex}"
    positions = [store.write(f"{category}-{n % 2}")[1] for n in range(6)]
    store.call("truncate_stream", f"{category}-0", 3)
    store.call("delete_stream", f"{category}-1", None)
    found = [row[3] for row in store.call("read_category", category)]
    assert found == [positions[4]]
    found = [row[3] for row in store.call("read_all", positions[0], 2)]
    assert found[0] == positions[4]
    assert store.call("get_message", uuid4()) == []
    assert store.call("last_message", f"{category}-1") == []


def test_message_in_flight_is_not_cut_by_another_session(
    store: Store, stream: str, connect: Connect
) -> None:
    writer = connect(autocommit=False)
    store.write(stream, on=writer)
    other = connect(options="-c lock_timeout=100ms")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        store.call("truncate_stream", stream, 1, on=other)
    writer.commit()
    assert store.call("truncate_stream", stream, 1, on=other) == [(0,)]
