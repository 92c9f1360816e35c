import pytest

from tests.sql.names import ODD_STREAMS, short
from tests.sql.store import Store


@pytest.mark.parametrize(("stream", "category"), ODD_STREAMS.items(), ids=short)
def test_category_is_what_stands_before_the_first_dash(
    store: Store, stream: str, category: str
) -> None:
    assert store.call("category", stream=stream) == [(category,)]


def test_category_of_null_is_null(store: Store) -> None:
    assert store.call("category", None) == [(None,)]


def test_category_of_an_empty_name_is_empty(store: Store) -> None:
    assert store.call("category", "") == [("",)]


def test_category_is_stored_with_the_stream(store: Store) -> None:
    for stream in ODD_STREAMS:
        store.write(stream)
    wrong = store.query(
        "SELECT FROM STORE.streams AS s LEFT JOIN STORE.messages AS m USING (stream_id)"
        " WHERE s.category <> STORE.category(s.stream)"
        " OR s.category_key <> STORE._category_key(s.category)"
        " OR m.category_key IS DISTINCT FROM s.category_key"
    )
    assert wrong.rowcount == 0


@pytest.mark.parametrize(
    ("category", "key"),
    # Rows hold these: a function that gives others would not find them again.
    [("account", -7281738738455033810), ("", -2039914840885289964), ("ä", 3739913210162221132)],
)
def test_category_key_never_changes(store: Store, category: str, key: int) -> None:
    assert store.call("_category_key", category) == [(key,)]
