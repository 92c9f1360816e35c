"""The view that names who holds readers back."""

from uuid import uuid4

from tests.conftest import Connect
from tests.sql.store import Store, last_position


def rows(store: Store, columns: str) -> list[tuple[object, ...]]:
    return store.query(f"SELECT {columns} FROM STORE.writers_in_flight AS w").fetchall()


def test_writers_in_flight_names_sessions(store: Store, stream: str, connect: Connect) -> None:
    assert rows(store, "w.pid") == []
    before = last_position(store)
    first = connect(autocommit=False, application_name="first")
    second = connect(autocommit=False, application_name="second")
    ((since,),) = first.execute("SELECT now()").fetchall()
    store.write(stream + "-1", on=first)
    store.write(stream + "-2", on=second)
    store.write(stream + "-3")
    columns = "w.pid, w.application, w.state, w.after_position, w.positions_waiting"
    assert rows(store, columns) == [
        (first.info.backend_pid, "first", "idle in transaction", before, 3),
        (second.info.backend_pid, "second", "idle in transaction", before + 1, 2),
    ]
    ((found, role, prepared), _) = rows(store, "w.since, w.role, w.prepared_transaction")
    assert (found, role, prepared) == (since, "postgres", None)
    assert store.call("horizon") == [(before, True)]


def test_writers_in_flight_names_prepared_transactions(
    store: Store, stream: str, connect: Connect
) -> None:
    before = last_position(store)
    conn, name, other = connect(), f"prepared-{uuid4().hex}", f"prepared-{uuid4().hex}"
    for each, store_too in ((name, True), (other, False)):
        conn.execute("BEGIN")
        conn.execute("SELECT pg_current_xact_id()")
        if store_too:
            store.write(stream, on=conn)
        conn.execute(f"PREPARE TRANSACTION '{each}'".encode())
    columns = "w.pid, w.prepared_transaction, w.after_position, w.positions_waiting"
    try:
        assert rows(store, columns) == [(None, name, before, 1)]
        assert rows(store, "w.role, w.since IS NOT NULL") == [("postgres", True)]
    finally:
        store.query(f"ROLLBACK PREPARED '{name}'")
        store.query(f"ROLLBACK PREPARED '{other}'")
    assert rows(store, "w.pid") == []


def test_writers_in_flight_of_long_positions(store: Store, stream: str, connect: Connect) -> None:
    store.query("SELECT setval('STORE.global_position_seq', 4294967295)")
    conn = connect(autocommit=False)
    store.write(stream, on=conn)
    store.write(stream + "-2")
    assert rows(store, "w.after_position, w.positions_waiting") == [(2**32 - 1, 2)]
