"""Tags of messages that are scheduled, or written by synchronize_stream."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.conftest import Connect
from tests.sql.store import Store

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def found(store: Store, *tags: str) -> list[object]:
    *rows, _ = store.call("read_tagged", json.dumps([{"tags": tags}]))
    return [row[0] for row in rows]


def test_a_scheduled_message_keeps_its_tags(store: Store, stream: str) -> None:
    tag = f"a:{uuid4()}"
    ((first,),) = store.call("schedule_message", stream, "A", "{}", LONG_AGO, tags=["z", tag, tag])
    assert [row[7] for row in store.call("list_scheduled", stream)] == [[tag, "z"]]
    assert found(store, tag) == []
    store.call("deliver_scheduled")
    assert found(store, tag, "z") == [first]
    assert [row[8] for row in store.call("read_stream", stream)] == [[tag, "z"]]


def test_scheduling_an_id_with_other_tags_is_refused(store: Store, stream: str) -> None:
    ((message_id,),) = store.call("schedule_message", stream, "A", "{}", LONG_AGO, tags=["a", "b"])

    def again(tags: list[str] | None) -> None:
        store.call(
            "schedule_message", stream, "A", "{}", LONG_AGO, message_id=message_id, tags=tags
        )

    for _ in "scheduled", "written":
        again(["b", "a"])
        for other in (["a"], None):
            with store.refused("MS002", message_id=str(message_id)):
                again(other)
        store.call("deliver_scheduled")
    assert len(store.stored(stream)) == 1


def test_bad_tags_are_not_scheduled(store: Store, stream: str) -> None:
    with store.refused("22023", argument="tags"):
        store.call("schedule_message", stream, "A", "{}", LONG_AGO, tags=[""])
    assert store.call("list_scheduled", stream) == []


def test_a_delivery_waits_for_no_condition(store: Store, stream: str, connect: Connect) -> None:
    tag = f"a:{uuid4()}"
    store.call("schedule_message", f"{stream}-due", "A", "{}", LONG_AGO, tags=["b", tag])
    query = json.dumps([{"tags": [tag]}])
    with connect().transaction() as other:
        store.call(
            "write_if", stream, '[{"type": "A", "data": 1}]', query, "0+", on=other.connection
        )
        impatient = connect()
        impatient.execute("SET lock_timeout = '2s'")
        assert store.call("deliver_scheduled", on=impatient)[0][0] == 0
    assert store.call("deliver_scheduled")[0][0] == 1
    assert len(found(store, tag)) == 1


def test_a_delivery_locks_a_thousand_tags_at_most(store: Store, stream: str) -> None:
    due = LONG_AGO - timedelta(days=1)
    for n in range(40):
        tags = [f"{stream}:{n}:{i}" for i in range(32)]
        store.call("schedule_message", f"{stream}-{n}", "A", "{}", due, tags=tags)
    locked = (
        "SELECT count(*) FROM pg_locks AS l WHERE l.pid = pg_backend_pid()"
        " AND l.locktype = 'advisory' AND l.classid::bigint = STORE._tag_lock_class() & 4294967295"
    )
    for delivered in (32, 8):
        with store.conn.transaction():
            assert store.call("deliver_scheduled")[0][0] == delivered
            assert store.query(locked).fetchall() == [(32 * delivered,)]
    assert len(store.call("list_scheduled", f"{stream}-39")) == 0


def test_synchronize_stream_writes_tags(store: Store, stream: str) -> None:
    tag = f"a:{uuid4()}"
    ids = [uuid4(), uuid4()]
    statement = (
        "SELECT version FROM STORE.synchronize_stream("
        "%s, '{}', '{A,B}', '{1,2}', NULL, %s::uuid[], %s::jsonb[])"
    )
    for _ in "new", "repeated":
        rows = store.query(statement, [stream, ids, [None, json.dumps([tag])]])
        assert rows.fetchall() == [(2,)]
    assert found(store, tag) == ids[1:]
    with store.refused("22023", argument="messages"):
        store.query(statement, [f"{stream}-b", ids, [json.dumps([tag])]])
