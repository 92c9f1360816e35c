# Generated from tests/frameworks/_async/test_engine_connections.py by `python tools/unasync.py`.

"""An engine's connections: dead ones, those to a standby, and those that somebody else has made."""

import logging
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool
from sqlalchemy import NullPool, StaticPool, event

from pgstore import InvalidArgumentError, MessageStore
from tests.client.parallel import Parallel
from tests.conftest import Connect
from tests.frameworks._sync.conftest import OpenEngine
from tests.frameworks.engines import engine_by, filled, raw_of
from tests.frameworks.messages import Paid


def test_after_the_end_of_every_second_session_a_store_continues(
    open_engine: OpenEngine, connect: Connect, shared: str, stream: str
) -> None:
    engine = open_engine(pool_size=12)
    with MessageStore[Paid](engine, store=shared, messages=Paid) as store:
        store.write(stream, Paid(1))
        pids = filled(engine, 12)
        connect().execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM unnest(%s::int[]) AS pid", [pids[::2]]
        )
        store.write(stream, Paid(2))
        assert store.stream_version(stream) == 2


def test_connections_to_a_standby_are_made_anew(
    open_engine: OpenEngine, shared: str, stream: str
) -> None:
    engine = open_engine(pool_size=4)
    to_standby = False

    def connected(conn: Any, _: object) -> None:
        if to_standby:
            conn.cursor().execute("SET default_transaction_read_only = on")
            conn.commit()

    event.listen(engine.pool, "connect", connected)
    with MessageStore[Paid](engine, store=shared, messages=Paid) as store:
        assert store.stream_version(stream) == 0
        engine.dispose()

        to_standby = True
        filled(engine, 4)
        to_standby = False
        store.write(stream, Paid(1))
        engine.dispose()

        to_standby = True
        filled(engine, 4)
        to_standby = False

        def write_in_transaction() -> None:
            with store.transaction() as conn:
                store.write(stream, Paid(2), conn=conn)

        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            write_in_transaction()
        write_in_transaction()
        assert store.stream_version(stream) == 2


def test_a_waiting_connection_that_ends_is_made_anew_without_an_error_of_sqlalchemys(
    open_engine: OpenEngine,
    connect: Connect,
    shared: str,
    stream: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = open_engine(connect_args={"application_name": stream[:60]})
    category = stream.replace("-", "")
    waiting = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = %s AND state = 'idle' AND pid IN (SELECT pid FROM pg_locks"
        " WHERE locktype = 'advisory')"
    )
    with MessageStore[Paid](engine, store=shared, messages=Paid) as store:
        seen: list[int] = []
        follower = store.follow(category=category)

        def follow() -> None:
            for stored in follower:
                seen.append(stored.message.amount)

        with Parallel() as parallel:
            parallel.start(follow)
            ends = connect()
            # It holds the bell, so it waits.
            Parallel.until(lambda: ends.execute(waiting, [stream[:60]]).rowcount > 0)
            store.write(f"{category}-1", Paid(1))
            Parallel.until(lambda: seen == [1])
            follower.stop()
            parallel.results()
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("state", ["idle", "in transaction"])
def test_a_shared_connection_that_was_there_is_refused_and_left_alone(
    conninfo: str, shared: str, stream: str, state: str
) -> None:
    with psycopg.Connection.connect(conninfo) as raw:

        def given() -> psycopg.Connection[Any]:
            return raw

        engine = engine_by(given, poolclass=StaticPool)
        engine.connect().close()
        if state == "in transaction":
            raw.execute("SELECT")
        store = MessageStore[Paid](engine, store=shared, messages=Paid)
        with pytest.raises(InvalidArgumentError, match="connection string"):
            store.write(stream, Paid(1))
        expected = TransactionStatus.IDLE if state == "idle" else TransactionStatus.INTRANS
        assert raw.info.transaction_status == expected


def test_a_connection_that_is_in_a_transaction_is_refused_and_left_alone(
    conninfo: str, shared: str, stream: str
) -> None:
    with psycopg.Connection.connect(conninfo) as raw:

        def given() -> psycopg.Connection[Any]:
            return raw

        engine = engine_by(given)
        engine.connect().close()
        raw.execute("SELECT")
        store = MessageStore[Paid](engine, store=shared, messages=Paid)
        with pytest.raises(InvalidArgumentError, match="connection string"):
            store.write(stream, Paid(1))
        assert raw.info.transaction_status == TransactionStatus.INTRANS


def test_connections_of_a_psycopg_pool_go_back_to_it_as_they_were(
    conninfo: str, shared: str, stream: str
) -> None:
    category = stream.replace("-", "")
    with ConnectionPool(conninfo, min_size=3, max_size=3, close_returns=True) as pool:
        engine = engine_by(pool.getconn, poolclass=NullPool)
        with MessageStore[Paid](engine, store=shared, messages=Paid) as store:
            store.write(f"{category}-1", Paid(1))
            follower = store.follow(category=category, timeout=1)
            assert [each.message for each in follower] == [Paid(1)]
        opened = [engine.connect() for _ in range(3)]
        for each in opened:
            raw = raw_of(each)
            assert not raw.autocommit
            cursor = raw.execute("SELECT pg_listening_channels()")
            assert cursor.fetchall() == []
            each.close()
