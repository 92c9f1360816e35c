"""A store that was emptied: its messages are gone, and everything goes on where it was."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.sql.roles import new_role
from tests.sql.store import Background, Store, last_position
from tests.stores import Stores


@pytest.fixture
def filled(server_conninfo: str, stores: Stores) -> Iterator[Store]:
    """A store with three streams of three messages, the first cut off, and a policy."""
    with stores.taken() as name, psycopg.connect(server_conninfo, autocommit=True) as conn:
        store = Store(conn, name)
        for n in range(9):
            store.write(f"account-{n % 3}")
        store.call("truncate_stream", "account-0", 2)
        store.call("set_retention", "account", max_count=100)
        yield store
        assert store.query("SELECT FROM STORE.verify_store() WHERE wrong > 0").rowcount == 0


def empty(store: Store, **options: object) -> int:
    ((deleted,),) = store.call("empty_store", store.name, **options)  # type: ignore[arg-type]
    return int(deleted)


def test_empty_store_deletes_all_and_everything_goes_on(filled: Store) -> None:
    assert empty(filled, reason="the trial is over") == 8
    assert filled.call("read_all") == []
    assert filled.call("read_stream", "account-1") == []
    assert filled.call("stream_version", "account-0") == [(3,)]
    assert filled.call("last_position") == [(9,)]
    with filled.refused("MS001", actual_version=3):
        filled.write("account-1", expected_version=0)
    assert filled.write("account-1", expected_version=3) == (4, 10)
    assert [row[3] for row in filled.call("read_category", "account", 9)] == [10]
    assert filled.query("SELECT category, max_count FROM STORE.list_retention()").fetchall() == [
        ("account", 100)
    ]
    assert empty(filled) == 1
    assert empty(filled) == 0


def test_empty_store_is_in_the_audit(filled: Store) -> None:
    empty(filled, reason="over")
    ((*_, action, subject, reason, detail),) = filled.call("list_audit", 1)
    assert (action, subject, reason) == ("empty_store", filled.name, "over")
    assert detail == {"deleted": 8, "parked": 0}


@pytest.mark.parametrize("name", [None, "", "pgstore", "STORE"])
def test_another_name_is_refused(filled: Store, name: str | None) -> None:
    with filled.refused("22023", argument="store"):
        filled.call("empty_store", name)


def test_empty_store_is_for_administrators(filled: Store, connect: Connect) -> None:
    with new_role(filled) as role:
        for kind in ("read", "write", "consume", "monitor"):
            filled.call("grant_access", role, kind)
        conn = connect(user=role)
        with filled.refused("42501"):
            filled.call("empty_store", filled.name, on=conn)
        filled.call("grant_access", role, "admin")
        assert filled.call("empty_store", filled.name, on=conn) == [(8,)]
        with filled.refused("42501"):
            filled.call("repair_sequences", on=conn)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_empty_store_needs_read_committed(filled: Store, connect: Connect, level: str) -> None:
    conn = connect(autocommit=False)
    conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    with filled.refused("MS004"):
        filled.call("empty_store", filled.name, on=conn)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_write_with_a_snapshot_from_before_is_tried_again(
    filled: Store, connect: Connect, level: str
) -> None:
    """It sees the streams as they were, and no messages."""
    conn = connect(autocommit=False)
    conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    conn.execute("SELECT 1 FROM pg_class LIMIT 1")
    empty(filled)
    with filled.refused("40001"):
        filled.write("account-1", on=conn)


@pytest.mark.parametrize(
    "write",
    [
        "SELECT version FROM STORE.write_message('account-1', 'T', '1')",
        "SELECT version FROM STORE.write_message('account-1', 'T', '1', message_id => %(id)s)",
        "SELECT version FROM STORE.write_arrays('account-1', '{T}', '{1}')",
        "SELECT version FROM STORE.write_arrays('account-1', '{T}', '{1}', NULL, 3)",
        """SELECT version FROM STORE.write_messages('account-1', '[{"type": "T", "data": 1}]')""",
        "SELECT version FROM STORE.synchronize_stream('account-1', array_fill(NULL::uuid,"
        " ARRAY[3]), '{T}', '{1}')",
        "SELECT STORE.delete_stream('account-1', 3) + 4",
        "SELECT STORE.truncate_stream('account-1', 4) + 4",
        "SELECT imported + 3 FROM STORE.import_messages('{account-1}', '{4}', '{T}', '{1}', NULL,"
        " ARRAY[%(id)s::uuid], ARRAY[now()])",
        "SELECT STORE.import_floors('{account-1}', '{3}') + 4",
    ],
)
def test_who_waits_for_it_goes_on_after_it(filled: Store, connect: Connect, write: str) -> None:
    """The floor and the last message are of one moment: no version is given again."""
    admin, writer = connect(autocommit=False), connect()
    filled.call("empty_store", filled.name, on=admin)
    parameters = {"id": str(uuid4())}

    def call() -> tuple[int, int]:
        ((version,),) = filled.query(write, parameters, on=writer)
        return version, 0

    calling = Background(call)
    filled.wait_until_blocked(writer)
    admin.commit()
    assert calling.result() == (4, 0)


def test_empty_store_gives_up_where_messages_are_in_use(filled: Store, connect: Connect) -> None:
    reader = connect(autocommit=False)
    filled.call("read_stream", "account-1", on=reader)
    with filled.refused("55P03"):
        empty(filled)
    reader.commit()
    assert empty(filled) == 8


@pytest.mark.parametrize("partitions", [1, 3])
def test_subscriptions_go_on(filled: Store, partitions: int) -> None:
    """A worker ends what it has in hand, and gets what is written next."""
    filled.call("create_subscription", "s", partitions=partitions)
    claim = (
        "SELECT partition, token, global_position, checkpoint FROM STORE.claim_batch('{s}','me')"
    )
    held = filled.query(claim).fetchall()
    assert held[0][2] is not None
    empty(filled)
    partition, token, _, checkpoint = held[-1]
    filled.call("acknowledge", "s", partition, token, checkpoint, True)
    written = {filled.write(f"account-{n}")[1] for n in range(3)}
    found = set()
    while (rows := filled.query(claim).fetchall()) and rows[0][1] is not None:
        partition, token, _, checkpoint = rows[-1]
        if checkpoint is None:  # what was known to wait is gone
            filled.call("release_partition", "s", partition, token)
            continue
        found |= {row[2] for row in rows if row[2] is not None}
        filled.call("acknowledge", "s", partition, token, checkpoint, True)
    assert found == written


def test_failures_of_subscriptions_are_forgotten(filled: Store) -> None:
    """Errors may quote what is gone; and nothing is left to try again."""
    claim = "SELECT partition, token, global_position FROM STORE.claim_batch('{%s}', 'me')"
    for name in ("park", "stop"):
        filled.call("create_subscription", name, on_failure=name, max_attempts=1)
        key = filled.query(claim % name).fetchall()[0]
        assert filled.call("fail_message", name, *key, "quoted") == [(name,)]
    empty(filled)
    assert filled.call("list_parked", "park") == []
    listed = filled.query("SELECT state, error FROM STORE.list_partitions()").fetchall()
    assert [error for _, error in listed] == [None, None]
    assert "stopped" not in [state for state, _ in listed]
    _, position = filled.write("account-1")
    assert position in [row[2] for row in filled.query(claim % "stop").fetchall()]


def test_reader_that_follows_skips_nothing(filled: Store) -> None:
    reached = filled.call("read_page", 9)[0][8]
    empty(filled)
    assert filled.call("read_page", reached)[0][8:10] == (9, 9)
    assert last_position(filled) == 9
    _, position = filled.write("account-1")
    assert filled.call("read_page", reached)[0][3] == position
