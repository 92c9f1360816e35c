"""What is published for readers on standbys, by whom, and when not."""

import psycopg
import pytest
from psycopg.rows import TupleRow

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store, last_position

PUBLISHED = "SELECT h.safe_position, h.publisher FROM STORE.store_horizon AS h"


def publish(store: Store, *given: object, on: Connection | None = None) -> object:
    """The position that is published, whether it has moved, and whether another is at work."""
    (published,) = store.call("publish_horizon", *given, on=on)
    return published


def published(store: Store) -> list[TupleRow]:
    return store.query(PUBLISHED).fetchall()


def age_by(store: Store, seconds: float) -> None:
    store.query(
        "UPDATE STORE.store_horizon SET published_at = published_at - make_interval(secs => %s)",
        [seconds],
    )


def test_first_call_publishes_the_position_of_an_empty_store(empty: Store) -> None:
    assert published(empty) == []
    assert publish(empty, "me") == (0, True, False)
    assert published(empty) == [(0, "me")]
    assert publish(empty, "me") == (0, False, False)


def test_it_publishes_the_safe_position_once_for_each_that_is_new(empty: Store) -> None:
    for _ in range(3):
        _, position = empty.write("account-1")
        assert publish(empty) == (position, True, False)
        before = empty.query("SELECT h.xmin FROM STORE.store_horizon AS h").fetchall()
        assert publish(empty) == (position, False, False)
        assert empty.query("SELECT h.xmin FROM STORE.store_horizon AS h").fetchall() == before
    assert published(empty) == [(position, None)]


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_it_stops_before_a_writer_in_flight(empty: Store, connect: Connect, ends: str) -> None:
    writer = connect(autocommit=False)
    _, before = empty.write("account-1")
    _, held = empty.write("account-2", on=writer)
    _, last = empty.write("account-3")
    assert publish(empty) == (before, True, False)
    assert before < held < last
    getattr(writer, ends)()
    assert publish(empty) == (last, True, False)


def test_it_stops_before_a_writer_whose_savepoint_was_rolled_back(
    empty: Store, connect: Connect
) -> None:
    writer = connect(autocommit=False)
    _, before = empty.write("account-1")
    writer.execute("SAVEPOINT here")
    empty.write("account-2", on=writer)
    writer.execute("ROLLBACK TO here")
    empty.write("account-2", on=writer)
    empty.write("account-3")
    assert publish(empty) == (before + 1, True, False)  # nothing will have the rolled back one


def test_it_stops_before_what_the_same_transaction_has_written(
    empty: Store, connect: Connect
) -> None:
    conn = connect(autocommit=False)
    _, before = empty.write("account-1")
    empty.write("account-2", on=conn)
    assert publish(empty, on=conn) == (before, True, False)


def test_it_stops_before_a_prepared_transaction(empty: Store, connect: Connect) -> None:
    conn = connect(autocommit=False)
    _, before = empty.write("account-1")
    conn.execute("SET LOCAL pgstore.notify = off")
    empty.write("account-2", on=conn)
    conn.execute(f"PREPARE TRANSACTION '{empty.name}'".encode())
    conn.commit()
    _, last = empty.write("account-3")
    assert publish(empty) == (before, True, False)
    conn.autocommit = True
    conn.execute(f"COMMIT PREPARED '{empty.name}'".encode())
    assert publish(empty) == (last, True, False)


def test_it_never_goes_back(empty: Store) -> None:
    empty.write("account-1")
    empty.query(
        "INSERT INTO STORE.store_horizon (safe_position, published_at) VALUES (7, '2000-01-01')"
    )
    assert publish(empty) == (7, False, False)
    assert published(empty) == [(7, None)]


def test_a_second_session_finds_it_taken_and_does_not_wait(empty: Store, connect: Connect) -> None:
    first = connect(autocommit=False)
    _, position = empty.write("account-1")
    assert publish(empty, "me", on=first) == (position, True, False)
    assert publish(empty, "me") == (None, False, True)
    first.commit()
    assert publish(empty, "me") == (position, False, False)


def test_a_second_program_leaves_it_to_the_first_for_a_second(empty: Store) -> None:
    publish(empty, "first")
    _, position = empty.write("account-1")
    assert publish(empty, "second") == (0, False, True)
    assert publish(empty, "first") == (position, True, False)
    age_by(empty, 1)
    empty.write("account-1")
    assert publish(empty, "second") == (position + 1, True, False)
    assert publish(empty, "first") == (position + 1, False, True)


def test_a_caller_without_a_name_publishes_at_once(empty: Store) -> None:
    publish(empty, "first")
    _, position = empty.write("account-1")
    assert publish(empty) == (position, True, False)
    assert publish(empty, "second") == (position, False, False)


