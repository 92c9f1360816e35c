import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sql.names import BAD_METADATA, BAD_STREAMS, JSON_VALUES, ODD_STREAMS, short
from tests.sql.store import Store

A: dict[str, Any] = {"type": "A", "data": {}}
NO_MESSAGES: list[object] = [None, 1, "A", [], True, {}]
NO_NAMES: list[object] = [None, 1, [], {}, True]
NO_IDS: list[object] = [1, "", "x", {}, "00000000-0000-0000-0000-00000000000", "0" * 33]


def write(
    store: Store, stream: object, *messages: object, expected_version: int | None = None
) -> tuple[int, int]:
    ((version, position),) = store.call(
        "write_messages", stream, json.dumps(messages), expected_version=expected_version
    )
    return version, position


def ids(store: Store, stream: str) -> list[UUID]:
    rows = store.query(
        "SELECT a.message_id FROM STORE.all_messages AS a WHERE a.stream = %s ORDER BY a.version",
        [stream],
    )
    return [row[0] for row in rows]


def test_write_messages_answers_the_place_of_the_last(store: Store, stream: str) -> None:
    cursor = store.query(
        "SELECT * FROM STORE.write_messages(%s, %s)", [stream, json.dumps([A, A, A])]
    )
    assert [column.name for column in cursor.description or ()] == ["version", "global_position"]
    (answer,) = cursor.fetchall()
    (last,) = store.call("last_message", stream)
    assert answer == last[2:4]
    assert answer[0] == 3


def test_write_messages_keeps_their_order(store: Store, stream: str) -> None:
    count = 1500
    write(store, stream, A)
    assert write(store, stream, *({"type": "N", "data": n} for n in range(count)))[0] == count + 1
    rows = store.query(
        "SELECT a.data, a.version, a.global_position FROM STORE.all_messages AS a"
        " WHERE a.stream = %s AND a.type = 'N' ORDER BY a.global_position",
        [stream],
    ).fetchall()
    assert [row[:2] for row in rows] == [(n, n + 2) for n in range(count)]


def test_write_messages_stores_what_it_was_given(store: Store, stream: str) -> None:
    given = [uuid4() for _ in range(4)]
    write(
        store,
        stream,
        {"type": "A", "data": {"n": 1}, "metadata": {"m": 1}, "message_id": str(given[0])},
        {"data": None, "type": "B", "metadata": None, "message_id": str(given[1]).upper()},
        {"type": "C", "data": [1], "metadata": {}, "message_id": given[2].hex},
        {"type": "D", "data": "x", "message_id": None},
        {"type": "E", "data": False},
    )
    assert store.stored(stream) == [
        (1, "A", '{"n": 1}', '{"m": 1}'),
        (2, "B", "null", None),
        (3, "C", "[1]", "{}"),
        (4, "D", '"x"', None),
        (5, "E", "false", None),
    ]
    *first, fourth, fifth = ids(store, stream)
    assert first == given[:3]
    assert fourth.version == fifth.version == 7


def test_write_messages_takes_every_parameter_by_name(store: Store, stream: str) -> None:
    ((version, _),) = store.call(
        "write_messages", expected_version=0, messages=json.dumps([A]), stream=stream
    )
    assert version == 1


def test_write_messages_checks_the_version_before_the_first(store: Store, stream: str) -> None:
    assert write(store, stream, A, A, expected_version=0)[0] == 2
    assert write(store, stream, A, A, expected_version=2)[0] == 4
    for expected in (0, 2, 3, 5):
        with store.refused("MS001", stream=stream, expected_version=expected, actual_version=4):
            write(store, stream, A, A, expected_version=expected)
    assert write(store, stream, A)[0] == 5


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    "messages", [None, "null", "{}", "1", '"text"', "[]", '{"type": "A", "data": 1}'], ids=short
)
def test_write_messages_refuses_what_is_no_batch(
    store: Store, stream: str, messages: object, exists: bool
) -> None:
    if exists:
        store.write(stream)
    with store.refused("22023", argument="messages"):
        store.call("write_messages", stream, messages)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(
    ("argument", "bad"),
    [
        *[("messages", bad) for bad in NO_MESSAGES],
        ("messages", {"type": "A"}),
        ("messages", {"data": 1}),
        *[("messages", {"type": bad, "data": 1}) for bad in NO_NAMES],
        *[("type", {"type": bad, "data": 1}) for bad in ("", "x" * 256)],
        *[("metadata", A | {"metadata": json.loads(bad)}) for bad in BAD_METADATA if bad != "null"],
        *[("messages", A | {key: 1}) for key in ("id", "Type", "", "stream", "version")],
        *[("messages", A | {"message_id": bad}) for bad in NO_IDS],
    ],
    ids=short,
)
def test_write_messages_refuses_a_malformed_message(
    store: Store, stream: str, argument: str, bad: object, index: int
) -> None:
    messages: list[object] = [A, A]
    messages.insert(index, bad)
    with store.refused("22023", argument=argument, index=index):
        write(store, stream, *messages)


def test_write_messages_names_the_first_malformed_message(store: Store, stream: str) -> None:
    with store.refused("22023", index=1):
        write(store, stream, A, A | {"type": ""}, A | {"type": ""})


