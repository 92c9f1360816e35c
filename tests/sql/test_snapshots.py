import json
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Store

STATE = json.dumps({"total": 3})


def load(store: Store, stream: str, **arguments: object) -> list[tuple[object, ...]]:
    """Version, data and changes of the first row; of a message the version alone."""
    names = "".join(f", {name} => %({name})s" for name in arguments)
    rows = store.query(
        f"SELECT type IS NULL, version, data, changes FROM STORE.load_stream(%(s)s{names})",
        {"s": stream, **arguments},
    )
    return [row[1:] if row[0] else (row[1],) for row in rows]


def of_version(store: Store, stream: str, version: int, column: str) -> object:
    ((found,),) = store.query(
        f"SELECT {column} FROM STORE.read_stream(%s, %s, 1)", [stream, version]
    )
    return found


def save(
    store: Store,
    stream: str,
    version: int,
    changes: int = 0,
    code_version: int = 1,
    name: str = "total",
) -> bool:
    ((saved,),) = store.query(
        "SELECT STORE.save_snapshot(%s, %s, %s, %s, %s, %s)",
        [stream, name, code_version, version, STATE, changes],
    )
    return bool(saved)


def test_stream_without_a_snapshot_is_loaded_from_its_beginning(store: Store, stream: str) -> None:
    assert load(store, stream) == [(0, None, 0)]
    for _ in range(3):
        store.write(stream)
    assert load(store, stream, snapshot="total", code_version=1) == [(0, None, 0), (1,), (2,), (3,)]
    assert load(store, stream, to_version=2) == [(0, None, 0), (1,), (2,)]
    assert load(store, stream, max_count=1) == [(0, None, 0), (1,)]


