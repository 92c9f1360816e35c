from tests.sql.store import COLUMNS, Store


def test_all_messages_shows_messages_with_their_names(store: Store, stream: str) -> None:
    store.write(stream, "T", '{"n": 1}', '{"m": 1}')
    cursor = store.query("SELECT * FROM STORE.all_messages AS a WHERE a.stream = %s", [stream])
    assert [column.name for column in cursor.description or ()] == COLUMNS
    assert cursor.fetchall() == store.call("read_stream", stream)


def test_all_messages_has_the_types_that_read_functions_give(store: Store) -> None:
    text = (
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnum FROM pg_attribute AS a"
        " WHERE a.attrelid = %s::regclass ORDER BY a.attnum"
    )
    of_view = [row for row in store.query(text, [f"{store.name}.all_messages"]) if row[2] > 0]
    assert of_view == store.query(text, [f"{store.name}.message"]).fetchall()
    assert [row[:2] for row in of_view] == [
        ("message_id", "uuid"),
        ("stream", "text"),
        ("version", "bigint"),
        ("global_position", "bigint"),
        ("type", "text"),
        ("data", "jsonb"),
        ("metadata", "jsonb"),
        ("added_at", "timestamp with time zone"),
        ("tags", "text[]"),
    ]


def test_all_messages_shows_every_message_once(store: Store, stream: str) -> None:
    for n in range(6):
        store.write(f"{stream}-{n % 3}")
    ((shown, messages),) = store.query(
        "SELECT (SELECT count(*) FROM STORE.all_messages), (SELECT count(*) FROM STORE.messages)"
    ).fetchall()
    assert shown == messages


def test_all_messages_keeps_versions_and_positions_in_the_same_order(
    store: Store, stream: str
) -> None:
    for n in range(20):
        store.write(f"{stream}-{n % 3}")
    wrong = store.query(
        "SELECT FROM STORE.all_messages AS a JOIN STORE.all_messages AS b USING (stream)"
        " WHERE a.version < b.version AND a.global_position >= b.global_position"
    )
    assert wrong.rowcount == 0
