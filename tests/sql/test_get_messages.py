from uuid import UUID, uuid4

import pytest

from tests.sql.store import COLUMNS, Store


@pytest.fixture
def ids(store: Store, stream: str) -> list[UUID]:
    """Ids of four messages in two streams."""
    ids = [uuid4() for _ in range(4)]
    for n, message_id in enumerate(ids):
        store.write(f"{stream}-{n % 2}", message_id=message_id)
    return ids


def test_get_messages_answers_them_in_the_order_of_the_ids(store: Store, ids: list[UUID]) -> None:
    asked = [ids[2], ids[0], ids[3], ids[1]]
    cursor = store.query("SELECT * FROM STORE.get_messages(message_ids => %s)", [asked])
    assert [column.name for column in cursor.description or ()] == COLUMNS
    assert cursor.fetchall() == [store.call("get_message", each)[0] for each in asked]


def test_get_messages_answers_each_once_and_leaves_out_the_rest(
    store: Store, ids: list[UUID]
) -> None:
    asked = [ids[1], uuid4(), None, ids[0], ids[1], ids[0]]
    assert [row[0] for row in store.call("get_messages", asked)] == [ids[1], ids[0]]


@pytest.mark.parametrize("nothing", ["NULL", "'{}'", "'{NULL}'"])
def test_get_messages_of_no_ids_is_empty(store: Store, nothing: str) -> None:
    assert store.query(f"SELECT * FROM STORE.get_messages({nothing})").fetchall() == []
