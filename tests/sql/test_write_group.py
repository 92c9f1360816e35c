"""Messages of many streams in one statement: each is stored as by write_message, or not at all."""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.names import BAD_METADATA, BAD_STREAMS, BAD_TYPES, ODD_STREAMS, short
from tests.sql.roles import new_role
from tests.sql.store import Background, Connection, Store

Write = tuple[str | None, int | None]  # a stream, and the version expected of it

ALL = (
    "SELECT * FROM STORE.write_group(%s::text[], %s::text[], %s::jsonb[], %s::jsonb[],"
    " %s::bigint[], %s::uuid[])"
)


def group(
    store: Store,
    writes: Sequence[Write],
    *,
    ids: Sequence[UUID | None] | None = None,
    types: Sequence[str | None] | None = None,
    data: Sequence[str | None] | None = None,
    metadata: Sequence[str | None] | None = None,
    on: Connection | None = None,
) -> list[int | None]:
    """Write a group; the version of each message, None for one that was not stored."""
    ids = ids or [uuid4() for _ in writes]
    rows = store.query(
        ALL,
        [
            [stream for stream, _ in writes],
            types or ["A"] * len(writes),
            data or ["{}"] * len(writes),
            metadata,
            [version for _, version in writes],
            list(ids),
        ],
        on=on,
    ).fetchall()
    found = {message_id: version for message_id, version, _ in rows}
    assert len(found) == len(rows)
    return [found.get(message_id) for message_id in ids]


def test_group_answers_the_place_of_each_message(store: Store, stream: str) -> None:
    ids = [uuid4() for _ in range(3)]
    store.write(f"{stream}-1")
    cursor = store.query(
        "SELECT * FROM STORE.write_group(%s, '{A,B,C}', '{1,2,3}', NULL, NULL, %s)",
        [[f"{stream}-{n}" for n in range(3)], ids],
    )
    assert [each.name for each in cursor.description or ()] == [
        *("message_id", "version", "global_position")
    ]
    answers = sorted(cursor.fetchall(), key=lambda row: ids.index(row[0]))
    assert [row[1] for row in answers] == [1, 2, 1]
    for message_id, version, position in answers:
        assert store.call("get_message", message_id)[0][2:4] == (version, position)
    assert store.stored(f"{stream}-1")[1] == (2, "B", "2", None)


