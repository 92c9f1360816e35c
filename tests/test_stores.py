"""A store that a test gives back is as new, or it is dropped."""

from collections.abc import Iterator

import pytest
from psycopg.rows import TupleRow

from pgstore import transfer
from tests.conftest import Connect
from tests.sql.store import Store
from tests.sql.subscriptions import Subscription
from tests.stores import Stores


@pytest.fixture
def own(conninfo: str) -> Iterator[Stores]:
    stores = Stores(conninfo)
    yield stores
    stores.close()


def use(store: Store) -> None:
    """Put rows into every table."""
    for n in range(4):
        store.call("write_message", f"account-{n % 2}", "T", "1", tags=["a"])
    store.call("save_snapshot", "account-0", "s", 1, 1, "{}", 0)
    store.call("schedule_message", "account-0", "T", "1", "2100-01-01")
    message_id = store.call("read_stream", "account-1")[0][0]
    store.call("redact_message", message_id, "{}", "asked for")
    subscription = Subscription(store, categories=["account"], max_attempts=1, on_failure="park")
    Subscription(store, categories=["account"], partitions=2).claim()
    lease = subscription.claimed()
    lease.fail(lease.fetch().positions[0])
    store.call("set_retention", "account", max_count=100)
    store.call("publish_horizon", "me")
    store.query("INSERT INTO STORE.grants VALUES ('nobody', 'read', NULL)")


def content(store: Store) -> dict[str, list[TupleRow]]:
    """The rows of all tables, and where the sequences are."""
    found = {}
    for name, kind in store.query(
        "SELECT c.relname, c.relkind FROM pg_class AS c"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'S')",
        [store.name],
    ).fetchall():
        columns = "last_value, is_called" if kind == "S" else "*"
        found[name] = store.query(f"SELECT {columns} FROM STORE.{name}").fetchall()
    return found


def test_store_that_is_taken_again_is_as_new(own: Stores, connect: Connect) -> None:
    with own.taken() as name:
        store = Store(connect(), name)
        new = content(store)
        use(store)
        used = content(store)
        writer = connect(autocommit=False)
        store.write("order-1", on=writer)
        writer.close()
    # A fence closes a store for all tests: it has no row here.
    unused = {"migrations", "gate_waits", "gate_trust_seq", "store_fence"}
    assert {table for table in new if new[table] == used[table]} == unused
    with own.taken() as again:
        assert again == name
        assert content(store) == new
        assert [check for check in transfer.verify(store.conn, store=name) if check.wrong] == []
        assert store.call("horizon") == [(0, False)]


@pytest.mark.parametrize(
    "change",
    [
        "DROP SCHEMA STORE CASCADE",
        "CREATE TABLE STORE.own (n integer)",
        "ALTER TABLE STORE.messages ADD COLUMN own integer",
        "ALTER TABLE STORE.messages ALTER metadata SET DEFAULT '{}'",
        "ALTER TABLE STORE.messages ADD CHECK (version < 7)",
        "ALTER TABLE STORE.messages ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON STORE.messages USING (true)",
        "CREATE INDEX ON STORE.messages (added_at)",
        "CREATE VIEW STORE.own AS SELECT 1 AS n",
        "CREATE OR REPLACE FUNCTION STORE.stream_version(stream text) RETURNS bigint"
        " LANGUAGE sql STABLE PARALLEL SAFE RETURN 1",
        "ALTER FUNCTION STORE.read_all SET work_mem = '1MB'",
        "COMMENT ON FUNCTION STORE.read_all IS 'own'",
        "COMMENT ON TABLE STORE.messages IS 'own'",
        "GRANT USAGE ON SCHEMA STORE TO PUBLIC",
        "GRANT EXECUTE ON FUNCTION STORE.read_all TO PUBLIC",
        "GRANT SELECT (version) ON STORE.messages TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA STORE GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER SEQUENCE STORE.stream_id_seq CYCLE",
        "UPDATE STORE.migrations SET name = 'own' WHERE number = 1",
        "ANALYZE STORE.streams",
        "SELECT STORE.write_message('a-1', 'A', to_jsonb(repeat('x', 1000)))"
        " FROM generate_series(1, 1000)",
    ],
)
def test_store_that_was_changed_is_dropped(own: Stores, connect: Connect, change: str) -> None:
    conn = connect()
    with own.taken() as name:
        Store(conn, name).query(change)
    assert conn.execute("SELECT to_regnamespace(%s)", [name]).fetchone() == (None,)
    with own.taken() as other:
        assert other != name


@pytest.mark.parametrize(
    "function",
    [
        "_mark_lock_class",
        "_stream_lock_class",
        "_bell_lock_class",
        "_gate_lock_class",
        "_tag_lock_class",
    ],
)
def test_store_whose_locks_stay_is_dropped(own: Stores, connect: Connect, function: str) -> None:
    conn = connect()
    with own.taken() as name:
        Store(conn, name).query(f"SELECT pg_advisory_lock_shared(STORE.{function}(), 3)")
    assert conn.execute("SELECT to_regnamespace(%s)", [name]).fetchone() == (None,)
