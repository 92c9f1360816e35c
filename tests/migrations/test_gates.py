"""The upgrade that brings the gates, while transactions run that know nothing of them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Connect
from tests.migrations.installers import Install, Rows, by_python, write
from tests.released import install_released, upgrade_to_released

BEFORE = 3  # the released version whose writers enter no gate
AFTER = 5  # one whose upgrade does not end open writers

# In the first 1,000 positions a writer looks at each table, which an upgrade waits for.
START = 2000
Connection = psycopg.Connection


def query(conn: Connection, name: str, text: str) -> Rows:
    return conn.execute(sql.SQL(text).format(store=sql.Identifier(name))).fetchall()


def install_before(conninfo: str, name: str) -> None:
    """Install the version before the gates; the next position is the one after START."""
    install_released(conninfo, name, BEFORE)
    with psycopg.connect(conninfo) as conn:
        query(conn, name, f"SELECT setval('{{store}}.global_position_seq', {START})")


def trusted(conn: Connection, name: str) -> bool:
    ((value,),) = query(conn, name, "SELECT pg_sequence_last_value('{store}.gate_trust_seq')")
    return value is not None


def look(conn: Connection, name: str) -> tuple[int, bool]:
    ((safe, in_flight),) = query(
        conn, name, "SELECT safe_position, in_flight FROM {store}.horizon()"
    )
    return safe, in_flight


def free(conn: Connection, name: str) -> bool:
    ((found,),) = query(conn, name, "SELECT {store}._gates_free()")
    return bool(found)


def waits(conn: Connection, other: Connection) -> bool:
    text = (
        "SELECT FROM pg_locks AS l WHERE l.pid = %s AND l.locktype = 'advisory' AND NOT l.granted"
    )
    return conn.execute(text, [other.info.backend_pid]).rowcount > 0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def wait_for_trust(conn: Connection, name: str) -> None:
    """Look until readers trust the gates; a run of autovacuum is waited for too."""
    until(lambda: bool(look(conn, name)) and trusted(conn, name))


@contextmanager
def waiting_writer(
    conn: Connection, name: str, writer: Connection, holder: Connection
) -> Iterator[None]:
    """Have a writer wait for its stream; afterwards it has written, and its transaction is open."""
    for _ in range(3):
        write(writer, name, "a-1")  # its session knows the functions of before
    writer.commit()
    write(holder, name, "a-1")
    thread = threading.Thread(target=write, args=[writer, name, "a-1"])
    thread.start()
    try:
        until(lambda: waits(conn, writer))
        yield
    finally:
        holder.commit()
        thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("trusting", ["when it is time", "at once"])
def test_writer_that_waits_for_its_stream_during_the_upgrade_is_not_passed(
    conninfo: str, schema: str, connect: Connect, trusting: str
) -> None:
    """It runs on by the functions of before; readers that trust the gates at once pass it."""
    install_before(conninfo, schema)
    conn = connect()
    writer, holder = connect(autocommit=False), connect(autocommit=False)
    write(conn, schema, "b-1")
    with waiting_writer(conn, schema, writer, holder):
        upgrade_to_released(conninfo, schema, AFTER)
        for _ in range(3):
            look(conn, schema)
        assert not trusted(conn, schema)
        if trusting == "at once":
            query(conn, schema, "SELECT setval('{store}.gate_trust_seq', 1)")
    ((position,),) = query(writer, schema, "SELECT max(global_position) FROM {store}.messages")
    write(conn, schema, "b-1")
    assert free(conn, schema)  # it holds none of the gates
    if trusting == "at once":
        assert look(conn, schema) == (position + 1, False)  # it would be missed
        writer.rollback()
        return
    for _ in range(3):
        assert look(conn, schema) == (position - 1, True)
        assert not trusted(conn, schema)
    writer.commit()
    assert look(conn, schema) == (position + 1, False)
    wait_for_trust(conn, schema)
    assert query(conn, schema, "SELECT * FROM {store}.gate_waits") == []
    assert look(conn, schema) == (position + 1, False)


def test_transaction_that_was_open_during_the_upgrade_is_waited_for(
    conninfo: str, schema: str, connect: Connect
) -> None:
    """It has written nothing yet, has no id and no snapshot; those that begin later are not."""
    install_released(conninfo, schema, BEFORE)
    conn, old = connect(), connect(autocommit=False)
    old.execute("SELECT 1")
    by_python(conninfo, schema)
    assert look(conn, schema) == (0, False)
    late = connect(autocommit=False)
    write(late, schema, "a-1")
    for _ in range(3):
        assert look(conn, schema) == (0, True)
    assert not trusted(conn, schema)
    old.rollback()
    assert look(conn, schema) == (0, True)
    wait_for_trust(conn, schema)
    assert not free(conn, schema)
    late.rollback()


def test_prepared_transaction_of_before_the_upgrade_is_waited_for(
    conninfo: str, schema: str, connect: Connect
) -> None:
    """Its session has gone on meanwhile: only its mark tells of it."""
    install_before(conninfo, schema)
    conn, old, gid = connect(), connect(), f"prepared-{uuid4().hex}"
    old.execute("BEGIN")
    write(old, schema, "a-1")
    upgrade_to_released(conninfo, schema, AFTER)
    look(conn, schema)
    old.execute(f"PREPARE TRANSACTION '{gid}'".encode())
    try:
        new = f"prepared-{uuid4().hex}"
        old.execute("BEGIN")
        write(old, schema, "b-1")
        old.execute(f"PREPARE TRANSACTION '{new}'".encode())
        try:
            for _ in range(3):
                assert look(conn, schema) == (START, True)
            assert not trusted(conn, schema)
        finally:
            old.execute(f"COMMIT PREPARED '{gid}'".encode())
        assert look(conn, schema) == (START + 1, True)
        wait_for_trust(conn, schema)
    finally:
        old.execute(f"ROLLBACK PREPARED '{new}'".encode())
    assert look(conn, schema) == (START + 2, False)


def test_open_transactions_are_noted_after_the_upgrade_has_ended(
    conninfo: str, schema: str, connect: Connect
) -> None:
    """Other sessions learn of new functions a moment after they see the commit."""
    install_released(conninfo, schema, BEFORE)
    conn, installer = connect(), connect(autocommit=False)
    by_python(conninfo, schema)
    installer.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('pgstore:install:' || %s, 0))", [schema]
    )
    for _ in range(3):
        look(conn, schema)
    noted = "SELECT count(*) FROM {store}.gate_waits"
    assert query(conn, schema, noted) == [(0,)]
    installer.rollback()
    look(conn, schema)
    assert query(conn, schema, noted) > [(0,)]
    look(conn, schema)
    wait_for_trust(conn, schema)


@pytest.mark.parametrize(
    "begin",
    [
        "BEGIN READ ONLY",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "BEGIN; SELECT pg_current_xact_id()",
    ],
)
def test_transaction_that_cannot_tell_notes_nothing(
    conninfo: str, schema: str, connect: Connect, begin: str
) -> None:
    install_released(conninfo, schema, BEFORE)
    by_python(conninfo, schema)
    conn, other = connect(), connect()
    other.execute(begin.encode())
    assert look(other, schema) == (0, False)
    other.execute("COMMIT")
    assert query(conn, schema, "SELECT FROM {store}.gate_waits") == []


def test_role_that_may_only_read_finds_out(
    conninfo: str, schema: str, role: str, connect: Connect
) -> None:
    install_released(conninfo, schema, BEFORE)
    by_python(conninfo, schema)
    query(connect(), schema, f"SELECT {{store}}.grant_access('{role}', 'read')")
    reader = connect(user=role)
    until(lambda: look(reader, schema) == (0, False) and trusted(connect(), schema))


def test_readers_of_a_new_store_trust_the_gates_at_once(
    conninfo: str, schema: str, connect: Connect, install: Install
) -> None:
    install(conninfo, schema)
    conn = connect()
    assert trusted(conn, schema)
    install(conninfo, schema)
    assert trusted(conn, schema)
