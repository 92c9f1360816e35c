"""Stores that go from test to test: as new, or another one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

import pgstore
from pgstore.testing import FreshStore, FreshStores, frozen_ids
from tests.conftest import Connect


class Event(msgspec.Struct):
    num: int


@pytest.fixture
def fresh(conninfo: str) -> Iterator[FreshStores]:
    stores = FreshStores(conninfo)
    yield stores
    stores.close()


def opened(store: FreshStore) -> pgstore.MessageStore[Event]:
    return pgstore.MessageStore[Event](store.conninfo, store=store.name, messages=Event)


def use(fresh: FreshStore) -> None:
    """Put rows into most tables."""
    with opened(fresh) as store:
        sums = store.decider(
            lambda state, message: message,
            Event,
            initial=lambda: Event(0),
            snapshots=pgstore.Snapshots("sums", every=1),
        )
        for num in range(3):
            sums.decide(f"event-{num}", lambda _: Event(1))
        store.subscription("s", partitions=2).create()
        failing = store.subscription("f", max_attempts=1, on_failure="park")

        @failing.handler
        def fail(message: Event) -> None:
            raise ValueError

        store.run_once(failing, raise_errors=False)
    with psycopg.connect(fresh.conninfo) as conn:
        schema = sql.Identifier(fresh.name)
        for statement in (
            "SELECT {}.set_retention('a', max_count => 1)",
            "SELECT {}.truncate_stream('event-1', 1)",
        ):
            conn.execute(sql.SQL(statement).format(schema))


def content(conn: psycopg.Connection[TupleRow], name: str) -> dict[str, list[TupleRow]]:
    """The rows of all tables, and where the sequences are."""
    found = {}
    for table, kind in conn.execute(
        "SELECT c.relname, c.relkind FROM pg_class AS c"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'S')",
        [name],
    ).fetchall():
        columns = sql.SQL("last_value, is_called" if kind == "S" else "*")
        query = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(name, table))
        found[table] = conn.execute(query).fetchall()
    return found


def test_store_that_is_taken_again_is_as_new(fresh: FreshStores, connect: Connect) -> None:
    conn = connect()
    with fresh.taken() as store:
        name = store.name
        new = content(conn, name)
        use(store)
        used = content(conn, name)
    assert sum(new[table] != used[table] for table in new) > 10
    with fresh.taken() as store:
        assert store.name == name
        assert content(conn, name) == new
        with opened(store) as messages:
            assert messages.write("event-1", Event(1)) == pgstore.MessagePosition("event-1", 1, 1)


def test_store_with_many_messages_is_as_new_too(fresh: FreshStores, connect: Connect) -> None:
    conn = connect()
    for _ in range(2):  # emptied twice: what it is compared with must change with it
        with fresh.taken() as store, opened(store) as messages:
            name = store.name
            messages.write_many("event-1", [Event(n) for n in range(20_000)])
    with fresh.taken() as store:
        assert store.name == name
        assert content(conn, name)["messages"] == []


@pytest.mark.parametrize(
    "change",
    [
        "CREATE INDEX ON STORE.messages (added_at)",
        "CREATE TABLE STORE.own (id int)",
        "CREATE FUNCTION STORE.own() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE OR REPLACE FUNCTION STORE.new_message_id() RETURNS uuid LANGUAGE sql"
        " RETURN gen_random_uuid()",
        "SELECT STORE.grant_access('pg_monitor', 'read')",
        "ALTER SCHEMA STORE RENAME TO STORE_other",
        "DROP SCHEMA STORE CASCADE",
    ],
)
def test_store_that_was_changed_is_not_taken_again(
    fresh: FreshStores, connect: Connect, change: str
) -> None:
    with fresh.taken() as store:
        name = store.name
        connect().execute(change.replace("STORE", name).encode())
    with fresh.taken() as store:
        assert store.name != name
    connect().execute(f"DROP SCHEMA IF EXISTS {name}_other CASCADE".encode())


def test_store_that_is_still_open_is_left_alone_until_it_is_closed(fresh: FreshStores) -> None:
    with fresh.taken() as first:
        left = opened(first)
        left.write("event-1", Event(1))
    with fresh.taken() as second:
        assert second.name != first.name
        left.write("event-1", Event(2))
        assert left.stream_version("event-1") == 2
    left.close()
    names = set()
    with fresh.taken() as one, fresh.taken() as two:
        names = {one.name, two.name}
    assert names == {first.name, second.name}


def test_lock_of_another_session_is_not_waited_for_long(
    fresh: FreshStores, connect: Connect
) -> None:
    with fresh.taken() as store:
        name = store.name
    conn = connect(autocommit=False)
    conn.execute(f"SELECT FROM {name}.messages".encode())
    with fresh.taken() as store:
        assert store.name != name


def test_sessions_of_the_pool_stay_and_are_as_new(fresh: FreshStores) -> None:
    pids = []
    for _ in range(3):
        with fresh.taken() as store, store.pool.connection() as conn:
            assert conn.execute("SHOW work_mem").fetchone() != ("1MB",)
            assert conn.execute("SELECT to_regclass('own')").fetchone() == (None,)
            assert conn.execute("SELECT pg_listening_channels()").fetchall() == []
            conn.execute("SET work_mem = '1MB'")
            conn.execute("CREATE TEMP TABLE own ()")
            conn.execute("LISTEN own")
            pids.append(conn.info.backend_pid)
    assert len(set(pids)) == 1


def test_store_whose_pool_is_still_in_use_is_left_alone(fresh: FreshStores) -> None:
    with fresh.taken() as first:
        left = first.pool.getconn()
    with fresh.taken() as second:
        assert second.name != first.name
    first.pool.putconn(left)
    with fresh.taken() as one, fresh.taken() as two:
        assert {one.name, two.name} == {first.name, second.name}


def test_many_stores_that_are_left_open_are_warned_of(
    fresh: FreshStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore.testing.stores._MANY", 2)
    left = []
    for _ in range(2):
        with fresh.taken() as store:
            left.append(psycopg.connect(store.conninfo))
    with pytest.warns(UserWarning, match="close each store"), fresh.taken():
        pass
    for conn in left:
        conn.close()


def test_closing_drops_the_stores_of_sessions_that_are_left(
    conninfo: str, connect: Connect
) -> None:
    stores = FreshStores(conninfo)
    with stores.taken() as store:
        left = psycopg.connect(store.conninfo)
        left.execute(f"SELECT FROM {store.name}.messages".encode())
    stores.close()
    query = "SELECT to_regnamespace(%s)"
    assert connect().execute(query, [store.name]).fetchall() == [(None,)]
    left.close()


def test_role_needs_only_the_right_to_create_schemas(conninfo: str, connect: Connect) -> None:
    conn, role = connect(), sql.Identifier(f"tester_{uuid4().hex[:8]}")
    (database,) = conn.execute("SELECT quote_ident(current_database())").fetchone() or ()
    grant = sql.SQL(f"CREATE ROLE {{0}} LOGIN; GRANT CREATE ON DATABASE {database} TO {{0}}")
    conn.execute(grant.format(role))
    stores = FreshStores(make_conninfo(conninfo, user=role.as_string().strip('"')))
    names = []
    for _ in range(2):
        with stores.taken() as store, opened(store) as messages:
            assert messages.write("event-1", Event(1)).global_position == 1
            store.set_times(datetime(2026, 1, 1, tzinfo=UTC))
            names.append(store.name)
    assert len(set(names)) == 1
    stores.close()
    conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


def test_times_are_set(fresh: FreshStores) -> None:
    first, step = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
    with fresh.taken() as fresh_store, opened(fresh_store) as store:
        store.write_many("event-1", [Event(1), Event(2)])
        store.write("event-2", Event(3))
        fresh_store.set_times(first, step=step)
        times = [each.added_at for each in store.read_all()]
        assert times == [first, first + step, first + 2 * step]
        with pytest.raises(pgstore.InvalidArgumentError, match="zone"):
            fresh_store.set_times(datetime(2026, 1, 1))  # noqa: DTZ001
        with pytest.raises(pgstore.InvalidArgumentError, match="step must be a timedelta"):
            fresh_store.set_times(first, step=5)  # type: ignore[arg-type]
        last = datetime(9999, 12, 31, tzinfo=UTC)
        for start, step in ((last, timedelta(0)), (first, timedelta.max)):
            with pytest.raises(pgstore.InvalidArgumentError, match="no message can have a time"):
                fresh_store.set_times(start, step=step)
        assert [each.added_at for each in store.read_all()] == times


@pytest.mark.parametrize("wrong", [None, 5, "nonsense", "host=a\0"])
def test_what_is_no_connection_string_is_refused(wrong: str) -> None:
    with pytest.raises(pgstore.InvalidArgumentError, match="connection string"):
        FreshStores(wrong)


def test_ids_are_counted_from_1970_on() -> None:
    with (
        pytest.raises(pgstore.InvalidArgumentError, match="1970"),
        frozen_ids(datetime(1969, 12, 31, tzinfo=UTC)),
    ):
        pass


def test_frozen_ids_are_the_same_each_time(fresh: FreshStores) -> None:
    runs = []
    for _ in range(2):
        with fresh.taken() as fresh_store, opened(fresh_store) as store, frozen_ids():
            store.write("event-1", Event(1))
            store.write_many("event-1", [Event(2), Event(3)])
            store.write("event-2", Event(4))
            runs.append([each.message_id for each in store.read_all()])
    assert runs[0] == runs[1] == sorted(set(runs[0]))
    assert runs[0][0] == UUID("00dc6acf-ac00-7000-8000-000000000000")
    assert {each.version for each in runs[0]} == {7}
    assert pgstore.new_message_id() > runs[0][-1]


def test_ids_are_by_chance_again_after_the_block() -> None:
    with frozen_ids():
        frozen = pgstore.new_message_id()
    first, second = pgstore.new_message_id(), pgstore.new_message_id()
    assert frozen.int & 0xFFFF_FFFF == 0
    assert len({each.int & 0xFFFF_FFFF for each in (first, second)} - {0}) == 2
