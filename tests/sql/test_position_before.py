"""The position to go on after to get what was added from a time on."""

from uuid import uuid4

import pytest

from tests.sql.store import Store


def position(store: Store, moment: str) -> int:
    ((found,),) = store.call("position_before", moment)
    return int(found)


@pytest.fixture
def first(store: Store, stream: str) -> int:
    """Position of the first of 100 messages, one a second, the last but ten at noon of a day."""
    store.query("DELETE FROM STORE.messages")
    ((first, *_),) = store.query(
        "SELECT min(w.global_position) FROM generate_series(1, 100) AS g (n)"
        " CROSS JOIN LATERAL STORE.write_message(%s || g.n, 'A', '1') AS w",
        [f"s{uuid4().hex}-"],
    ).fetchall()
    store.query(
        "UPDATE STORE.messages AS m SET added_at ="
        " timestamptz '2020-01-01 12:00Z' + (m.global_position - %s - 89) * interval '1 second'",
        [first],
    )
    return int(first)


def test_position_before_a_time(store: Store, first: int) -> None:
    assert position(store, "2020-01-01 12:00Z") == first + 88
    assert position(store, "2020-01-01 12:00:00.5Z") == first + 89
    assert position(store, "2020-01-01 14:00+02:00") == first + 88
    assert position(store, "infinity") == first + 99
    for early in ("-infinity", "2020-01-01 11:58:31Z", "2019-01-01 00:00Z"):
        assert position(store, early) < first


def test_position_before_a_time_finds_those_that_were_overtaken(store: Store, first: int) -> None:
    """A message with a later time and a lower position than others is not passed over."""
    store.query(
        "UPDATE STORE.messages AS m SET added_at = '2020-01-01 12:00Z'"
        " WHERE m.global_position = %s",
        [first + 40],
    )
    assert position(store, "2020-01-01 12:00Z") == first + 39


def test_position_before_a_time_with_gaps(store: Store, first: int) -> None:
    store.query("DELETE FROM STORE.messages AS m WHERE m.global_position % 7 <> 0")
    times = store.query(
        "SELECT m.global_position, m.added_at FROM STORE.messages AS m ORDER BY 1"
    ).fetchall()
    for n, (_, time) in enumerate(times):
        found = position(store, str(time))
        before = times[n - 1][0] if n else 0
        assert before <= found < times[n][0]
