from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.names import (
    BAD_METADATA,
    BAD_STREAMS,
    BAD_TYPES,
    JSON_VALUES,
    ODD_STREAMS,
    short,
)
from tests.sql.store import Background, Store


def test_write_message_answers_version_and_global_position(store: Store, stream: str) -> None:
    cursor = store.query("SELECT * FROM STORE.write_message(%s, 'A', '{}')", [stream])
    assert [column.name for column in cursor.description or ()] == ["version", "global_position"]
    (answer,) = cursor.fetchall()
    assert (
        answer
        == store.query(
            "SELECT a.version, a.global_position FROM STORE.all_messages AS a WHERE a.stream = %s",
            [stream],
        ).fetchone()
    )
    assert answer[0] == 1


def test_write_message_versions_have_no_gaps_and_positions_rise(store: Store, stream: str) -> None:
    answers = [store.write(stream) for _ in range(5)]
    assert [version for version, _ in answers] == [1, 2, 3, 4, 5]
    positions = [position for _, position in answers]
    assert positions == sorted(set(positions))


def test_write_message_stores_what_it_was_given(store: Store, stream: str) -> None:
    store.write(stream, "Deposited", '{"amount": 10}', '{"by": "me"}')
    store.write(stream, "Closed", "null")
    assert store.stored(stream) == [
        (1, "Deposited", '{"amount": 10}', '{"by": "me"}'),
        (2, "Closed", "null", None),
    ]


def test_write_message_takes_every_parameter_by_name(store: Store, stream: str) -> None:
    message_id = uuid4()
    store.write(
        message_id=message_id,
        expected_version=0,
        metadata='{"m": 1}',
        data="[2]",
        type="T",
        stream=stream,
    )
    ((stored_id,),) = store.query(
        "SELECT a.message_id FROM STORE.all_messages AS a WHERE a.stream = %s", [stream]
    ).fetchall()
    assert stored_id == message_id
    assert store.stored(stream) == [(1, "T", "[2]", '{"m": 1}')]


def test_write_message_makes_an_id_when_none_is_given(store: Store, stream: str) -> None:
    for _ in range(3):
        store.write(stream)
    ids: list[UUID] = [
        row[0]
        for row in store.query(
            "SELECT a.message_id FROM STORE.all_messages AS a WHERE a.stream = %s"
            " ORDER BY a.version",
            [stream],
        )
    ]
    assert [made.version for made in ids] == [7, 7, 7]
    assert len(set(ids)) == 3


def test_write_message_notes_the_time_by_the_servers_clock(store: Store, stream: str) -> None:
    with store.conn.transaction():
        store.query("SELECT pg_sleep(0.02)")
        store.write(stream)
        ((since_begin, until_now),) = store.query(
            "SELECT a.added_at - now(), clock_timestamp() - a.added_at"
            " FROM STORE.all_messages AS a WHERE a.stream = %s",
            [stream],
        ).fetchall()
    assert since_begin >= timedelta(milliseconds=20)
    assert timedelta(0) <= until_now < timedelta(seconds=10)


@pytest.mark.parametrize("already", [0, 1, 3])
def test_write_message_accepts_the_version_the_stream_is_at(
    store: Store, stream: str, already: int
) -> None:
    for _ in range(already):
        store.write(stream)
    assert store.write(stream, expected_version=already)[0] == already + 1


@pytest.mark.parametrize(("already", "expected"), [(0, 1), (1, 0), (1, 2), (3, 2), (3, 2**62)])
def test_write_message_refuses_another_version(
    store: Store, stream: str, already: int, expected: int
) -> None:
    for _ in range(already):
        store.write(stream)
    with store.refused("MS001", stream=stream, expected_version=expected, actual_version=already):
        store.write(stream, expected_version=expected)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[("type", value) for value in BAD_TYPES],
        ("data", None),
        *[("metadata", value) for value in BAD_METADATA],
        ("expected_version", -1),
        ("expected_version", -(2**63)),
    ],
    ids=short,
)
def test_write_message_refuses_a_bad_argument(
    store: Store, stream: str, argument: str, value: Any, exists: bool
) -> None:
    if exists:
        store.write(stream)
    with store.refused("22023", argument=argument):
        store.write(stream, **{"type": "A", "data": "{}", argument: value})


@pytest.mark.parametrize("stream", BAD_STREAMS, ids=short)
def test_write_message_refuses_a_bad_stream(store: Store, stream: object) -> None:
    with store.refused("22023", argument="stream"):
        store.write(stream)


