"""check_messages: what import_messages would refuse, without a trace."""

from typing import Any

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.store import Connection, Store, last_position
from tests.sql.test_import_messages import parameters, take

CALL = (
    "SELECT STORE.check_messages("
    "%s::text[], %s::bigint[], %s::text[], %s::jsonb[], %s::jsonb[], %s::uuid[], %s::timestamptz[],"
    " %s::bigint[])"
)


def check(
    store: Store,
    given: list[Any],
    reached: list[int | None] | None = None,
    *,
    on: Connection | None = None,
) -> int:
    ((stored,),) = store.query(CALL, [*given[:7], reached], on=on).fetchall()
    return int(stored)


def test_check_messages_counts_what_is_stored(store: Store, stream: str) -> None:
    given = parameters((stream, 1), (stream, 2), (f"{stream}-b", 1))
    assert check(store, given) == 0
    take(store, [column and column[:2] for column in given])
    assert check(store, given) == 2
    take(store, given)
    assert check(store, given) == 3


def test_check_messages_continues_what_earlier_batches_bring(store: Store, stream: str) -> None:
    take(store, parameters((stream, 1), (stream, 2)))
    more = parameters((stream, 4), (f"{stream}-b", 8), (stream, 5))
    assert check(store, more, [3, 7, 3]) == 0
    with store.refused("MS001", actual_version=3, index=2):
        check(store, parameters((stream, 3), (f"{stream}-b", 1), (stream, 5)), [1, None, 1])
    with store.refused("22023", argument="messages"):
        check(store, more, [3, 7])


def test_check_messages_leaves_no_trace(store: Store, stream: str, connect: Connect) -> None:
    before = store.counts(), last_position(store)
    with connect(autocommit=False) as conn:
        conn.execute("SET TRANSACTION READ ONLY")
        check(store, parameters((stream, 1), (f"{stream}-b", 1)), on=conn)
        store.query("SELECT STORE.check_floors(ARRAY[%s], ARRAY[5])", [f"{stream}-c"], on=conn)
        held = store.query(
            "SELECT l.locktype, l.mode FROM pg_locks AS l"
            " LEFT JOIN pg_class AS c ON c.oid = l.relation"
            " WHERE l.pid = %s AND l.locktype <> 'virtualxid' AND l.mode <> 'AccessShareLock'"
            # To look at a sequence takes the lock that to draw from it takes.
            " AND (c.relkind = 'S') IS NOT TRUE",
            [conn.info.backend_pid],
        )
        assert held.fetchall() == []
        assert store.query("SELECT pg_current_xact_id_if_assigned()", on=conn).fetchall() == [
            (None,)
        ]
    assert (store.counts(), last_position(store)) == before


def refusals(stream: str) -> dict[str, list[Any]]:
    """Arguments that an import refuses, in a store where this stream is at version 2."""
    found = {
        "a gap": parameters((f"{stream}-b", 1), (stream, 4)),
        "a stream that begins late": parameters((f"{stream}-b", 2)),
        "a gap after one": parameters((stream, 3), (stream, 5)),
        "nothing": parameters(),
        "an id that is there": parameters((f"{stream}-b", 1), (stream, 3)),
        "an id that is there, twice as wrong": parameters((f"{stream}-b", 1), (stream, 7)),
        "an id twice": parameters((stream, 3), (stream, 4)),
        "another payload": parameters((stream, 1)),
    }
    for name in ("an id that is there", "an id that is there, twice as wrong", "another payload"):
        found[name][5][-1] = STORED
    found["an id twice"][5][1] = found["an id twice"][5][0]
    found["another payload"][3] = ["7"]
    for place, value in (
        *((0, None), (0, ""), (0, "x" * 1001), (1, None), (1, 0), (2, None), (2, ""), (3, None)),
        *((3, "[" * 101 + "]" * 101), (3, "[" + "1e2000," * 1600 + "1]"), (4, "[]"), (4, "null")),
        *((5, None), (6, None), (6, "infinity"), (6, "0044-03-15 BC"), (6, "20000-01-01")),
    ):
        given = parameters((stream, 3), (stream, 4))
        given[4] = [None, None]
        given[place][1] = value
        found[f"{place}: {str(value)[:20]}"] = given
    for place in range(7):
        given = parameters((stream, 3), (stream, 4))
        given[4] = [None, None]
        given[place] = given[place][:1]
        found[f"short {place}"] = given
    return found


STORED = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize("what", refusals(""))
def test_check_messages_refuses_as_import_messages_does(
    empty: Store, stream: str, what: str
) -> None:
    first = parameters((stream, 1), (stream, 2))
    first[5][0] = STORED
    take(empty, first)
    given = refusals(stream)[what]
    said = []
    for call in (take, check):
        with pytest.raises(psycopg.Error) as caught:
            call(empty, given)
        diag = caught.value.diag
        said.append((diag.sqlstate, diag.message_primary, diag.message_detail, diag.message_hint))
    assert said[0] == said[1]


def test_check_messages_refuses_sequences_that_are_behind(empty: Store, stream: str) -> None:
    take(empty, parameters((stream, 1)))
    empty.query("SELECT setval('STORE.global_position_seq', 1, false)")
    for call in (take, check):
        with empty.refused("MS007", sequence="global_position_seq"):
            call(empty, parameters((stream, 2)))
    for function in ("import_floors", "check_floors"):
        with empty.refused("MS007", sequence="global_position_seq"):
            empty.call(function, [f"{stream}-b"], [2])
