"""import_messages: messages of many streams at once, as they were elsewhere."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Background, Store, last_position, marks

TIME = "2020-02-03 04:05:06.789+00"
CALL = (
    "SELECT imported, skipped FROM STORE.import_messages("
    "%s::text[], %s::bigint[], %s::text[], %s::jsonb[], %s::jsonb[], %s::uuid[], %s::timestamptz[],"
    " %s::bigint[])"
)


def parameters(*messages: tuple[str, int], positions: list[int] | None = None) -> list[Any]:
    """Arguments for messages of a stream and version each."""
    return [
        [stream for stream, _ in messages],
        [version for _, version in messages],
        ["A"] * len(messages),
        ["{}"] * len(messages),
        None,
        [str(uuid4()) for _ in messages],
        [TIME] * len(messages),
        positions,
    ]


def take(
    store: Store, given: list[Any], *, on: psycopg.Connection[Any] | None = None
) -> tuple[int, int]:
    ((imported, skipped),) = store.query(CALL, given, on=on).fetchall()
    return imported, skipped


def test_import_messages_keeps_versions_ids_and_times(store: Store, stream: str) -> None:
    given = parameters((stream, 1), (f"{stream}-b", 1), (stream, 2))
    before = last_position(store)
    assert take(store, given) == (3, 0)
    found = store.query(
        "SELECT a.stream, a.version, a.message_id::text, a.added_at = %s, a.global_position - %s"
        " FROM STORE.all_messages AS a WHERE a.stream LIKE %s ORDER BY a.global_position",
        [TIME, before, f"{stream}%"],
    ).fetchall()
    assert found == [
        (stream, 1, given[5][0], True, 1),
        (f"{stream}-b", 1, given[5][1], True, 2),
        (stream, 2, given[5][2], True, 3),
    ]
    assert store.write(stream, expected_version=2)[0] == 3


def test_import_messages_skips_what_is_there(store: Store, stream: str) -> None:
    given = parameters((stream, 1), (stream, 2), (stream, 3))
    first = [column and column[:2] for column in given]
    assert take(store, first) == (2, 0)
    assert take(store, given) == (1, 2)
    assert take(store, given) == (0, 3)
    assert [row[0] for row in store.stored(stream)] == [1, 2, 3]


def test_import_messages_continues_a_stream(store: Store, stream: str) -> None:
    store.write(stream)
    assert take(store, parameters((stream, 2))) == (1, 0)
    with store.refused("MS001", stream=stream, expected_version=3, actual_version=2, index=1):
        take(store, parameters((f"{stream}-b", 1), (stream, 4)))
    with store.refused("MS001", expected_version=0, actual_version=2, index=0):
        take(store, parameters((stream, 1)))
    with store.refused("MS001", expected_version=4, actual_version=3, index=1):
        take(store, parameters((stream, 3), (stream, 5)))
    with store.refused("MS001", expected_version=2, actual_version=0, index=0):
        take(store, parameters((f"{stream}-c", 3)))


def test_import_messages_continues_after_the_floor(store: Store, stream: str) -> None:
    assert store.call("import_floors", [stream], [4]) == [(1,)]
    with store.refused("MS001", expected_version=0, actual_version=4):
        take(store, parameters((stream, 1)))
    assert take(store, parameters((stream, 5))) == (1, 0)


def test_import_messages_refuses_an_id_in_use(store: Store, stream: str) -> None:
    given = parameters((stream, 1))
    take(store, given)
    other = parameters((f"{stream}-b", 1), (stream, 2))
    other[5][1] = given[5][0]
    with store.refused("MS002", message_id=given[5][0], stream=stream, version=1, index=1):
        take(store, other)
    twice = parameters((f"{stream}-b", 1), (f"{stream}-b", 2))
    twice[5][1] = twice[5][0]
    with store.refused("MS002", message_id=twice[5][0], version=1, index=1):
        take(store, twice)


def test_import_messages_that_skips_some_tells_the_index_in_its_arrays(
    store: Store, stream: str
) -> None:
    """Whichever of the others is refused."""
    before = last_position(store)
    given = parameters(
        (stream, 1), (stream, 2), (stream, 3), positions=[before + n for n in (5, 6, 7)]
    )
    take(store, [column and column[:1] for column in given])
    used = [*given[:5], [*given[5][:2], given[5][0]], *given[6:]]
    with store.refused("MS002", version=1, index=2):
        take(store, used)
    for positions, index in (([1, 2, before + 7], 1), ([1, before + 6, 2**62], 2)):
        with store.refused("22023", argument="global_positions", index=index):
            take(store, [*given[:7], positions])
    assert take(store, given) == (2, 1)


@pytest.mark.parametrize("place", range(8))
def test_import_messages_refuses_arrays_of_other_lengths(
    store: Store, stream: str, place: int
) -> None:
    given = parameters((stream, 1), (stream, 2), positions=[10**9, 10**9 + 1])
    given[4] = [None, None]
    given[place] = given[place][:1]
    with store.refused("22023", argument="messages"):
        take(store, given)


@pytest.mark.parametrize(
    ("place", "value", "argument"),
    [
        (0, None, "stream"),
        (0, "", "stream"),
        (1, None, "version"),
        (1, 0, "version"),
        (2, None, "type"),
        (2, "", "type"),
        (3, None, "data"),
        (4, "[]", "metadata"),
        (4, "null", "metadata"),
        (5, None, "message_id"),
        (6, None, "added_at"),
        (6, "infinity", "added_at"),
        (6, "20000-01-01", "added_at"),
        (6, "0044-03-15 BC", "added_at"),
        (6, "9999-12-31 00:00:00+00", "added_at"),
        (6, "0001-01-01 23:59:59.999999+00", "added_at"),
        (7, None, "global_position"),
        (7, 10**9, "global_position"),
    ],
)
def test_import_messages_refuses_what_is_no_message(
    store: Store, stream: str, place: int, value: object, argument: str
) -> None:
    given = parameters((stream, 1), (stream, 2), positions=[10**9, 10**9 + 1])
    given[4] = [None, None]
    given[place][1] = value
    with store.refused("22023", argument=argument, index=1):
        take(store, given)


def test_import_messages_refuses_nothing(store: Store) -> None:
    with store.refused("22023", argument="messages"):
        take(store, parameters())


def test_import_messages_keeps_positions_above_the_last(store: Store, stream: str) -> None:
    _, last = store.write(f"{stream}-before")
    with store.refused("22023", argument="global_positions", last_position=last, index=0):
        take(store, parameters((stream, 1), positions=[last]))
    take(store, parameters((stream, 1), (stream, 2), positions=[last + 3, last + 2000]))
    assert last_position(store) == last + 2000
    assert store.write(stream)[1] == last + 2001


@pytest.mark.parametrize("above", [2**31, 2**32, 2**53])
def test_import_messages_keeps_positions_far_above_the_last(
    empty: Store, connect: Connect, above: int
) -> None:
    """A store whose positions were skipped, after a failover, can be copied as it is."""
    _, before = empty.write("account-1")
    marked = connect(autocommit=False)
    marked.execute(f"SET search_path TO {empty.name}")
    marked.execute("SELECT _announce_write()")  # as a writer that is to draw its position
    take(empty, parameters(("account-2", 1), positions=[before + above]))
    ((safe,),) = empty.query("SELECT safe_position FROM STORE.horizon()").fetchall()
    assert safe == before
    marked.rollback()
    ((safe,),) = empty.query("SELECT safe_position FROM STORE.horizon()").fetchall()
    assert safe == before + above
    assert empty.write("account-2") == (2, before + above + 1)
    with empty.refused("22023", argument="global_positions", global_position=2**62):
        take(empty, parameters(("account-3", 1), positions=[2**62]))


@pytest.mark.parametrize("shape", ["[5:6]={%s,%s}", "[0:1]={%s,%s}", "{{%s},{%s}}"])
def test_import_messages_takes_arrays_of_any_shape(store: Store, stream: str, shape: str) -> None:
    _, last = store.write(f"{stream}-before")
    given = parameters((stream, 1), (stream, 2))
    with store.refused("22023", argument="global_positions", last_position=last):
        take(store, [*given[:7], shape % (last, last + 1)])
    assert take(store, [*given[:7], shape % (last + 5, last + 6)]) == (2, 0)
    assert last_position(store) == last + 6
    twice = parameters((f"{stream}-b", 1), (f"{stream}-b", 2))
    names = shape % (f"{stream}-b", f"{stream}-b")
    ids = shape % (twice[5][0], twice[5][0])
    with store.refused("MS002", stream=f"{stream}-b", version=1, index=1):
        take(store, [names, shape % (1, 2), *twice[2:5], ids, *twice[6:]])


def test_import_messages_holds_readers_back_until_it_commits(
    store: Store, stream: str, connect: Connect
) -> None:
    for positions in (None, [last_position(store) + 7]):
        ((before,),) = store.call("safe_position")
        with connect(autocommit=False) as conn:
            take(store, parameters((f"{stream}-{positions}", 1), positions=positions), on=conn)
            assert marks(store, conn) != []
            store.write(f"{stream}-other") if positions is None else None
            assert store.call("safe_position") == [(before,)]
            conn.commit()
        assert store.call("safe_position") == [(last_position(store),)]


def test_import_messages_and_a_writer_of_the_stream_wait_for_one_another(
    store: Store, stream: str, connect: Connect
) -> None:
    importer, writer = connect(autocommit=False), connect()
    take(store, parameters((stream, 1)), on=importer)
    waiting = Background(lambda: store.write(stream, on=writer))
    store.wait_until_blocked(writer)
    store.write(f"{stream}-other")  # nobody else has to
    importer.commit()
    assert waiting.result()[0] == 2


def test_import_messages_that_keeps_positions_keeps_writers_out(
    store: Store, stream: str, connect: Connect
) -> None:
    importer, same, other, new = connect(autocommit=False), connect(), connect(), connect()
    store.write(stream)
    position = last_position(store) + 10
    given = parameters((stream, 2), (f"{stream}-new", 1), positions=[position, position + 1])
    take(store, given, on=importer)
    waiting = []
    for conn, name in ((same, stream), (other, f"{stream}-other"), (new, f"{stream}-new")):
        waiting.append(Background(lambda conn=conn, name=name: store.write(name, on=conn)))  # type: ignore[misc]
        store.wait_until_blocked(conn)
    importer.commit()
    written = [each.result() for each in waiting]
    assert [version for version, _ in written] == [3, 1, 2]
    assert min(found for _, found in written) > position + 1
    assert store.write(stream, expected_version=3)[0] == 4
    assert store.write(f"{stream}-new", expected_version=2)[0] == 3


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_import_messages_with_an_old_snapshot_has_to_be_tried_again(
    store: Store, stream: str, connect: Connect, isolation: str
) -> None:
    store.write(stream)
    for name in (stream, f"{stream}-new"):
        conn = connect(autocommit=False)
        conn.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}".encode())
        conn.execute("SELECT 1")
        version, _ = store.write(name)
        with pytest.raises(psycopg.errors.SerializationFailure):
            take(store, parameters((name, version)), on=conn)


def test_import_floors_sets_floors_of_streams_that_are_empty(store: Store, stream: str) -> None:
    store.write(f"{stream}-b")
    assert store.call("import_floors", [stream, f"{stream}-b"], [3, 1]) == [(1,)]
    assert store.call("import_floors", [stream], [2]) == [(0,)]
    floors = store.query(
        "SELECT s.stream, s.floor FROM STORE.streams AS s WHERE s.stream LIKE %s ORDER BY 1",
        [f"{stream}%"],
    ).fetchall()
    assert floors == [(stream, 3), (f"{stream}-b", 0)]
    with store.refused("MS001", stream=f"{stream}-b", actual_version=1, index=1):
        store.call("import_floors", [f"{stream}-c", f"{stream}-b"], [3, 2])
    with store.refused("22023", argument="floor", index=1):
        store.call("import_floors", [stream, stream], [5, 0])
    with store.refused("22023", argument="floor", index=0):
        store.call("import_floors", [stream], [2**62 + 1])
    with store.refused("22023", argument="stream", index=0):
        store.call("import_floors", [""], [5])
    with store.refused("22023", argument="floors"):
        store.call("import_floors", [stream], [5, 1])
