import pytest

from tests.sql.names import ODD_STREAMS, short
from tests.sql.store import COLUMNS, Store


@pytest.fixture
def filled(store: Store, stream: str) -> str:
    """A stream of the types A, B, A, C."""
    for n, name in enumerate("ABAC", 1):
        store.write(stream, name, str(n))
    store.write(stream + "-other", "D", "5")
    return stream


def test_last_message_answers_the_last_one(store: Store, filled: str) -> None:
    cursor = store.query("SELECT * FROM STORE.last_message(%s)", [filled])
    assert [column.name for column in cursor.description or ()] == COLUMNS
    assert cursor.fetchall() == store.call("read_stream", filled, max_count=1, backward=True)


@pytest.mark.parametrize(("type", "version"), [("A", 3), ("B", 2), ("C", 4), (None, 4)])
def test_last_message_of_a_type(store: Store, filled: str, type: str | None, version: int) -> None:
    ((_, name, found, *_),) = store.call("last_message", type=type, stream=filled)
    assert (name, found) == (filled, version)


@pytest.mark.parametrize("type", ["D", "a", "", "x" * 1000])
def test_last_message_of_a_type_that_is_not_there(store: Store, filled: str, type: str) -> None:
    assert store.call("last_message", filled, type) == []


def test_last_message_of_an_empty_stream_is_none(store: Store, stream: str) -> None:
    assert store.call("last_message", stream) == []
    assert store.call("last_message", stream, "A") == []


@pytest.mark.parametrize("stream", ODD_STREAMS, ids=short)
def test_last_message_finds_any_stream_name(store: Store, stream: str) -> None:
    store.write(stream)
    assert store.call("last_message", stream)[0][1] == stream


@pytest.mark.parametrize("stream", [None, ""])
def test_last_message_refuses_a_bad_stream(store: Store, stream: object) -> None:
    with store.refused("22023", argument="stream"):
        store.call("last_message", stream)
