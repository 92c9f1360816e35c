from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from psycopg import IsolationLevel

from tests.conftest import Connect
from tests.sql.names import BAD_STREAMS, short
from tests.sql.store import Connection, Store

SYNCHRONIZE = (
    "SELECT * FROM STORE.synchronize_stream(%s, %s::uuid[], %s::text[], %s::jsonb[], NULL,"
    " %s::uuid[])"
)


def synchronize(
    store: Store,
    stream: object,
    known: Sequence[object] | None,
    new: Sequence[UUID] = (),
    *,
    on: Connection | None = None,
) -> tuple[int, int]:
    arguments = [stream, known, ["A"] * len(new), ["1"] * len(new), list(new)]
    ((version, position),) = store.query(SYNCHRONIZE, arguments, on=on).fetchall()
    return version, position


@pytest.fixture
def ids(store: Store, stream: str) -> list[UUID]:
    """Ids of three messages that are in the stream."""
    ids = [uuid4() for _ in range(3)]
    for message_id in ids:
        store.write(stream, message_id=message_id)
    return ids


def last(store: Store, stream: str) -> tuple[object, ...]:
    return store.call("last_message", stream)[0][2:4]


@pytest.mark.parametrize("known", [[], None])
def test_synchronize_stream_writes_to_an_empty_stream(
    store: Store, stream: str, known: list[UUID] | None
) -> None:
    new = [uuid4(), uuid4()]
    answer = synchronize(store, stream, known, new)
    assert answer == last(store, stream)
    assert answer[0] == 2


def test_synchronize_stream_appends_the_rest(store: Store, stream: str, ids: list[UUID]) -> None:
    new = [uuid4(), uuid4()]
    answer = synchronize(store, stream, ids, new)
    assert answer == last(store, stream)
    assert [row[0] for row in store.call("read_stream", stream)] == [*ids, *new]


def test_synchronize_stream_takes_every_parameter_by_name(store: Store, stream: str) -> None:
    text = (
        "SELECT version FROM STORE.synchronize_stream(message_ids => NULL, metadata => '{\"{}\"}',"
        " data => '{1}', types => '{A}', known_ids => NULL, stream => %s)"
    )
    assert store.query(text, [stream]).fetchall() == [(1,)]
    assert store.stored(stream) == [(1, "A", "1", "{}")]


def test_synchronize_stream_with_nothing_new_answers_where_it_ends(
    store: Store, stream: str, ids: list[UUID]
) -> None:
    before = store.counts()
    assert synchronize(store, stream, ids) == last(store, stream)
    assert store.counts() == before


@pytest.mark.parametrize("known", [[], None])
def test_synchronize_stream_of_nothing_stores_nothing(
    store: Store, stream: str, known: list[UUID] | None
) -> None:
    before = store.counts()
    assert synchronize(store, stream, known) == (0, 0)
    assert store.counts() == before


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("new", [0, 1])
def test_synchronize_stream_refuses_other_ids(
    store: Store, stream: str, ids: list[UUID], place: int, new: int
) -> None:
    other = uuid4()
    given = [*ids[:place], other, *ids[place + 1 :]]
    with store.refused(
        "MS003",
        stream=stream,
        version=place + 1,
        message_id=str(other),
        stored_message_id=str(ids[place]),
    ):
        synchronize(store, stream, given, [uuid4() for _ in range(new)])


def test_synchronize_stream_refuses_another_order(
    store: Store, stream: str, ids: list[UUID]
) -> None:
    with store.refused("MS003", version=1, message_id=str(ids[2])):
        synchronize(store, stream, ids[::-1], [uuid4()])


def test_synchronize_stream_refuses_a_null_among_the_known(
    store: Store, stream: str, ids: list[UUID]
) -> None:
    with store.refused("MS003", version=2, message_id=None, stored_message_id=str(ids[1])):
        synchronize(store, stream, [ids[0], None, ids[2]], [uuid4()])


@pytest.mark.parametrize("new", [0, 1])
@pytest.mark.parametrize("known", [0, 2, 4])
def test_synchronize_stream_refuses_a_stream_that_ends_elsewhere(
    store: Store, stream: str, ids: list[UUID], known: int, new: int
) -> None:
    given = [*ids, uuid4()][:known]
    with store.refused("MS001", stream=stream, expected_version=known, actual_version=3):
        synchronize(store, stream, given, [uuid4() for _ in range(new)])


@pytest.mark.parametrize("level", IsolationLevel, ids=lambda level: level.name)
@pytest.mark.parametrize("new", [0, 1])
def test_synchronize_stream_refuses_known_ids_of_an_empty_stream(
    store: Store, stream: str, connect: Connect, level: IsolationLevel, new: int
) -> None:
    conn = connect(autocommit=False)
    conn.isolation_level = level
    with store.refused("MS001", stream=stream, expected_version=2, actual_version=0):
        synchronize(store, stream, [uuid4(), uuid4()], [uuid4() for _ in range(new)], on=conn)


def test_synchronize_stream_repeated_gives_the_first_answer(
    store: Store, stream: str, ids: list[UUID]
) -> None:
    new = [uuid4(), uuid4()]
    first = synchronize(store, stream, ids, new)
    counts = store.counts()
    assert synchronize(store, stream, ids, new) == first
    assert synchronize(store, stream, [*ids, *new]) == first
    assert store.counts() == counts


def test_synchronize_stream_refuses_an_id_of_another_stream(
    store: Store, stream: str, ids: list[UUID]
) -> None:
    with store.refused("MS002", stream=stream, version=2, message_id=str(ids[1])):
        synchronize(store, stream + "-other", [], [uuid4(), ids[1]])


@pytest.mark.parametrize("new", [0, 1])
@pytest.mark.parametrize("stream", BAD_STREAMS[:2], ids=short)
def test_synchronize_stream_refuses_a_bad_stream(store: Store, stream: object, new: int) -> None:
    with store.refused("22023", argument="stream"):
        synchronize(store, stream, [], [uuid4() for _ in range(new)])


def test_synchronize_stream_refuses_a_bad_message(store: Store, stream: str) -> None:
    for arguments, argument in (
        ("'{A}', '{NULL}'", "data"),
        ("'{NULL}', '{1}'", "type"),
        ("'{A}', '{1}', '{1}'", "metadata"),
        ("'{A}', '{1,2}'", "messages"),
    ):
        with store.refused("22023", argument=argument):
            store.query(f"SELECT STORE.synchronize_stream(%s, '{{}}', {arguments})", [stream])
