"""Two stores in one database have nothing in common."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Connect
from tests.migrations.installers import by_psql, by_python, write

PAIR = tuple[str, str]

CONSTANTS = (
    "_stream_lock_class",
    "_mark_lock_class",
    "_bell_lock_class",
    "_gate_lock_class",
    "_tag_lock_class",
    "_mark_setting",
    "wake_channel",
)


@pytest.fixture
def stores(conninfo: str, schema: str) -> Iterator[PAIR]:
    other = schema + "_other"
    by_python(conninfo, schema)
    by_psql(conninfo, other)
    yield schema, other
    with psycopg.connect(conninfo, autocommit=True, options="-c lock_timeout=30s") as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(other)))


def _in_store(text: str, name: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(name))


def test_stores_count_for_themselves(stores: PAIR, connect: Connect) -> None:
    conn = connect()
    assert [write(conn, stores[0]) for _ in range(3)] == [(1, 1), (2, 2), (3, 3)]
    assert [write(conn, stores[1]) for _ in range(2)] == [(1, 1), (2, 2)]
    assert write(conn, stores[0], "a-2") == (1, 4)


def test_stores_may_hold_the_same_ids(stores: PAIR, connect: Connect) -> None:
    conn = connect()
    message_id: UUID = uuid4()
    for name in stores:
        text = _in_store("SELECT {}.write_message('a', 'A', '1', message_id => %s)", name)
        conn.execute(text, [message_id])
    for name in stores:
        read = _in_store("SELECT g.version FROM {}.get_message(%s) AS g", name)
        assert conn.execute(read, [message_id]).fetchall() == [(1,)]


def test_stores_have_lock_classes_and_names_of_their_own(stores: PAIR, connect: Connect) -> None:
    conn = connect()
    values = [
        conn.execute(_in_store(f"SELECT {{}}.{constant}()", name)).fetchone()
        for name in stores
        for constant in CONSTANTS
    ]
    assert len(set(values)) == 2 * len(CONSTANTS)


def test_writer_of_one_store_does_not_wait_for_one_of_the_other(
    stores: PAIR, connect: Connect
) -> None:
    one, other = connect(autocommit=False), connect(options="-c lock_timeout=100")
    assert write(one, stores[0]) == (1, 1)
    assert write(other, stores[1]) == (1, 1)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        write(other, stores[0])
    one.commit()
    assert write(other, stores[0]) == (2, 2)


def test_one_transaction_writes_to_both(stores: PAIR, connect: Connect) -> None:
    conn = connect(autocommit=False)
    for name in stores:
        write(conn, name)
    classes = conn.execute(
        "SELECT count(DISTINCT l.classid) FROM pg_locks AS l WHERE l.pid = pg_backend_pid()"
        " AND l.locktype = 'advisory' AND l.mode = 'ShareLock'"
    )
    assert classes.fetchall() == [(4,)]  # a mark and a gate of each
    conn.rollback()
    assert write(conn, stores[0])[0] == write(conn, stores[1])[0] == 1