def test_each_message_has_its_own_expected_version(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(f"{stream}-old")
    writes: list[Write] = [
        *((f"{stream}-old", 3), (f"{stream}-new", 0), (f"{stream}-any", None)),
        *((f"{stream}-wrong", 1), (f"{stream}-negative", -1)),
    ]
    assert group(store, writes) == [4, 1, 1, None, None]
    assert group(store, [(f"{stream}-old", 3), (f"{stream}-new", 0)]) == [None, None]
    assert store.call("stream_version", f"{stream}-wrong") == [(0,)]


@pytest.mark.parametrize("exists", [False, True])
def test_messages_of_one_stream_are_stored_in_their_order(
    store: Store, stream: str, exists: bool
) -> None:
    if exists:
        store.write(stream, "A", "0")
    first = int(exists)
    writes: list[Write] = [
        *((stream, first), (f"{stream}-other", None), (stream, None), (stream, first)),
        *((stream, first + 2), (stream, None)),
    ]
    answers = group(store, writes, data=["1", "2", "3", "4", "5", "6"])
    assert answers == [first + 1, 1, first + 2, None, first + 3, first + 4]
    assert [row[2] for row in store.stored(stream)][first:] == ["1", "3", "5", "6"]
    rows = store.call("read_stream", stream)
    assert [row[3] for row in rows] == sorted(row[3] for row in rows)


def test_message_that_is_not_stored_makes_no_stream(store: Store, stream: str) -> None:
    known = uuid4()
    store.write(stream, message_id=known)
    before = store.counts()
    assert group(store, [(f"{stream}-1", 7)]) == [None]
    assert group(store, [(f"{stream}-2", None)], ids=[known]) == [None]
    assert group(store, [(f"{stream}-3", 0)], metadata=["[]"]) == [None]
    assert store.counts() == before


def test_an_id_in_use_is_not_stored_again_and_takes_no_version(store: Store, stream: str) -> None:
    known = uuid4()
    store.write(stream, message_id=known)
    writes: list[Write] = [(stream, None), (stream, None), (f"{stream}-other", None)]
    assert group(store, writes, ids=[known, uuid4(), uuid4()]) == [None, 2, 1]
    assert [row[0] for row in store.stored(stream)] == [1, 2]


def test_one_id_in_two_messages_is_stored_for_neither(store: Store, stream: str) -> None:
    twice = uuid4()
    writes: list[Write] = [(stream, 5), (f"{stream}-2", None), (f"{stream}-3", None)]
    assert group(store, writes, ids=[twice, twice, uuid4()]) == [None, None, 1]
    assert store.call("get_message", twice) == []


BAD: dict[str, dict[str, Any]] = {
    **{f"stream {short(each)}": {"stream": each} for each in BAD_STREAMS},
    **{f"type {short(each)}": {"type": each} for each in BAD_TYPES},
    **{f"metadata {each}": {"metadata": each} for each in BAD_METADATA},
    "no data": {"data": None},
    "deep data": {"data": "[" * 101 + "]" * 101},
    "deep metadata": {"metadata": '{"a": ' + "[" * 100 + "]" * 100 + "}"},
    "data that is long as a text": {"data": '{"a": [' + "1e131071," * 5000 + "1]}"},
    "no id": {"message_id": None},
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_arguments_keep_one_message_out_and_no_other(
    store: Store, stream: str, bad: str
) -> None:
    good = {
        "stream": f"{stream}-bad",
        "type": "A",
        "data": "{}",
        "metadata": None,
        "message_id": uuid4(),
    }
    one = {**good, **BAD[bad]}
    before = store.counts()[0]
    answers = group(
        store,
        [(stream, None), (one["stream"], None), (stream, None)],
        types=["A", one["type"], "A"],
        data=["1", one["data"], "3"],
        metadata=[None, one["metadata"], "{}"],
        ids=[uuid4(), one["message_id"], uuid4()],
    )
    assert answers == [1, None, 2]
    assert store.counts()[0] == before + 2


def test_names_may_be_odd(store: Store) -> None:
    streams = [f"{uuid4().hex}{name}" for name in ODD_STREAMS if len(name) < 100]
    assert group(store, [(each, 0) for each in streams]) == [1] * len(streams)
    for each in streams:
        assert store.call("stream_version", each) == [(1,)]
        assert store.query(
            "SELECT count(*) FROM STORE.read_category(STORE.category(%s)) AS r WHERE stream = %s",
            [each, each],
        ).fetchone() == (1,)


@pytest.mark.parametrize("place", range(6))
def test_arrays_of_different_lengths_are_refused(store: Store, stream: str, place: int) -> None:
    one: list[object] = [stream, "A", "1", None, None, uuid4()]
    arrays = [[each, each] for each in one]
    arrays[place] = arrays[place][:1]
    with store.refused("22023", argument="messages"):
        store.query(ALL, arrays)


def test_no_messages_are_no_rows(store: Store) -> None:
    assert store.query(ALL, [[], [], [], [], [], []]).fetchall() == []
    assert store.query(ALL, [None] * 6).fetchall() == []


def test_a_stream_that_another_transaction_holds_is_left_out_at_once(
    store: Store, stream: str, connect: Connect
) -> None:
    store.write(f"{stream}-old")
    other = connect(autocommit=False)
    for held in ("old", "new"):
        store.write(f"{stream}-{held}", on=other)
    with store.conn.transaction():
        store.query("SET LOCAL lock_timeout = '1ms'; SET LOCAL statement_timeout = '10s'")
        writes: list[Write] = [(f"{stream}-{each}", None) for each in ("old", "free", "new")]
        assert group(store, writes) == [None, 1, None]
    other.rollback()
    assert group(store, writes) == [2, 2, 1]


def test_a_group_waits_for_an_uncommitted_id_but_not_for_long(
    store: Store, stream: str, connect: Connect
) -> None:
    held = uuid4()
    other = connect(autocommit=False)
    store.write(f"{stream}-other", message_id=held, on=other)
    with store.refused("55P03"):
        group(store, [(stream, None), (f"{stream}-2", None)], ids=[uuid4(), held])
    assert store.query("SHOW lock_timeout").fetchone() == ("0",)
    other.rollback()
    assert group(store, [(stream, None)], ids=[held]) == [1]


def test_ids_in_opposite_order_end_in_an_error_and_not_in_a_wait_for_ever(
    store: Store, stream: str, connect: Connect
) -> None:
    ids = [uuid4(), uuid4()]
    sessions = [connect(autocommit=False), connect(autocommit=False)]
    for n in (0, 1):
        assert group(store, [(f"{stream}-{n}", 0)], ids=[ids[n]], on=sessions[n]) == [1]

    def meet(n: int) -> tuple[int, int]:
        return len(group(store, [(f"{stream}-{n}", 1)], ids=[ids[1 - n]], on=sessions[n])), 0

    errors = []
    for step in [Background(partial(meet, n)) for n in (0, 1)]:
        try:
            step.result()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            errors.append(error)
    assert errors
    for each in sessions:
        each.rollback()
    writes: list[Write] = [(f"{stream}-{n}", 0) for n in (0, 1)]
    assert group(store, writes, ids=ids) == [1, 1]


def test_an_id_that_is_committed_meanwhile_leaves_no_stream_without_messages(
    empty: Store, connect: Connect
) -> None:
    empty.query("ALTER ROUTINE STORE.write_group SET lock_timeout = '20s'")
    held = uuid4()
    with (
        psycopg.connect(empty.conn.info.dsn) as other,
        psycopg.connect(empty.conn.info.dsn, autocommit=True) as waiting,
    ):
        empty.write("account-other", message_id=held, on=other)
        step = Background(
            lambda: (
                len(
                    group(empty, [("account-new", 0), ("b-1", 0)], ids=[held, uuid4()], on=waiting)
                ),
                0,
            )
        )
        empty.wait_until_blocked(waiting)
        other.commit()
        with pytest.raises(psycopg.errors.SerializationFailure):
            step.result()
    assert empty.counts() == (1, 1)


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_with_a_snapshot_of_the_transaction_none_is_stored(
    store: Store, stream: str, connect: Connect, isolation: str
) -> None:
    other = connect(autocommit=False)
    other.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
    assert group(store, [(stream, None)], on=other) == [None]
    other.commit()
    assert store.call("stream_version", stream) == [(0,)]


def test_a_stream_that_was_cut_off_continues(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    store.call("delete_stream", stream, None)
    assert group(store, [(stream, 0), (stream, 3), (stream, None)]) == [None, 4, 5]


def test_a_restricted_role_writes_to_its_categories_only(
    store: Store, stream: str, connect: Connect
) -> None:
    category = f"mine{uuid4().hex}"
    store.write(stream)
    with new_role(store) as role:
        store.call("grant_access", role, "write", [category])
        with connect(user=role) as writer:
            writes: list[Write] = [
                *((f"{category}-1", 0), (stream, None), (f"{stream}-new", 0)),
                *((f"{category}-1", 1), (f"{category}-2", None)),
            ]
            assert group(store, writes, on=writer) == [1, None, None, 2, 1]
    assert [row[0] for row in store.stored(stream)] == [1]
    assert store.call("stream_version", f"{stream}-new") == [(0,)]


def test_readers_do_not_pass_a_group_that_has_not_committed(
    store: Store, stream: str, connect: Connect
) -> None:
    store.write(stream)
    other = connect(autocommit=False)
    group(store, [(f"{stream}-1", None), (f"{stream}-2", None)], on=other)
    store.write(stream)
    ((first,),) = other.execute(
        f"SELECT min(a.global_position) FROM {store.name}.all_messages AS a WHERE a.stream LIKE %s",
        [f"{stream}-%"],
    ).fetchall()
    assert store.call("safe_position")[0][0] < first
    other.commit()
    assert store.call("safe_position")[0][0] > first


def test_calls_that_store_nothing_take_no_mark_each(
    store: Store, stream: str, connect: Connect
) -> None:
    other = connect(autocommit=False)
    for n in range(9):
        store.write(f"{stream}-{n}")
        assert group(store, [(f"{stream}-{n}", 7)], on=other) == [None]
    held = other.execute(
        "SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
        " AND mode = 'ShareLock'"
    )
    assert held.rowcount <= 4
