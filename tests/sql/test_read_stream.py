from typing import Any

import pytest

from tests.sql.names import ODD_STREAMS, short
from tests.sql.store import COLUMNS, Store

COUNT = 5


@pytest.fixture
def filled(store: Store, stream: str) -> str:
    """A stream of five messages."""
    for n in range(COUNT):
        store.write(stream, f"T{n}", str(n), f'{{"m": {n}}}')
    store.write(stream + "-other")
    return stream


def versions(store: Store, *given: object, **named: Any) -> list[int]:
    return [row[2] for row in store.call("read_stream", *given, **named)]


def test_read_stream_answers_messages_in_order(store: Store, filled: str) -> None:
    cursor = store.query("SELECT * FROM STORE.read_stream(%s)", [filled])
    assert [column.name for column in cursor.description or ()] == COLUMNS
    rows = cursor.fetchall()
    assert [row[1:3] + row[4:7] for row in rows] == [
        (filled, n + 1, f"T{n}", n, {"m": n}) for n in range(COUNT)
    ]
    assert (
        rows
        == store.query(
            "SELECT * FROM STORE.all_messages AS a WHERE a.stream = %s ORDER BY a.version", [filled]
        ).fetchall()
    )


@pytest.mark.parametrize(
    ("from_version", "forward", "backward"),
    [
        (None, [1, 2, 3, 4, 5], [5, 4, 3, 2, 1]),
        (-(2**63), [1, 2, 3, 4, 5], []),
        (-1, [1, 2, 3, 4, 5], []),
        (0, [1, 2, 3, 4, 5], []),
        (1, [1, 2, 3, 4, 5], [1]),
        (3, [3, 4, 5], [3, 2, 1]),
        (5, [5], [5, 4, 3, 2, 1]),
        (6, [], [5, 4, 3, 2, 1]),
        (2**63 - 1, [], [5, 4, 3, 2, 1]),
    ],
)
def test_read_stream_begins_at_a_version(
    store: Store, filled: str, from_version: int | None, forward: list[int], backward: list[int]
) -> None:
    assert versions(store, filled, from_version) == forward
    assert versions(store, filled, from_version, 1000, True) == backward


@pytest.mark.parametrize("max_count", [0, 1, 3, 5, 6, 2**63 - 1])
def test_read_stream_ends_after_max_count(store: Store, filled: str, max_count: int) -> None:
    assert versions(store, filled, max_count=max_count) == [1, 2, 3, 4, 5][:max_count]
    assert (
        versions(store, filled, max_count=max_count, backward=True) == [5, 4, 3, 2, 1][:max_count]
    )


def test_read_stream_takes_every_parameter_by_name(store: Store, filled: str) -> None:
    assert versions(store, backward=True, max_count=2, from_version=4, stream=filled) == [4, 3]


def test_read_stream_reads_1000_unless_told_otherwise(store: Store, stream: str) -> None:
    store.query(
        "SELECT STORE.write_arrays(%s, array_fill('A'::text, '{1002}'),"
        " array_fill('1'::jsonb, '{1002}'))",
        [stream],
    )
    assert versions(store, stream) == list(range(1, 1001))
    assert versions(store, stream, backward=True) == list(range(1002, 2, -1))


def test_read_stream_of_an_empty_stream_is_empty(store: Store, stream: str) -> None:
    before = store.counts()
    assert versions(store, stream) == versions(store, stream, backward=True) == []
    assert store.counts() == before


@pytest.mark.parametrize("stream", ODD_STREAMS, ids=short)
def test_read_stream_finds_any_stream_name(store: Store, stream: str) -> None:
    store.write(stream)
    ((_, name, version, *_),) = store.call("read_stream", stream)
    assert (name, version) == (stream, 1)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("stream", None),
        ("stream", ""),
        ("max_count", None),
        ("max_count", -1),
        ("max_count", -(2**63)),
        ("backward", None),
    ],
)
def test_read_stream_refuses_a_bad_argument(
    store: Store, stream: str, argument: str, value: Any
) -> None:
    with store.refused("22023", argument=argument):
        store.call("read_stream", **{"stream": stream, argument: value})


def test_read_stream_sees_the_callers_own_writes(store: Store, stream: str) -> None:
    with store.conn.transaction(force_rollback=True):
        store.write(stream)
        assert versions(store, stream) == [1]
        store.write(stream)
        assert versions(store, stream) == [1, 2]
    assert versions(store, stream) == []


def test_read_stream_does_not_wait_for_writers(store: Store, filled: str) -> None:
    with store.conn.transaction():
        store.query("SET LOCAL lock_timeout = '1s'")
        assert versions(store, filled) == [1, 2, 3, 4, 5]
        locks = "SELECT FROM pg_locks AS l WHERE l.pid = pg_backend_pid() AND l.mode LIKE %s"
        assert store.query(locks, ["%Exclusive%"]).rowcount == 1  # its own transaction
