"""export_messages and export_floors: what a file is made of."""

import json

import pytest

from tests.sql.names import JSON_VALUES
from tests.sql.store import Store, last_position


def exported(store: Store, stream: str, *given: object) -> list[dict[str, object]]:
    rows = store.call("export_messages", *given, stream=stream)
    return [json.loads(line) | {"position": position} for position, line in rows]


def test_export_messages_tells_everything(store: Store, stream: str) -> None:
    store.write(stream, "A", '{"a": 1}', '{"user": "Ada"}')
    store.write(stream, "B", "null")
    first, second = exported(store, stream, 0, last_position(store))
    ((id, added_at),) = store.query(
        "SELECT a.message_id::text, to_json(a.added_at AT TIME ZONE 'UTC')#>>'{}'"
        " FROM STORE.all_messages AS a WHERE a.stream = %s AND a.version = 1",
        [stream],
    ).fetchall()
    assert first == {
        "stream": stream,
        "version": 1,
        "global_position": first["position"],
        "position": first["position"],
        "message_id": id,
        "added_at": f"{added_at}+00:00",
        "type": "A",
        "data": {"a": 1},
        "metadata": {"user": "Ada"},
    }
    assert (second["data"], "metadata" in second) == (None, False)


@pytest.mark.parametrize(("given", "stored"), JSON_VALUES.items())
def test_export_messages_gives_the_payload_as_it_is_stored(
    store: Store, stream: str, given: str, stored: str
) -> None:
    store.write(stream, "A", given)
    ((_, line),) = store.call("export_messages", 0, last_position(store), stream=stream)
    assert line.endswith(f',"data":{stored}}}')


def test_export_messages_pages(store: Store, stream: str) -> None:
    positions = [store.write(stream)[1] for _ in range(5)]
    store.write(f"other{stream}")
    last = last_position(store)
    pages = [(0, 2), (positions[1], 2), (positions[3], 2), (positions[4], 2)]
    found = [
        [line["position"] for line in exported(store, stream, after, last, count)]
        for after, count in pages
    ]
    assert found == [positions[:2], positions[2:4], positions[4:], []]
    # Also from a position that is another stream's.
    assert len(exported(store, stream, positions[0] - 1, last)) == 5
    positions.append(store.write(stream)[1])
    assert [line["version"] for line in exported(store, stream, last, positions[-1])] == [6]
    assert positions.pop() > last
    assert len(exported(store, stream, 0, positions[2])) == 3
    everything = store.call("export_messages", positions[0] - 1, last)
    assert [row[0] for row in everything] == [*positions, last]
    category = store.call("export_messages", positions[0] - 1, last, category="account")
    assert [row[0] for row in category] == positions


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ((-1, 5), "after_position"),
        ((None, 5), "after_position"),
        ((0, -1), "up_to_position"),
        ((0, None), "up_to_position"),
        ((0, 5, 0), "max_count"),
        ((0, 5, None), "max_count"),
    ],
)
def test_export_messages_refuses_bad_arguments(
    store: Store, given: tuple[object, ...], argument: str
) -> None:
    with store.refused("22023", argument=argument):
        store.call("export_messages", *given)


def test_export_floors_tells_streams_that_were_cut_off(store: Store, stream: str) -> None:
    store.call("import_floors", [stream, f"b{stream}"], [3, 5])
    expected = [(f'{{"stream":"{stream}","floor":3}}',)]
    assert store.call("export_floors", stream=stream) == expected
    assert store.call("export_floors", category="account") == expected
    assert len(store.call("export_floors")) == 2