def test_stream_is_loaded_from_the_snapshot_of_its_code(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    assert save(store, stream, 2)
    mine = {"snapshot": "total", "code_version": 1}
    assert load(store, stream, **mine) == [(2, {"total": 3}, 0), (3,)]
    assert load(store, stream, **mine, to_version=2) == [(2, {"total": 3}, 0)]
    assert load(store, stream, **mine, to_version=1) == [(0, None, 0), (1,)]
    assert load(store, stream, snapshot="total", code_version=2)[0] == (0, None, 0)
    assert load(store, stream, snapshot="other", code_version=1)[0] == (0, None, 0)
    assert load(store, stream)[0] == (0, None, 0)


def test_only_a_later_snapshot_replaces_one(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    assert save(store, stream, 2)
    assert not save(store, stream, 2)
    assert not save(store, stream, 1)
    assert save(store, stream, 3)
    assert save(store, stream, 1, code_version=2)
    assert load(store, stream, snapshot="total", code_version=1) == [(3, {"total": 3}, 0)]


def test_snapshot_of_messages_that_are_not_there_is_not_saved(
    store: Store, stream: str, connect: Connect
) -> None:
    assert not save(store, stream, 1)
    store.write(stream)
    assert not save(store, stream, 2)
    other = connect(autocommit=False)
    store.query("SELECT STORE.write_message(%s, 'T', '{}')", [stream], on=other)
    assert not save(store, stream, 1)  # the writer holds the stream
    other.rollback()
    assert save(store, stream, 1)


def test_redaction_drops_the_snapshots_that_have_the_message(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    assert save(store, stream, 3)
    assert save(store, stream, 1, code_version=2)
    ((message_id,),) = store.query("SELECT message_id FROM STORE.read_stream(%s, 2, 1)", [stream])
    store.call("redact_message", message_id, "{}", "asked for")
    assert load(store, stream, snapshot="total", code_version=1)[0] == (0, None, 1)
    assert load(store, stream, snapshot="total", code_version=2)[0] == (1, {"total": 3}, 1)
    assert not save(store, stream, 3, changes=0)  # made of what was redacted
    assert save(store, stream, 3, changes=1)


def test_deletion_drops_the_snapshots_of_the_stream(store: Store, stream: str) -> None:
    store.write(stream)
    assert save(store, stream, 1)
    store.call("delete_stream", stream)
    with pytest.raises(psycopg.Error) as caught:
        load(store, stream, snapshot="total", code_version=1)
    assert caught.value.sqlstate == "MS008"
    store.write(stream)
    assert not save(store, stream, 2)


def test_an_emptied_store_has_no_snapshots(store: Store, stream: str) -> None:
    store.write(stream)
    assert save(store, stream, 1)
    store.call("empty_store", store.name)
    assert store.query("SELECT FROM STORE.snapshots").fetchall() == []
    store.write(stream)
    assert not save(store, stream, 2)


def test_stream_that_was_cut_off_is_loaded_only_from_a_snapshot_that_covers_it(
    store: Store, stream: str
) -> None:
    for _ in range(4):
        store.write(stream)
    assert save(store, stream, 2, name="cut")
    store.call("truncate_stream", stream, 3)
    mine = {"snapshot": "cut", "code_version": 1}
    assert load(store, stream, **mine) == [(2, {"total": 3}, 0), (3,), (4,)]
    with pytest.raises(psycopg.Error) as caught:
        load(store, stream)
    assert caught.value.sqlstate == "MS008"
    assert json.loads(caught.value.diag.message_detail or "") == {"stream": stream, "floor": 2}
    assert store.query("SELECT STORE.drop_snapshots('cut')").fetchall() == [(0,)]
    store.call("truncate_stream", stream, 4)
    with pytest.raises(psycopg.Error) as caught:
        load(store, stream, **mine)
    assert caught.value.sqlstate == "MS008"


def test_old_snapshots_can_be_dropped(store: Store) -> None:
    for stream in ("drop-1", "drop-2"):
        store.write(stream)
        assert save(store, stream, 1, name="old")
        assert save(store, stream, 1, code_version=2, name="old")
    drop = "SELECT STORE.drop_snapshots('old', %s)"
    assert store.query(drop, [1]).fetchall() == [(2,)]
    assert load(store, "drop-1", snapshot="old", code_version=2)[0] == (1, {"total": 3}, 0)
    assert store.query(drop, [None]).fetchall() == [(2,)]


def test_snapshot_of_a_stream_that_is_being_cut_off_is_not_dropped(
    store: Store, stream: str, connect: Connect
) -> None:
    for _ in range(3):
        store.write(stream)
    assert save(store, stream, 3, name="held")
    other = connect(autocommit=False)
    store.call("truncate_stream", stream, 3, on=other)
    assert store.call("drop_snapshots", "held") == [(0,)]
    other.commit()
    assert load(store, stream, snapshot="held", code_version=1) == [(3, {"total": 3}, 0)]


def test_a_known_state_is_continued(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    assert save(store, stream, 1)
    message_id = of_version(store, stream, 2, "message_id")
    known = {"known_message_id": message_id, "known_changes": 0}
    mine = {"snapshot": "total", "code_version": 1}
    assert load(store, stream, **mine, **known) == [(2, None, 0), (3,)]
    assert store.query(
        "SELECT message_id FROM STORE.load_stream(%s, known_message_id => %s, known_changes => 0)"
        " WHERE type IS NULL",
        [stream, message_id],
    ).fetchall() == [(message_id,)]
    # Of another stream, of none, of what was changed since, and too late.
    other = {**known, "known_message_id": of_version(store, other_stream(store), 1, "message_id")}
    assert load(store, stream, **mine, **other)[0][0] == 1
    assert load(store, stream, **mine, **{**known, "known_message_id": uuid4()})[0][0] == 1
    assert load(store, stream, **mine, **{**known, "known_changes": 1})[0][0] == 1
    assert load(store, stream, **mine, **known, to_version=1)[0][0] == 1


def other_stream(store: Store) -> str:
    stream = f"other-{uuid4()}"
    store.write(stream)
    return stream


def test_stream_is_loaded_at_a_time(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    times = [of_version(store, stream, version, "added_at") for version in (1, 2, 3)]
    assert load(store, stream, to_time=times[2]) == [(0, None, 0), (1,), (2,), (3,)]
    assert load(store, stream, to_time=times[1]) == [(0, None, 0), (1,), (2,)]
    assert load(store, stream, to_time="-infinity") == [(0, None, 0)]
    assert load(store, stream, to_time=times[1], to_version=1) == [(0, None, 0), (1,)]
    assert save(store, stream, 2)
    mine = {"snapshot": "total", "code_version": 1}
    assert load(store, stream, **mine, to_time=times[1]) == [(2, {"total": 3}, 0)]
    assert load(store, stream, **mine, to_time=times[0]) == [(0, None, 0), (1,)]
    store.call("truncate_stream", stream, 2)
    assert load(store, stream, **mine, to_time=times[1]) == [(2, {"total": 3}, 0)]
    # When the messages that are gone were added, nobody knows.
    with store.refused("MS008", stream=stream, floor=1):
        load(store, stream, **mine, to_time=times[0])
    store.call("truncate_stream", stream, 3)
    with store.refused("MS008", stream=stream, floor=2):
        load(store, stream, **mine, to_time=times[1])
    assert load(store, stream, **mine)[0] == (2, {"total": 3}, 0)


def test_truncation_tells_what_is_left_of_the_snapshots(
    store: Store, stream: str, connect: Connect
) -> None:
    conn = connect()
    warnings: list[str] = []
    conn.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
    for _ in range(5):
        store.write(stream)

    def cut(before_version: int) -> tuple[object, int]:
        warnings.clear()
        store.call("truncate_stream", stream, before_version, on=conn)
        ((*_, detail),) = store.call("list_audit", 1)
        return detail["snapshots"], len(warnings)

    assert cut(2) == (0, 0)
    assert save(store, stream, 2)
    assert save(store, stream, 4, code_version=2)
    assert cut(3) == (2, 0)
    assert cut(4) == (1, 0)
    assert cut(5) == (1, 0)
    assert cut(6) == (0, 1)
    assert stream in warnings[0]


def test_retention_keeps_only_snapshots_that_cover_the_cut(store: Store) -> None:
    for stream in ("kept-1", "kept-2", "kept-3"):
        for _ in range(3):
            store.write(stream)
    assert save(store, "kept-1", 1)
    assert save(store, "kept-2", 3)
    store.call("set_retention", "kept", max_count=0)
    store.call("apply_retention")
    found = store.query(
        "SELECT s.stream, n.version FROM STORE.snapshots AS n JOIN STORE.streams AS s"
        " USING (stream_id) WHERE s.category = 'kept'"
    )
    assert found.fetchall() == [("kept-2", 3)]
    mine = {"snapshot": "total", "code_version": 1}
    assert load(store, "kept-2", **mine) == [(3, {"total": 3}, 0)]
    for stream in ("kept-1", "kept-3"):
        with store.refused("MS008", stream=stream, floor=3):
            load(store, stream, **mine)


def test_redaction_in_a_stream_that_was_cut_off_leaves_no_state(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    assert save(store, stream, 3)
    store.call("truncate_stream", stream, 3)
    message_id = of_version(store, stream, 3, "message_id")
    store.call("redact_message", message_id, "{}", "asked for")
    with store.refused("MS008", stream=stream, floor=2):
        load(store, stream, snapshot="total", code_version=1)


def test_save_waits_for_nobody_and_holds_off_writers(
    store: Store, stream: str, connect: Connect
) -> None:
    store.write(stream)
    other = connect(autocommit=False)
    ((saved,),) = store.query(
        "SELECT STORE.save_snapshot(%s, 'total', 1, 1, '{}', 0)", [stream], on=other
    )
    assert saved
    assert not save(store, stream, 1, code_version=2)
    store.query("SET lock_timeout = '50ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        store.write(stream)
    store.query("RESET lock_timeout")
    other.rollback()
    assert save(store, stream, 1, code_version=2)


def test_a_transaction_that_only_reads_saves_nothing(
    store: Store, stream: str, connect: Connect
) -> None:
    store.write(stream)
    conn = connect(autocommit=False)
    conn.execute("SET TRANSACTION READ ONLY")
    ((saved,),) = store.query(
        "SELECT STORE.save_snapshot(%s, 'total', 1, 1, '{}', 0)", [stream], on=conn
    )
    assert not saved


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_save_refuses_an_old_view_of_the_stream(
    store: Store, stream: str, connect: Connect, level: str
) -> None:
    store.write(stream)
    conn = connect(autocommit=False)
    conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    with store.refused("MS004"):
        store.query("SELECT STORE.save_snapshot(%s, 'n', 1, 1, '{}', 0)", [stream], on=conn)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        ("load_stream('')", "stream"),
        ("load_stream(NULL)", "stream"),
        ("load_stream('s', to_version => -1)", "to_version"),
        ("load_stream('s', max_count => 0)", "max_count"),
        ("load_stream('s', snapshot => '', code_version => 1)", "snapshot"),
        ("load_stream('s', snapshot => 'n')", "code_version"),
        ("load_stream('s', code_version => 1)", "code_version"),
        ("load_stream('s', known_message_id => gen_random_uuid())", "known_changes"),
        ("save_snapshot('', 'n', 1, 1, '{}', 0)", "stream"),
        ("save_snapshot(NULL, 'n', 1, 1, '{}', 0)", "stream"),
        ("save_snapshot('s', '', 1, 1, '{}', 0)", "snapshot"),
        ("save_snapshot('s', 'n', NULL, 1, '{}', 0)", "code_version"),
        ("save_snapshot('s', 'n', 1, 0, '{}', 0)", "version"),
        ("save_snapshot('s', 'n', 1, 1, NULL, 0)", "state"),
        ("save_snapshot('s', 'n', 1, 1, '{}', NULL)", "changes"),
        ("drop_snapshots('')", "snapshot"),
    ],
)
def test_bad_arguments_are_refused(store: Store, call: str, argument: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        store.query(f"SELECT * FROM STORE.{call}")
    assert caught.value.sqlstate == "22023"
    assert json.loads(caught.value.diag.message_detail or "")["argument"] == argument
