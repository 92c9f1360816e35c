# Generated from tests/client/_async/test_lost_connections.py by `python tools/unasync.py`.

"""Connections that die: between operations, in the middle of one, before an answer arrives."""

import time
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from pgstore import MessageStore
from tests.client._sync.conftest import OpenConnection, OpenStore
from tests.client._sync.everything import MESSAGES, do_everything
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.client.proxy import Proxy
from tests.client.waiting import Watch
from tests.conftest import Connect

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
def mortal(open_store: OpenStore, dsn: str, watch: Watch) -> MessageStore[Any]:
    """A store whose connections the test can find."""
    return open_store(MESSAGES, connection=make_conninfo(dsn, application_name=watch.name))


def test_the_next_operation_just_works(
    mortal: MessageStore[Any], watch: Watch, stream: str
) -> None:
    operations: list[Any] = [
        lambda: mortal.write(stream, EventA(1)),
        lambda: mortal.write_many(stream, [EventA(2), EventA(3)]),
        lambda: mortal.stream_version(stream),
        lambda: mortal.last(stream),
        lambda: mortal.get_many([]),
        lambda: next(mortal.read(stream)),
        lambda: mortal.synchronize(f"{stream}-2", [], expected_version=0),
    ]
    for operation in operations:
        mortal.stream_version(stream)
        assert watch.kill() > 0
        operation()
    assert mortal.stream_version(stream) == 3


def test_the_next_transaction_just_works(
    mortal: MessageStore[Any], watch: Watch, stream: str
) -> None:
    mortal.stream_version(stream)
    assert watch.kill() > 0
    with mortal.transaction() as conn:
        mortal.write(stream, EventA(1), conn=conn)
    assert mortal.stream_version(stream) == 1


def test_read_goes_on_when_connections_die_between_pages(
    open_store: OpenStore, dsn: str, watch: Watch, long_stream: str
) -> None:
    store = open_store(connection=make_conninfo(dsn, application_name=watch.name))
    count = 0
    for _ in store.read(long_stream):
        count += 1
        if count in (100, 1100):
            assert watch.kill() > 0
    assert count == 1150


def test_a_pool_of_the_callers_recovers_too(
    open_store: OpenStore, dsn: str, watch: Watch, stream: str
) -> None:
    conninfo = make_conninfo(dsn, application_name=watch.name)
    with ConnectionPool(conninfo, min_size=3, timeout=5, open=False) as pool:
        store = open_store(MESSAGES, connection=pool)
        pool.wait()
        store.stream_version(stream)
        assert watch.kill() >= 3
        do_everything(store, stream)


def test_an_idle_session_timeout_is_survived(
    open_store: OpenStore, dsn: str, watch: Watch, stream: str
) -> None:
    store = open_store(
        connection=make_conninfo(
            dsn, application_name=watch.name, options="-c idle_session_timeout=50"
        )
    )
    store.write(stream, EventA(1))
    watch.wait_until_gone()
    assert store.write(stream, EventA(2)).version == 2


def test_a_write_killed_half_way_is_repeated_and_stored_once(
    mortal: MessageStore[Any], watch: Watch, open_connection: OpenConnection, stream: str
) -> None:
    blocking = open_connection(autocommit=False)
    mortal.write(stream, EventA(0), conn=blocking)  # holds the stream's lock
    with Parallel() as parallel:
        parallel.start(lambda: mortal.write(stream, EventA(1)))
        Parallel.until(watch.is_blocked)
        assert watch.kill() > 0
        Parallel.until(watch.is_blocked)  # again, on another connection
        blocking.commit()
        (position,) = parallel.results()
    assert position.version == 2
    assert [stored.message.num for stored in mortal.read(stream)] == [0, 1]


@pytest.mark.parametrize("pooled", [False, True])
def test_a_write_whose_answer_is_lost_is_stored_once(
    open_store: OpenStore, dsn: str, stream: str, pooled: bool
) -> None:
    with Proxy.running(dsn) as proxy:
        pool = ConnectionPool(proxy.dsn, min_size=1, timeout=5, open=False)
        with pool:
            store = open_store(MESSAGES, connection=pool if pooled else proxy.dsn)
            store.write(stream, EventA(1))
            proxy.lose_answer_to(b"write_message")
            second = store.write(stream, EventA(2), expected_version=1)
            proxy.lose_answer_to(b"write_batch")
            fourth = store.write_many(stream, [EventA(3), EventA(4)])
            assert proxy.lost == 2
            assert (second.version, fourth.version) == (2, 4)
            assert [stored.message.num for stored in store.read(stream)] == [1, 2, 3, 4]
            store.close()


def test_an_answer_lost_in_the_callers_transaction_is_the_callers(
    open_store: OpenStore, dsn: str, stream: str
) -> None:
    with Proxy.running(dsn) as proxy:
        store = open_store(connection=dsn)
        conn = psycopg.Connection.connect(proxy.dsn)
        proxy.lose_answer_to(b"write_message")
        with pytest.raises(psycopg.OperationalError):
            store.write(stream, EventA(1), conn=conn)
        assert conn.closed
        assert store.stream_version(stream) == 0


def test_an_exhausted_pool_is_waited_for_once(open_store: OpenStore, dsn: str, stream: str) -> None:
    with ConnectionPool(dsn, min_size=1, max_size=1, timeout=0.3, open=False) as pool:
        store = open_store(connection=pool)
        store.stream_version(stream)
        with pool.connection():
            before = time.monotonic()
            with pytest.raises(PoolTimeout):
                store.stream_version(stream)
            assert time.monotonic() - before < 0.55
        assert store.stream_version(stream) == 0
