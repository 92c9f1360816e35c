from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from tests.sql.names import BAD_METADATA, BAD_STREAMS, BAD_TYPES, JSON_VALUES, short
from tests.sql.store import Store

ALL = (
    "SELECT * FROM STORE.write_arrays(%s, %s::text[], %s::jsonb[], %s::jsonb[], %s::bigint,"
    " %s::uuid[])"
)


def write(
    store: Store,
    stream: object,
    types: Sequence[object] | None,
    data: Sequence[object] | None,
    metadata: Sequence[object] | None = None,
    expected_version: int | None = None,
    message_ids: Sequence[object] | None = None,
) -> tuple[int, int]:
    arguments = [stream, types, data, metadata, expected_version, message_ids]
    ((version, position),) = store.query(ALL, arguments).fetchall()
    return version, position


def test_write_batch_answers_the_place_of_the_last(store: Store, stream: str) -> None:
    cursor = store.query("SELECT * FROM STORE.write_arrays(%s, '{A,B}', '{1,2}')", [stream])
    assert [column.name for column in cursor.description or ()] == ["version", "global_position"]
    (answer,) = cursor.fetchall()
    assert answer == store.call("last_message", stream)[0][2:4]
    assert store.stored(stream) == [(1, "A", "1", None), (2, "B", "2", None)]


def test_write_batch_takes_every_parameter_by_name(store: Store, stream: str) -> None:
    message_id = uuid4()
    store.query(
        "SELECT STORE.write_arrays(message_ids => ARRAY[%s, NULL]::uuid[], expected_version => 0,"
        " metadata => ARRAY[NULL, '{}']::jsonb[], data => '{1,2}', types => '{A,B}', stream => %s)",
        [message_id, stream],
    )
    assert store.call("get_message", message_id)[0][1:3] == (stream, 1)


def test_write_batch_may_leave_out_ids_and_metadata(store: Store, stream: str) -> None:
    known = uuid4()
    metadata, ids = [None, "{}", None], [None, known, None]
    write(store, stream, ["A", "B", "C"], ["1", "2", "3"], metadata, 0, ids)
    write(store, stream, ["D"], ["4"], None, 3, None)
    assert store.stored(stream) == [
        (1, "A", "1", None),
        (2, "B", "2", "{}"),
        (3, "C", "3", None),
        (4, "D", "4", None),
    ]


def test_write_batch_keeps_the_order_of_versions_and_positions(store: Store, stream: str) -> None:
    count = 3000
    answer = write(store, stream, ["A"] * count, [str(n) for n in range(count)])
    rows = store.query(
        "SELECT a.version, a.data, a.global_position FROM STORE.all_messages AS a"
        " WHERE a.stream = %s ORDER BY a.global_position",
        [stream],
    ).fetchall()
    assert [row[:2] for row in rows] == [(n + 1, n) for n in range(count)]
    assert rows[-1][2] == answer[1]


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("types", "data", "metadata", "ids"),
    [
        ([], [], None, None),
        ([], [], [], []),
        (None, None, None, None),
        (None, ["1"], None, None),
        (["A"], None, None, None),
        (["A"], [], None, None),
        (["A", "B"], ["1"], None, None),
        (["A"], ["1", "2"], None, None),
        (["A"], ["1"], [], None),
        (["A"], ["1"], ["{}", "{}"], None),
        (["A"], ["1"], None, []),
        (["A"], ["1"], None, [None, None]),
    ],
    ids=str,
)
def test_write_batch_refuses_arrays_that_do_not_fit(
    store: Store,
    stream: str,
    exists: bool,
    types: list[object],
    data: list[object],
    metadata: list[object],
    ids: list[object],
) -> None:
    if exists:
        store.write(stream)
    with store.refused("22023", argument="messages"):
        write(store, stream, types, data, metadata, None, ids)


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[("type", value) for value in BAD_TYPES],
        ("data", None),
        *[("metadata", value) for value in BAD_METADATA],
    ],
    ids=short,
)
def test_write_batch_refuses_a_bad_element(
    store: Store, stream: str, argument: str, value: object, index: int
) -> None:
    arrays: dict[str, list[object]] = {
        "type": ["A"] * 3,
        "data": ["1"] * 3,
        "metadata": ["{}", None, None],
    }
    arrays[argument][index] = value
    with store.refused("22023", argument=argument, index=index):
        write(store, stream, arrays["type"], arrays["data"], arrays["metadata"])


@pytest.mark.parametrize("stream", BAD_STREAMS, ids=short)
def test_write_batch_refuses_a_bad_stream(store: Store, stream: object) -> None:
    with store.refused("22023", argument="stream"):
        write(store, stream, ["A"], ["1"])


def test_write_batch_refuses_a_negative_version(store: Store, stream: str) -> None:
    with store.refused("22023", argument="expected_version", expected_version=-1):
        write(store, stream, ["A"], ["1"], None, -1)


def test_write_batch_refuses_an_id_twice(store: Store, stream: str) -> None:
    twice, once = uuid4(), uuid4()
    with store.refused("22023", argument="message_ids", message_id=str(twice), indexes=[1, 3]):
        write(store, stream, ["A"] * 4, ["1"] * 4, None, None, [once, twice, None, twice])


def test_write_batch_checks_the_version(store: Store, stream: str) -> None:
    assert write(store, stream, ["A", "A"], ["1", "1"], None, 0)[0] == 2
    for expected in (0, 1, 3):
        with store.refused("MS001", stream=stream, expected_version=expected, actual_version=2):
            write(store, stream, ["A", "A"], ["1", "1"], None, expected)
    assert write(store, stream, ["A"], ["1"], None, 2)[0] == 3


def test_write_batch_keeps_any_json_value(store: Store, stream: str) -> None:
    write(store, stream, ["A"] * len(JSON_VALUES), list(JSON_VALUES))
    assert [row[2] for row in store.stored(stream)] == list(JSON_VALUES.values())


@pytest.mark.parametrize("later", [0, 2])
@pytest.mark.parametrize("expected", [None, 1])
def test_write_batch_repeated_gives_the_first_answer(
    store: Store, stream: str, expected: int | None, later: int
) -> None:
    store.write(stream)
    ids = [uuid4(), uuid4()]
    batch = (["A", "B"], ["1", "null"], [None, '{"m": 1}'])
    first = write(store, stream, *batch, 1, ids)
    for _ in range(later):
        store.write(stream)
    counts = store.counts()
    assert write(store, stream, *batch, expected, ids) == first
    assert store.counts() == counts


@pytest.mark.parametrize("order", ["backward", "one left out", "one more", "other data"])
def test_write_batch_refuses_ids_that_are_used_otherwise(
    store: Store, stream: str, order: str
) -> None:
    ids: list[UUID] = [uuid4() for _ in range(3)]
    data = ["1", "2", "3"]
    write(store, stream, ["A"] * 3, data, None, None, ids)
    pairs = list(zip(data, ids, strict=True))
    again = {
        "backward": pairs[::-1],
        "one left out": [pairs[0], pairs[2]],
        "one more": [*pairs, ("4", uuid4())],
        "other data": [pairs[0], ("9", ids[1]), pairs[2]],
    }[order]
    for expected in (None, 0, 3):
        with store.refused("MS002", stream=stream, version=1, message_id=str(ids[0])):
            write(
                store,
                stream,
                ["A"] * len(again),
                [value for value, _ in again],
                None,
                expected,
                [message_id for _, message_id in again],
            )
