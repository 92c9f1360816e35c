from uuid import uuid4

from tests.sql.store import COLUMNS, Store


def test_get_message_answers_the_message(store: Store, stream: str) -> None:
    message_id = uuid4()
    store.write(stream)
    store.write(stream, "T", "[1]", '{"m": 1}', message_id=message_id)
    cursor = store.query("SELECT * FROM STORE.get_message(message_id => %s)", [message_id])
    assert [column.name for column in cursor.description or ()] == COLUMNS
    assert cursor.fetchall() == store.call("last_message", stream)


def test_get_message_that_does_not_exist_is_none(store: Store) -> None:
    assert store.call("get_message", uuid4()) == []
    assert store.query("SELECT * FROM STORE.get_message(NULL)").fetchall() == []