def test_write_message_takes_a_type_of_255_bytes(store: Store, stream: str) -> None:
    store.write(stream, "ä" * 127 + "x", "{}")
    assert store.stored(stream)[0][1] == "ä" * 127 + "x"


def test_write_message_cannot_be_given_a_nul(store: Store, stream: str) -> None:
    with store.refused("22P05"):
        store.write(stream, "A", '{"text": "\\u0000"}')
    with store.refused("22P05"):
        store.write(stream, "A", "{}", '{"\\u0000": 1}')
    for given in ("convert_from('\\x610062', 'UTF8'), 'A'", "'a', convert_from('\\x00', 'UTF8')"):
        with store.refused("22021"):
            store.query(f"SELECT * FROM STORE.write_message({given}, '{{}}')")


@pytest.mark.parametrize("value", JSON_VALUES, ids=short)
def test_write_message_keeps_any_json_value(store: Store, stream: str, value: str) -> None:
    store.write(stream, "A", value)
    assert store.stored(stream)[0][2] == JSON_VALUES[value]


@pytest.mark.parametrize("stream", ODD_STREAMS, ids=short)
def test_write_message_takes_any_stream_name(store: Store, stream: str) -> None:
    assert store.write(stream, expected_version=0)[0] == 1
    assert store.write(stream, expected_version=1)[0] == 2
    assert [row[0] for row in store.stored(stream)] == [1, 2]
    category = store.query(
        "SELECT s.category FROM STORE.streams AS s WHERE s.stream = %s", [stream]
    )
    assert category.fetchall() == [(ODD_STREAMS[stream],)]


def test_write_message_tells_similar_streams_apart(store: Store, stream: str) -> None:
    for name in (stream, stream.upper(), stream + " ", stream + "-"):
        assert store.write(name) == (1, store.call("last_message", name)[0][3])


def test_write_message_belongs_to_the_callers_transaction(store: Store, stream: str) -> None:
    before = store.counts()
    with store.conn.transaction(force_rollback=True):
        assert store.write(stream)[0] == 1
        assert store.write(stream + "-other")[0] == 1
        assert store.write(stream, expected_version=1)[0] == 2
    assert store.counts() == before
    assert store.write(stream, expected_version=0)[0] == 1


def test_write_message_goes_on_after_a_savepoint_was_rolled_back(store: Store, stream: str) -> None:
    with store.conn.transaction():
        with store.conn.transaction(force_rollback=True):
            assert store.write(stream)[0] == 1
        assert store.write(stream, expected_version=0)[0] == 1
        with pytest.raises(psycopg.Error), store.conn.transaction():
            store.write(stream, expected_version=0)
        assert store.write(stream, expected_version=1)[0] == 2
    assert [row[0] for row in store.stored(stream)] == [1, 2]


def test_write_message_makes_writers_of_one_stream_wait(
    store: Store, stream: str, connect: Connect
) -> None:
    first, second = connect(autocommit=False), connect()
    for outcome, version in ((first.rollback, 1), (first.commit, 3)):
        store.write(stream, on=first)
        waiting = Background(lambda: store.write(stream, on=second))
        store.wait_until_blocked(second)
        outcome()
        assert waiting.result()[0] == version


def test_write_message_lets_writers_of_other_streams_pass(
    store: Store, stream: str, connect: Connect
) -> None:
    first = connect(autocommit=False)
    second = connect(options="-c statement_timeout=5s")
    store.write(stream, on=first)
    assert store.write(stream + "-other", on=second)[0] == 1


@pytest.mark.parametrize("committed", [True, False])
def test_write_message_waits_for_whoever_writes_the_same_id(
    store: Store, stream: str, connect: Connect, committed: bool
) -> None:
    first, second = connect(autocommit=False), connect()
    message_id, other = uuid4(), stream + "-other"
    store.write(stream, on=first, message_id=message_id)
    waiting = Background(lambda: store.write(other, on=second, message_id=message_id))
    store.wait_until_blocked(second)
    if not committed:
        first.rollback()
        assert waiting.result()[0] == 1
        return
    first.commit()
    with store.refused("MS002", stream=stream, message_id=str(message_id)):
        waiting.result()


def test_write_message_outside_of_from_writes_twice(store: Store, stream: str) -> None:
    """PostgreSQL evaluates it once for each column: the comment and the docs warn."""
    store.query("SELECT (STORE.write_message(%s, 'A', '{}')).*", [stream])
    assert len(store.stored(stream)) == 2
    comment = "SELECT obj_description('STORE.write_message'::regproc, 'pg_proc')"
    assert "writes the message twice" in str(store.query(comment).fetchone())
