"""A write that is repeated with the id it had, at its place or elsewhere."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.sql.store import Store

FIRST: dict[str, Any] = {"type": "A", "data": '{"n": 1}', "metadata": '{"m": 1}'}


@pytest.mark.parametrize("expected", [None, 0])
@pytest.mark.parametrize("expected_before", [None, 0])
@pytest.mark.parametrize("later", [0, 1, 5])
def test_write_message_repeated_gives_the_first_answer(
    store: Store, stream: str, expected_before: int | None, expected: int | None, later: int
) -> None:
    message_id = uuid4()
    first = store.write(stream, **FIRST, message_id=message_id, expected_version=expected_before)
    for _ in range(later):
        store.write(stream)
    before = store.counts()
    for _ in range(2):
        assert first == store.write(
            stream, **FIRST, message_id=message_id, expected_version=expected
        )
    assert store.counts() == before
    assert store.write(stream)[0] == later + 2


def test_write_message_repeated_in_the_middle_of_a_stream(store: Store, stream: str) -> None:
    message_id = uuid4()
    store.write(stream)
    first = store.write(stream, message_id=message_id, expected_version=1)
    store.write(stream)
    assert store.write(stream, message_id=message_id, expected_version=1) == first
    assert store.write(stream, message_id=message_id) == first


def test_write_message_repeated_in_the_same_transaction(store: Store, stream: str) -> None:
    message_id = uuid4()
    with store.conn.transaction():
        first = store.write(stream, message_id=message_id, expected_version=0)
        assert store.write(stream, message_id=message_id, expected_version=0) == first
    assert store.write(stream, message_id=message_id) == first


@pytest.mark.parametrize("stored", [None, '{"m": 1}', '{"m": 1, "correlation_id": "a"}'])
@pytest.mark.parametrize("key", ["causation_id", "correlation_id", "traceparent", "tracestate"])
def test_write_message_repeated_may_have_another_cause(
    store: Store, stream: str, key: str, stored: str | None
) -> None:
    message_id = uuid4()
    answer = store.write(stream, metadata=stored, message_id=message_id)
    own = '"m": 1, ' if stored else ""
    again = f'{{{own}"{key}": "b"}}'
    assert store.write(stream, metadata=again, message_id=message_id) == answer


@pytest.mark.parametrize(
    "repeat",
    [{}, {"metadata": None}, {"data": '{"a": 1.0, "b": [2]}'}],
    ids=["as it was", "metadata NULL", "the same JSON written otherwise"],
)
def test_write_message_repeated_compares_values(
    store: Store, stream: str, repeat: dict[str, Any]
) -> None:
    message_id = uuid4()
    first: dict[str, Any] = {"type": "A", "data": '{"b":[2],"a":1}'}
    answer = store.write(stream, **first, message_id=message_id)
    assert store.write(stream, **first | repeat, message_id=message_id) == answer


def test_write_message_of_json_null_repeated(store: Store, stream: str) -> None:
    message_id = uuid4()
    answer = store.write(stream, "A", "null", message_id=message_id)
    assert store.write(stream, "A", "null", message_id=message_id) == answer


@pytest.mark.parametrize(
    "other",
    [
        {"type": "B"},
        {"data": '{"n": 2}'},
        {"data": "null"},
        {"metadata": None},
        {"metadata": "{}"},
        {"metadata": '{"m": 2}'},
        {"expected_version": 1},
        {"expected_version": 2},
        {"expected_version": 7},
        {"stream": "elsewhere-1"},
        {"stream": "elsewhere-1", "expected_version": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("later", [0, 1])
def test_write_message_refuses_an_id_that_is_used(
    store: Store, stream: str, other: dict[str, Any], later: int
) -> None:
    message_id = uuid4()
    version, position = store.write(stream, **FIRST, message_id=message_id)
    for _ in range(later):
        store.write(stream)
    with store.refused(
        "MS002",
        message_id=str(message_id),
        stream=stream,
        version=version,
        global_position=position,
    ):
        store.write(**{"stream": stream} | FIRST | other, message_id=message_id)


@pytest.mark.parametrize(
    "wrong",
    [{"type": ""}, {"data": None}, {"metadata": "[]"}, {"expected_version": -1}],
    ids=str,
)
def test_write_message_repeated_with_a_bad_argument_is_refused_for_that(
    store: Store, stream: str, wrong: dict[str, Any]
) -> None:
    message_id = uuid4()
    store.write(stream, **FIRST, message_id=message_id)
    with store.refused("22023", argument=next(iter(wrong))):
        store.write(stream, **FIRST | wrong, message_id=message_id)


def test_write_message_rolled_back_frees_the_id(store: Store, stream: str) -> None:
    message_id = uuid4()
    with store.conn.transaction(force_rollback=True):
        store.write(stream, message_id=message_id)
    assert store.write(stream + "-other", message_id=message_id)[0] == 1


BATCHES: dict[str, Callable[[Store, str, str], object]] = {
    "write_messages": lambda store, stream, message_id: store.call(
        "write_messages",
        stream,
        f'[{{"type": "A", "data": {{}}, "message_id": "{message_id}"}}]',
        expected_version=0,
    )[0],
    "write_arrays": lambda store, stream, message_id: store.query(
        "SELECT * FROM STORE.write_arrays(%s, '{A}', '{\"{}\"}', NULL, 0, %s::uuid[])",
        [stream, [message_id]],
    ).fetchone(),
}


@pytest.mark.parametrize("repeat", BATCHES.values(), ids=BATCHES.keys())
def test_write_message_repeated_as_a_batch_of_one(
    store: Store, stream: str, repeat: Callable[[Store, str, str], object]
) -> None:
    message_id = uuid4()
    first = store.write(stream, "A", "{}", message_id=message_id)
    assert repeat(store, stream, str(message_id)) == first
