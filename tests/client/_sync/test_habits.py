# Generated from tests/client/_async/test_habits.py by `python tools/unasync.py`.

"""What the caller has set up on a connection neither disturbs a store nor is disturbed by it."""

import json
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb, set_json_loads
from psycopg_pool import ConnectionPool, NullConnectionPool

from pgstore import InvalidArgumentError, MessageStore, OptimisticConcurrencyError
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client._sync.everything import MESSAGES, do_everything
from tests.client.habits import HABITS
from tests.client.messages import EventA

Store = MessageStore[Any]
Connection = psycopg.Connection[Any]
FACTORIES = [psycopg.ClientCursor, psycopg.RawCursor]


def state(conn: Connection) -> list[object]:
    return [
        conn.row_factory,
        conn.cursor_factory,
        conn.prepare_threshold,
        conn.autocommit,
        conn.isolation_level,
        conn.read_only,
        {
            name: conn.adapters.get_loader(conn.adapters.types[name].oid, psycopg.pq.Format.TEXT)
            for name in ("text", "int8", "uuid", "timestamptz", "jsonb", "bool")
        },
        {kind: conn.adapters.get_dumper(kind, psycopg.adapt.PyFormat.AUTO) for kind in (str, int)},
    ]


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("habit", HABITS)
def test_habits_do_not_disturb(
    open_store: OpenStore,
    open_connection: OpenConnection,
    stream: str,
    habit: str,
    autocommit: bool,
) -> None:
    store = open_store(MESSAGES)
    conn = open_connection(autocommit=autocommit)
    HABITS[habit](conn)
    before = state(conn)
    do_everything(store, stream, conn)
    assert state(conn) == before


@pytest.mark.parametrize("factory", FACTORIES)
def test_cursor_factories_do_not_disturb(
    open_store: OpenStore, open_connection: OpenConnection, stream: str, factory: Any
) -> None:
    store = open_store(MESSAGES)
    conn = open_connection()
    conn.cursor_factory = factory
    before = state(conn)
    do_everything(store, stream, conn)
    assert state(conn) == before


def test_the_callers_rows_stay_as_they_were(
    store: Store, open_connection: OpenConnection, stream: str
) -> None:
    conn = open_connection()
    conn.row_factory = dict_row
    set_json_loads(partial(json.loads, parse_int=str), conn)
    for _ in range(3):
        store.write(stream, EventA(1), metadata={"n": 1}, conn=conn)
        cursor = conn.execute("SELECT %s AS j, 1 AS n", (Jsonb({"a": 1}),))
        assert cursor.fetchone() == {"j": {"a": "1"}, "n": 1}


@pytest.mark.parametrize(
    "setting",
    [
        "search_path = pg_catalog",
        "standard_conforming_strings = off",
        "DateStyle = 'German'",
        "TimeZone = 'Asia/Kathmandu'",
        "transform_null_equals = on",
        "array_nulls = off",
        "bytea_output = 'escape'",
        "plan_cache_mode = force_generic_plan",
        "enable_seqscan = off",
        "default_transaction_isolation = 'serializable'",
        "client_min_messages = debug1",
    ],
)
def test_settings_do_not_disturb(
    open_store: OpenStore, open_connection: OpenConnection, stream: str, setting: str
) -> None:
    store = open_store(MESSAGES)
    conn = open_connection()
    conn.execute(f"SET {setting}")
    do_everything(store, stream, conn)


def test_pipeline_of_the_caller(
    open_store: OpenStore, open_connection: OpenConnection, stream: str
) -> None:
    store = open_store(MESSAGES)
    conn = open_connection(autocommit=False)
    with conn.pipeline():
        do_everything(store, stream, conn, refuse=False)
    conn.commit()
    assert store.stream_version(stream) == 2


def test_pipeline_of_the_caller_gets_the_same_errors(
    store: Store, open_connection: OpenConnection, stream: str
) -> None:
    conn = open_connection()
    with conn.pipeline(), pytest.raises(InvalidArgumentError):
        store.write(stream, EventA(1), expected_version=-1, conn=conn)
    with conn.pipeline(), pytest.raises(OptimisticConcurrencyError):
        store.write(stream, EventA(1), expected_version=4, conn=conn)
    assert store.stream_version(stream, conn=conn) == 0


@pytest.mark.parametrize("habit", [*HABITS, "client cursor", "raw cursor", "autocommit"])
def test_habits_of_a_pool_do_not_disturb(
    conninfo: str, open_store: OpenStore, schema: str, stream: str, habit: str
) -> None:
    def configure(conn: Connection) -> None:
        if habit == "client cursor":
            conn.cursor_factory = psycopg.ClientCursor
        elif habit == "raw cursor":
            conn.cursor_factory = psycopg.RawCursor
        elif habit == "autocommit":
            conn.set_autocommit(True)
        else:
            HABITS[habit](conn)

    pool: ConnectionPool[Connection] = ConnectionPool(
        conninfo, min_size=1, max_size=2, timeout=5, configure=configure, open=False
    )
    with pool:
        for create in (True, False):
            store = open_store(MESSAGES, conninfo=pool, store=schema, create=create)
            do_everything(store, f"{stream}-{create}")
            with store.transaction() as conn:
                do_everything(store, f"{stream}-{create}-t", conn, refuse=False)
        with pool.connection() as conn:
            assert conn.autocommit == (habit == "autocommit")
            assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_pool_stays_as_it_was(conninfo: str, open_store: OpenStore, stream: str) -> None:
    with ConnectionPool(conninfo, min_size=1, max_size=1, timeout=5, open=False) as pool:
        for _ in range(2):
            store = open_store(conninfo=pool)
            store.write(stream, EventA(1))
            for wrong in (0, -1):
                with pytest.raises((OptimisticConcurrencyError, InvalidArgumentError)):
                    store.write(stream, EventA(1), expected_version=wrong)
            store.close()
            assert not pool.closed
            with pool.connection() as conn:
                assert not conn.autocommit
        stats = pool.get_stats()
        assert stats.get("connections_lost", 0) == 0
        assert stats["connections_num"] == 1


def test_a_pool_without_connections_of_its_own(
    conninfo: str, open_store: OpenStore, stream: str
) -> None:
    with NullConnectionPool(conninfo, max_size=2, timeout=5, open=False) as pool:
        store = open_store(MESSAGES, conninfo=pool)
        do_everything(store, stream)


def test_a_pool_that_is_not_open_says_so(conninfo: str, open_store: OpenStore) -> None:
    pool = ConnectionPool(conninfo, min_size=1, open=False)
    store = open_store(conninfo=pool)
    with pytest.raises(psycopg.OperationalError, match="not open"):
        store.stream_version("s-1")


def test_a_connection_of_another_store_is_taken_too(
    open_store: OpenStore, schema: str, stream: str
) -> None:
    one, other = open_store(), open_store(store=schema)
    with one.transaction() as conn:
        one.write(stream, EventA(1), conn=conn)
        other.write(stream, EventA(2), conn=conn)
        other.raw.stream_version(str(uuid4()), conn=conn)
    assert (one.stream_version(stream), other.stream_version(stream)) == (1, 1)
