"""Up to where the store can be read: whose open transactions hold that back, and whose do not."""

import threading
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import transfer
from tests.conftest import Connect
from tests.sql.store import Store, drop, last_position, wait_until

# Names whose first hash does not do: found by trying.
COLLIDING = ["s37700711"]


def horizon(store: Store) -> tuple[int, bool]:
    """How far readers can look, and whether anything is in flight.

    safe_position() is that of the last message up to there.
    """
    ((position, in_flight),) = store.call("horizon")
    assert (
        store.call("safe_position")
        == store.query(
            "SELECT coalesce(max(m.global_position), 0) FROM STORE.messages AS m"
            " WHERE m.global_position <= %s",
            [position],
        ).fetchall()
    )
    return position, in_flight


def test_horizon_of_an_empty_store_is_0(empty: Store) -> None:
    assert horizon(empty) == (0, False)
    assert empty.write("account-1") == (1, 1)
    assert horizon(empty) == (1, False)


def test_horizon_of_an_empty_store_with_a_writer_is_0(empty: Store, connect: Connect) -> None:
    conn = connect(autocommit=False)
    empty.write("account-1", on=conn)
    assert horizon(empty) == (0, True)
    conn.commit()
    assert horizon(empty) == (1, False)


@pytest.mark.parametrize("ends", ["commit", "rollback", "close"])
def test_horizon_stays_before_the_oldest_writer(
    store: Store, stream: str, connect: Connect, ends: str
) -> None:
    before = last_position(store)
    first, second = connect(autocommit=False), connect(autocommit=False)
    store.write(stream + "-1", on=first)
    _, position = store.write(stream + "-2", on=second)
    _, last = store.write(stream + "-3")
    assert horizon(store) == (before, True)
    getattr(first, ends)()
    # A closed session ends a little later, maybe between two reads.
    wait_until(lambda: store.call("horizon")[0][0] > before)
    assert horizon(store) == (position - 1, True)
    second.rollback()
    assert horizon(store) == (last, False)


def test_horizon_sees_a_mark_without_a_message(store: Store, stream: str, connect: Connect) -> None:
    """A writer that waits for its stream is in flight, though it has no position yet."""
    before = last_position(store)
    conn = connect(autocommit=False)
    store.query("SELECT STORE._enter_flight()", on=conn)
    assert horizon(store) == (before, True)
    _, last = store.write(stream)
    assert horizon(store) == (before, True)
    conn.rollback()
    assert horizon(store) == (last, False)


def test_horizon_of_a_mark_above_the_last_position_is_the_last_position(
    store: Store, connect: Connect
) -> None:
    """A mark can be taken between the two looks, after others have got positions."""
    last = last_position(store)
    conn = connect(autocommit=False)
    store.query(
        "SELECT STORE._take_mark(%s)",
        [last + 3],
        on=conn,
    )
    assert horizon(store) == (last, True)


def test_horizon_waits_for_a_prepared_transaction(
    store: Store, stream: str, connect: Connect
) -> None:
    before = last_position(store)
    conn, name = connect(), f"prepared-{uuid4().hex}"
    conn.execute("BEGIN")
    store.write(stream, on=conn)
    conn.execute(f"PREPARE TRANSACTION '{name}'".encode())
    try:
        conn.close()
        _, last = store.write(stream + "-other")
        assert horizon(store) == (before, True)
    finally:
        store.query(f"COMMIT PREPARED '{name}'")
    assert horizon(store) == (last, False)


def test_horizon_ignores_transactions_that_have_not_written_to_the_store(
    store: Store, stream: str, empty: Store, connect: Connect
) -> None:
    reader, writer, other = (connect(autocommit=False) for _ in range(3))
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    store.call("stream_version", stream, on=reader)
    writer.execute("CREATE TEMP TABLE business AS SELECT pg_current_xact_id() AS id")
    empty.write(stream, on=other)
    _, last = store.write(stream)
    assert horizon(store) == (last, False)
    assert horizon(empty) == (0, True)
    other.rollback()


def test_horizon_ignores_locks_of_another_kind(store: Store, connect: Connect) -> None:
    conn = connect(autocommit=False)
    for function in ("_stream_lock_class", "_bell_lock_class"):
        store.query(f"SELECT pg_advisory_xact_lock(STORE.{function}(), 0)", on=conn)
    store.query(
        "SELECT pg_advisory_xact_lock((STORE._mark_lock_class()::bigint & 4294967295) << 32)",
        on=conn,
    )
    assert horizon(store) == (last_position(store), False)