def test_a_clock_that_was_set_back_stops_no_program(empty: Store) -> None:
    publish(empty, "first")
    _, position = empty.write("account-1")
    age_by(empty, -3600)
    assert publish(empty, "second") == (position, True, False)


def test_it_is_confirmed_after_ten_seconds(empty: Store) -> None:
    publish(empty, "me")
    age_by(empty, 9)
    publish(empty, "me")
    ((age,),) = empty.call("horizon_age")
    assert age.total_seconds() >= 9
    age_by(empty, 1)
    assert publish(empty, "me") == (0, False, False)
    ((younger,),) = empty.call("horizon_age")
    assert younger < age


def test_age_is_unknown_before_anything_was_published(empty: Store) -> None:
    assert empty.call("horizon_age") == [(None,)]
    publish(empty)
    age_by(empty, 100)
    assert empty.call("horizon_age")[0][0].total_seconds() >= 100
    age_by(empty, -3600)
    assert empty.call("horizon_age")[0][0].total_seconds() == 0


def test_health_warns_of_a_horizon_that_nobody_publishes_any_more(empty: Store) -> None:
    check = "SELECT status, value FROM STORE.health() WHERE name = 'published_horizon'"
    assert empty.query(check).fetchall() == [("ok", "none was published")]
    publish(empty)
    assert empty.query(check).fetchall() == [("ok", "0 seconds old")]
    age_by(empty, 100)
    ((status, value),) = empty.query(check).fetchall()
    assert (status, value[:2]) == ("warn", "10")


def test_the_newest_version_is_the_first_that_a_look_finds(empty: Store, connect: Connect) -> None:
    """However many dead versions an old snapshot keeps."""
    publish(empty)
    old = connect(autocommit=False)
    old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    old.execute(f"SELECT FROM {empty.name}.horizon_age()".encode())
    empty.query(
        "DO $$ BEGIN FOR n IN 1..15000 LOOP"
        " UPDATE STORE.store_horizon SET safe_position = safe_position + 1;"
        " END LOOP; END $$"
    )
    plan = "\n".join(
        line
        for (line,) in empty.query(
            "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) SELECT STORE.horizon_age()"
        )
    )
    (buffers,) = (part for part in plan.split("Planning")[0].split() if part.startswith("hit="))
    assert int(buffers.removeprefix("hit=")) < 50


def test_it_raises_for_bad_arguments_and_transactions(empty: Store, connect: Connect) -> None:
    conn = connect(autocommit=False)
    with empty.refused("22023", argument="publisher"):
        publish(empty, "x" * 256)
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with empty.refused("MS004"):
        publish(empty, on=conn)
    conn.rollback()
    conn.execute("SET TRANSACTION READ ONLY")
    with empty.refused("25006", standby=False):
        publish(empty, on=conn)


@pytest.mark.parametrize(
    ("kind", "publishes", "asks"),
    [
        ("read", False, True),
        ("write", True, False),
        ("consume", True, True),
        ("monitor", False, True),
        ("admin", True, True),
    ],
)
def test_roles_that_write_or_consume_publish_and_those_that_read_ask_for_its_age(
    store: Store, connect: Connect, kind: str, publishes: bool, asks: bool
) -> None:
    with new_role(store) as role:
        store.call("grant_access", role, kind)
        conn = connect()
        conn.execute(f"SET ROLE {role}".encode())
        for allowed, function in ((publishes, "publish_horizon"), (asks, "horizon_age")):
            if allowed:
                store.call(function, on=conn)
            else:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    store.call(function, on=conn)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            store.query("SELECT FROM STORE.store_horizon", on=conn)
        conn.close()


def test_a_session_that_publishes_holds_no_foreign_lock(store: Store, connect: Connect) -> None:
    with new_role(store) as role:
        store.call("grant_access", role, "write")
        conn = connect(autocommit=False)
        conn.execute(f"SET SESSION AUTHORIZATION {role}".encode())
        store.call("publish_horizon", on=conn)
        assert store.call("_foreign_locks") == []
        conn.close()


def test_a_sequence_behind_the_published_horizon_is_behind(empty: Store) -> None:
    _, position = empty.write("account-1")
    publish(empty)
    empty.call("empty_store", empty.name)
    empty.query("SELECT setval('STORE.global_position_seq', 1, false)")
    with empty.refused("MS007", sequence="global_position_seq", highest=position):
        empty.write("account-2")
    empty.call("repair_sequences")
    assert empty.write("account-2")[1] == position + 1


def test_emptied_store_keeps_what_was_published(empty: Store) -> None:
    empty.write("account-1")
    publish(empty)
    empty.call("empty_store", empty.name)
    assert publish(empty) == (last_position(empty), False, False)
