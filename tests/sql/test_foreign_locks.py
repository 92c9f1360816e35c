"""Keys of the store that a session took by itself, and how they are named."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Connection, Store, wait_until

KEYS = {
    "stream": "STORE._stream_lock_class(), 7",
    "mark": "STORE._mark_lock_class() + 64, 7",
    "bell": "STORE._bell_lock_class(), 9",
    "gate": "STORE._gate_lock_class(), 3",
    "tag": "STORE._tag_lock_class(), 3",
    "installer": "hashtextextended('pgstore:install:STORE', 0)",
}


@pytest.fixture
def monitor(store: Store, connect: Connect) -> Iterator[Connection]:
    with new_role(store) as name:
        store.call("grant_access", name, "monitor")
        store.query(f"GRANT pg_read_all_stats TO {name}")
        with connect(user=name) as conn:
            yield conn


@pytest.fixture
def stranger(store: Store, connect: Connect) -> Iterator[Connection]:
    """A session of a role that may connect and nothing else."""
    with new_role(store) as name, connect(user=name) as conn:
        yield conn


def take(store: Store, key: str, on: Connection, way: str = "pg_advisory_lock") -> None:
    """Take a key as a role does that may not even ask for its number."""
    (numbers,) = store.query(f"SELECT {KEYS[key]}").fetchall()
    on.execute(f"SELECT {way}({', '.join(map(str, numbers))})".encode())


def health(store: Store, on: Connection) -> tuple[str, str]:
    (found,) = [row[1:3] for row in store.call("health", on=on) if row[0] == "foreign_locks"]
    return found


@pytest.mark.parametrize("shared", ["", "_shared"])
@pytest.mark.parametrize("key", KEYS)
def test_health_names_a_session_that_holds_a_key_without_a_right(
    store: Store, monitor: Connection, stranger: Connection, key: str, shared: str
) -> None:
    assert health(store, monitor) == ("ok", "none")
    take(store, key, stranger, f"pg_advisory_lock{shared}")
    pid, user = stranger.info.backend_pid, stranger.info.user
    assert health(store, monitor) == ("fail", f"pid {pid} of {user}: {key}")
    stranger.execute("SELECT pg_advisory_unlock_all()")
    assert health(store, monitor) == ("ok", "none")


def test_right_of_public_is_none(store: Store, monitor: Connection, stranger: Connection) -> None:
    store.query("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA STORE TO PUBLIC")
    take(store, "stream", stranger)
    assert health(store, monitor)[0] == "fail"
    store.call("revoke_access", "nobody", "read")


def test_prepared_transaction_of_a_stranger_is_named(
    store: Store, monitor: Connection, stranger: Connection
) -> None:
    name = f"prepared-{uuid4().hex}"
    stranger.execute("BEGIN")
    take(store, "mark", stranger, "pg_advisory_xact_lock_shared")
    stranger.execute("SELECT pg_current_xact_id()")
    stranger.execute(f"PREPARE TRANSACTION '{name}'".encode())
    try:
        assert health(store, monitor) == ("fail", f"{name} of {stranger.info.user}: mark")
    finally:
        store.query(f"ROLLBACK PREPARED '{name}'")


def test_writers_and_sleepers_are_none_of_these(
    store: Store, stream: str, connect: Connect, monitor: Connection
) -> None:
    """Neither is a session whose own role has no right, if it may set one that has."""
    with new_role(store) as reader, new_role(store) as writer, new_role(store) as person:
        store.call("grant_access", reader, "read")
        store.call("grant_access", writer, "write", ["account"])
        store.query(f"ALTER ROLE {person} NOINHERIT; GRANT {writer} TO {person}")
        sleeper, set_role = connect(user=reader), connect(user=person, autocommit=False)
        store.call("fall_asleep", on=sleeper)
        # As for an instant, when it asks for the horizon; another gate than the writer enters.
        ((gates,),) = store.query("SELECT STORE._gate_lock_class()").fetchall()
        gate = (set_role.info.backend_pid + 1) % 4
        store.query("SELECT pg_advisory_lock(%s, %s)", [gates, gate], on=sleeper)
        store.query(f"SET ROLE {writer}", on=set_role)
        store.write(stream, on=set_role)
        assert health(store, monitor) == ("ok", "none")
        rows = store.query("SELECT w.role, w.may_write FROM STORE.writers_in_flight AS w")
        assert rows.fetchall() == [(person, True)]


def test_key_that_a_writer_leaves_to_its_idle_session_is_named(
    store: Store, connect: Connect, monitor: Connection
) -> None:
    with new_role(store) as writer:
        store.call("grant_access", writer, "write")
        conn = connect(user=writer)
        take(store, "stream", conn)
        expected = ("fail", f"pid {conn.info.backend_pid} of {writer}: stream")
        wait_until(lambda: health(store, monitor) == expected)


def test_writers_in_flight_tells_who_may_not_write(
    store: Store, stream: str, connect: Connect, monitor: Connection, stranger: Connection
) -> None:
    writer = connect(autocommit=False)
    store.write(stream, on=writer)
    ((first,),) = store.query("SELECT STORE._mark_lock_class()").fetchall()
    stranger.execute("SELECT pg_advisory_lock_shared(%s, 0)", [first])
    rows = store.query(
        "SELECT w.pid, w.may_write FROM STORE.writers_in_flight AS w", on=monitor
    ).fetchall()
    assert sorted(rows) == sorted(
        [(writer.info.backend_pid, True), (stranger.info.backend_pid, False)]
    )


def test_grant_does_not_wait_for_ever(store: Store, connect: Connect, stranger: Connection) -> None:
    ((settings,),) = store.query(
        "SELECT p.proconfig FROM pg_proc AS p WHERE p.oid = 'STORE._lock_rights'::regproc"
    ).fetchall()
    assert "lock_timeout=60s" in settings
    take(store, "installer", stranger)
    conn = connect(autocommit=False)
    store.query("ALTER FUNCTION STORE._lock_rights SET lock_timeout = '50ms'", on=conn)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        store.call("grant_access", stranger.info.user, "read", on=conn)
    conn.rollback()