def test_write_messages_refuses_an_id_twice(store: Store, stream: str) -> None:
    first, second = ({**A, "message_id": str(uuid4())} for _ in range(2))
    again = first | {"message_id": first["message_id"].upper(), "data": 1}
    with store.refused(
        "22023", argument="message_ids", message_id=first["message_id"], indexes=[0, 2]
    ):
        write(store, stream, first, second, again)


@pytest.mark.parametrize("stream", BAD_STREAMS, ids=short)
def test_write_messages_refuses_a_bad_stream(store: Store, stream: object) -> None:
    with store.refused("22023", argument="stream"):
        write(store, stream, A)


@pytest.mark.parametrize("expected", [-1, -(2**63)])
def test_write_messages_refuses_a_negative_version(
    store: Store, stream: str, expected: int
) -> None:
    with store.refused("22023", argument="expected_version"):
        write(store, stream, A, expected_version=expected)


def test_write_messages_cannot_be_given_a_nul(store: Store, stream: str) -> None:
    for bad in ({"type": "A\0", "data": 1}, {"type": "A", "data": "\0"}):
        with store.refused("22P05"):
            write(store, stream, A, bad)


def test_write_messages_keeps_any_json_value(store: Store, stream: str) -> None:
    batch = ",".join(f'{{"type": "A", "data": {value}}}' for value in JSON_VALUES)
    store.call("write_messages", stream, f"[{batch}]")
    assert [row[2] for row in store.stored(stream)] == list(JSON_VALUES.values())


@pytest.mark.parametrize("stream", ODD_STREAMS, ids=short)
def test_write_messages_takes_any_stream_name(store: Store, stream: str) -> None:
    assert write(store, stream, A, A, expected_version=0)[0] == 2
    assert len(store.stored(stream)) == 2


def test_write_messages_takes_all_or_nothing(store: Store, stream: str) -> None:
    used = uuid4()
    store.write(stream + "-other", message_id=used)
    with store.refused("MS002", message_id=str(used), stream=stream + "-other"):
        write(store, stream, A, A, A | {"message_id": str(used)}, A)


def numbered(*ids: UUID) -> list[dict[str, object]]:
    return [{"type": "N", "data": n, "message_id": str(id)} for n, id in enumerate(ids)]


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("later", [0, 3])
@pytest.mark.parametrize("checked", [True, False])
def test_write_messages_repeated_gives_the_first_answer(
    store: Store, stream: str, before: int, later: int, checked: bool
) -> None:
    for _ in range(before):
        store.write(stream)
    batch = numbered(uuid4(), uuid4(), uuid4())
    first = write(store, stream, *batch, expected_version=before)
    for _ in range(later):
        store.write(stream)
    counts = store.counts()
    for _ in range(2):
        expected = before if checked else None
        assert write(store, stream, *batch, expected_version=expected) == first
    assert store.counts() == counts


@pytest.mark.parametrize(
    "places",
    [
        (0, 1),
        (1, 2),
        (1, 0, 2),
        (2, 1, 0),
        (0, 2),
        (0, 1, 2, 3),
        (3, 0, 1, 2),
        (0, 1, 3),
        (2, 3),
        (3, 2),
    ],
    ids=str,
)
def test_write_messages_repeated_in_part_or_another_order(
    store: Store, stream: str, places: tuple[int, ...]
) -> None:
    """Three are stored, the fourth id is new; a part of them in order is a repetition."""
    known = [uuid4() for _ in range(4)]
    batch = numbered(*known)
    first = write(store, stream, *batch[:3])
    repeated = [batch[place] for place in places]
    is_repetition = places in ((0, 1), (1, 2))
    if is_repetition:
        answer = write(store, stream, *repeated, expected_version=places[0])
        assert answer == (places[-1] + 1, first[1] - 2 + places[-1])
        with store.refused("MS002", stream=stream):
            write(store, stream, *repeated, expected_version=3)
        return
    stored = min(place for place in places if place < 3)
    for expected in (None, 0, 3):
        with store.refused(
            "MS002", stream=stream, version=stored + 1, message_id=str(known[stored])
        ):
            write(store, stream, *repeated, expected_version=expected)


@pytest.mark.parametrize(
    "change", [{"data": 9}, {"type": "O"}, {"metadata": {}}, {"message_id": None}], ids=str
)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_write_messages_repeated_with_other_content(
    store: Store, stream: str, change: dict[str, object], index: int
) -> None:
    batch = numbered(uuid4(), uuid4(), uuid4())
    write(store, stream, *batch)
    batch[index] = batch[index] | change
    for expected in (None, 0, 3):
        with store.refused("MS002", stream=stream):
            write(store, stream, *batch, expected_version=expected)


def test_write_messages_repeated_in_another_stream(store: Store, stream: str) -> None:
    batch = numbered(uuid4(), uuid4())
    write(store, stream, *batch)
    for expected in (None, 0):
        with store.refused("MS002", stream=stream, version=1):
            write(store, stream + "-other", *batch, expected_version=expected)


def test_write_messages_refuses_ids_of_two_streams(store: Store, stream: str) -> None:
    one, two = numbered(uuid4(), uuid4())
    write(store, stream, one)
    write(store, stream + "-other", two)
    for batch in ([one, two], [two, one]):
        with store.refused("MS002", stream=stream):
            write(store, stream, *batch)