def test_horizon_ignores_the_same_store_in_another_database(
    store: Store, stream: str, server_conninfo: str
) -> None:
    database = f"other_{uuid4().hex[:12]}"
    store.query(f"CREATE DATABASE {database}")
    try:
        conninfo = make_conninfo(server_conninfo, dbname=database)
        pgstore.install(conninfo, store=store.name)
        with psycopg.connect(conninfo) as conn:
            store.write(stream, on=conn)
            _, last = store.write(stream)
            assert horizon(store) == (last, False)
            conn.rollback()
    finally:
        store.query(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.mark.parametrize(
    "before",
    [
        *[2**bits - less for bits in (31, 32, 37, 38, 53) for less in (2, 1, 0)],
        *(2**33 + 2**31 - 1, 2**40, 3 * 2**38 - 1, 2**63 - 10),
    ],
)
def test_horizon_of_long_positions(empty: Store, connect: Connect, before: int) -> None:
    """A mark has three parts; here some of them, or a sign, change while it is held."""
    empty.query("SELECT setval('STORE.global_position_seq', %s)", [before])
    assert horizon(empty) == (before, False)
    conn = connect(autocommit=False)
    assert empty.write("account-1", on=conn) == (1, before + 1)
    for n in range(2, 5):
        assert empty.write(f"account-{n}") == (1, before + n)
        assert horizon(empty) == (before, True)
    assert empty.call("read_all", before) == []
    conn.commit()
    assert horizon(empty) == (before + 4, False)
    assert [row[3] for row in empty.call("read_all", before)] == [before + n for n in range(1, 5)]


@pytest.mark.parametrize("before", [10, 2**32 - 1, 2**38 - 1, 2**40])
@pytest.mark.parametrize("drawn", [2**31, 2**32, 2**33, 2**37, 2**38, 2**39, 2**53])
def test_horizon_stays_before_a_writer_whatever_is_drawn_meanwhile(
    empty: Store, connect: Connect, before: int, drawn: int
) -> None:
    """A forgotten prepared transaction, say."""
    empty.query("SELECT setval('STORE.global_position_seq', %s)", [before])
    first, second = connect(autocommit=False), connect(autocommit=False)
    empty.write("account-1", on=first)
    for n in range(3):
        empty.write("account-2", on=second)  # its second write takes its mark once more
        empty.query("SELECT setval('STORE.global_position_seq', %s)", [before + drawn + n])
        assert horizon(empty) == (before, True)
    assert empty.query("SELECT after_position FROM STORE.writers_in_flight").fetchone() == (before,)
    first.rollback()
    assert before < horizon(empty)[0] <= before + drawn
    second.rollback()
    assert horizon(empty) == (before + drawn + 2, False)


def test_horizon_moves_with_every_writer_that_ends(empty: Store, connect: Connect) -> None:
    """A bound is exact: writers that overlap hold readers only until their own end."""
    older, newer = connect(autocommit=False), connect(autocommit=False)
    empty.write("account-1", on=older)
    for n in range(200):
        empty.write("order-1")
        last = last_position(empty)
        empty.write(f"account-{n % 2}", on=newer)
        older.commit()
        assert horizon(empty) == (last, True)
        older, newer = newer, older


@pytest.mark.parametrize("store_name", COLLIDING)
def test_marks_use_65_classes_that_are_none_of_the_others(
    server_conninfo: str, store_name: str, connect: Connect
) -> None:
    """The hash of these names gives a class from which on 65 do not fit, or hold another one."""
    pgstore.install(server_conninfo, store=store_name)
    try:
        store = Store(connect(), store_name)
        ((mark, stream, bell),) = store.query(
            "SELECT STORE._mark_lock_class(), STORE._stream_lock_class(), STORE._bell_lock_class()"
        )
        assert mark <= 2**31 - 65
        assert not {stream, bell} & set(range(mark, mark + 65))
        store.query("SELECT setval('STORE.global_position_seq', %s)", [2**38 + 63 * 2**32])
        conn = connect(autocommit=False)
        store.write("account-1", on=conn)
        assert horizon(store) == (2**38 + 63 * 2**32, True)
        conn.rollback()
        assert [
            check for check in transfer.verify(store.conn, store=store_name) if check.wrong
        ] == []
    finally:
        drop(server_conninfo, store_name)


def test_skip_positions_sets_the_sequence_ahead(empty: Store, connect: Connect) -> None:
    _, before = empty.write("account-1")
    conn = connect(autocommit=False)
    empty.write("account-2", on=conn)
    assert empty.call("skip_positions", 500) == [(before + 501,)]
    assert horizon(empty) == (before, True)
    conn.commit()
    assert empty.call("skip_positions") == [(before + 1_000_501,)]
    assert empty.write("account-1") == (2, before + 1_000_502)
    # A reader that had seen more on the server that was lost skips nothing.
    assert [row[3] for row in empty.call("read_all", before + 400)] == [before + 1_000_502]
    for positions in (0, -1, 10**12 + 1, None):
        with empty.refused("22023", argument="positions"):
            empty.call("skip_positions", positions)


def test_skip_positions_gives_no_position_twice(empty: Store, connect: Connect) -> None:
    conn, drawn = connect(), list[int]()
    ended = threading.Event()

    def draw() -> None:
        statement = (
            f"SELECT nextval('{empty.name}.global_position_seq') FROM generate_series(1, %s)"
        )
        while not ended.is_set():
            drawn.extend(position for (position,) in conn.execute(statement.encode(), [1000]))

    drawing = threading.Thread(target=draw)
    drawing.start()
    try:
        for _ in range(1000):
            empty.call("skip_positions", 1)
    finally:
        ended.set()
        drawing.join()
    assert len(drawn) == len(set(drawn))


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_read_across_streams_refuses_an_old_snapshot(
    store: Store, stream: str, connect: Connect, isolation: str
) -> None:
    store.write(stream)
    conn = connect()
    calls = [("read_all",), ("read_category", "account"), ("read_page",)]
    for call in calls:
        conn.execute(f"BEGIN ISOLATION LEVEL {isolation}".encode())
        with store.refused("MS004", isolation=isolation.lower()):
            store.call(*call, on=conn)
        conn.execute("ROLLBACK")
    for level in ("READ COMMITTED", "READ UNCOMMITTED"):
        conn.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        for call in calls:
            assert store.call(*call, on=conn) != []
        conn.execute("ROLLBACK")
