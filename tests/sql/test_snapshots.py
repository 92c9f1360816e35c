import json

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Store

STATE = json.dumps({"total": 3})


def load(store: Store, stream: str, **arguments: object) -> list[tuple[object, ...]]:
    """Version, data and changes of each row; of a message the version alone."""
    names = "".join(f", {name} => %({name})s" for name in arguments)
    rows = store.query(
        f"SELECT message_id IS NULL, version, data, changes FROM STORE.load_stream(%(s)s{names})",
        {"s": stream, **arguments},
    )
    return [row[1:] if row[0] else (row[1],) for row in rows]


def position(store: Store, stream: str, version: int) -> int:
    ((found,),) = store.query(
        "SELECT global_position FROM STORE.read_stream(%s, %s, 1)", [stream, version]
    )
    return int(found)


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


def test_a_known_state_is_continued(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    assert save(store, stream, 1)
    known = {"known_version": 2, "known_position": position(store, stream, 2), "known_changes": 0}
    mine = {"snapshot": "total", "code_version": 1}
    assert load(store, stream, **mine, **known) == [(2, None, 0), (3,)]
    # A message of another history is at that version.
    assert load(store, stream, **mine, **{**known, "known_position": 1})[0][0] == 1
    assert load(store, stream, **mine, **{**known, "known_version": 9})[0][0] == 1
    assert load(store, stream, **mine, **{**known, "known_changes": 1})[0][0] == 1
    assert load(store, stream, **mine, **known, to_version=1)[0][0] == 1


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        ("load_stream('')", "stream"),
        ("load_stream(NULL)", "stream"),
        ("load_stream('s', to_version => -1)", "to_version"),
        ("load_stream('s', max_count => 0)", "max_count"),
        ("save_snapshot('s', '', 1, 1, '{}', 0)", "snapshot"),
        ("save_snapshot('s', 'n', NULL, 1, '{}', 0)", "code_version"),
        ("save_snapshot('s', 'n', 1, 0, '{}', 0)", "version"),
        ("save_snapshot('s', 'n', 1, 1, NULL, 0)", "state"),
        ("drop_snapshots('')", "snapshot"),
    ],
)
def test_bad_arguments_are_refused(store: Store, call: str, argument: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        store.query(f"SELECT * FROM STORE.{call}")
    assert caught.value.sqlstate == "22023"
    assert json.loads(caught.value.diag.message_detail or "")["argument"] == argument
