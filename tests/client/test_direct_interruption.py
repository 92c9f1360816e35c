"""Statements without a cursor that are interrupted: by Ctrl-C, a cancellation, a dying server."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgstore import AsyncMessageStore, MessageStore
from pgstore._async import direct as async_direct
from pgstore._sync import direct
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel, Parallel
from tests.client.proxy import Proxy
from tests.client.waiting import Watch
from tests.conftest import Connect

PREPARED = 6


@pytest.fixture
def watch(connect: Connect) -> Watch:
    return Watch(connect(), f"store {uuid4()}")


@pytest.fixture
def address(conninfo: str, watch: Watch) -> str:
    return make_conninfo(conninfo, application_name=watch.name)


@pytest.fixture
def blocking(connect: Connect, shared: str, stream: str) -> psycopg.Connection[Any]:
    """A connection for a transaction that holds the stream."""
    return connect(autocommit=False)


@pytest.fixture
def block(blocking: psycopg.Connection[Any], shared: str, stream: str) -> Callable[[], None]:
    statement = sql.SQL("SELECT {}.write_message(%s, 'EventA', '{{\"num\": 0}}')")

    def block() -> None:
        blocking.execute(statement.format(sql.Identifier(shared)), (stream,))

    return block


@pytest.fixture
def store(address: str, shared: str, stream: str) -> Iterator[MessageStore[EventA]]:
    with MessageStore[EventA](address, store=shared, messages=EventA) as store:
        for number in range(PREPARED):
            store.write(stream, EventA(number))
        yield store


def pid(store: MessageStore[EventA]) -> int:
    with store._database.ready().connection() as conn:
        return int(conn.info.backend_pid)


def test_ctrl_c_ends_the_statement_and_keeps_the_connection(
    store: MessageStore[EventA],
    watch: Watch,
    stream: str,
    block: Callable[[], None],
    blocking: psycopg.Connection[Any],
) -> None:
    before = pid(store)
    block()

    def interrupt() -> None:
        Parallel.until(watch.is_blocked)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        store.write(stream, EventA(99))
    thread.join()
    assert not watch.is_blocked()
    blocking.rollback()
    assert store.stream_version(stream) == PREPARED
    assert pid(store) == before


def test_ctrl_c_between_sending_and_waiting_ends_the_statement(
    store: MessageStore[EventA],
    watch: Watch,
    stream: str,
    block: Callable[[], None],
    blocking: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = pid(store)
    block()

    def interrupted(conn: direct.DirectConnection) -> None:
        Parallel.until(watch.is_blocked)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(direct.DirectConnection, "_answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.write(stream, EventA(99))
    assert not watch.is_blocked()
    blocking.rollback()
    assert store.stream_version(stream) == PREPARED
    assert pid(store) == before


def test_a_connection_that_cannot_be_cancelled_is_closed(
    store: MessageStore[EventA],
    watch: Watch,
    stream: str,
    block: Callable[[], None],
    blocking: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(direct, "_PATIENCE", 0.1)
    monkeypatch.setattr(direct.DirectConnection, "cancel_safe", lambda *_, **__: None)
    before = pid(store)
    block()

    def interrupt() -> None:
        Parallel.until(watch.is_blocked)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        store.write(stream, EventA(99))
    thread.join()
    blocking.rollback()
    assert store.stream_version(f"{stream}-other") == 0
    assert pid(store) != before


def test_a_write_whose_session_is_ended_is_written_once_by_another(
    store: MessageStore[EventA],
    watch: Watch,
    stream: str,
    block: Callable[[], None],
    blocking: psycopg.Connection[Any],
) -> None:
    before = pid(store)
    block()

    def kill() -> None:
        Parallel.until(watch.is_blocked)
        watch.kill()
        blocking.rollback()

    thread = threading.Thread(target=kill)
    thread.start()
    assert store.write(stream, EventA(99)).version == PREPARED + 1
    thread.join()
    assert [each.message.num for each in store.read(stream)] == [*range(PREPARED), 99]
    assert pid(store) != before


def test_the_error_says_why_the_server_ended_the_session(
    store: MessageStore[EventA], watch: Watch, stream: str, block: Callable[[], None]
) -> None:
    pool = store._database.ready()
    statement = "SELECT pg_terminate_backend(pg_backend_pid())::text"
    with pool.connection() as conn:
        assert isinstance(conn, direct.DirectConnection)
        conn.prepare_threshold = 0
        with pytest.raises(psycopg.errors.AdminShutdown):
            conn.rows(statement, ())
        assert conn.closed


async def test_a_cancelled_task_ends_its_statement_and_keeps_the_connection(
    address: str,
    shared: str,
    watch: Watch,
    stream: str,
    block: Callable[[], None],
    blocking: psycopg.Connection[Any],
) -> None:
    async with AsyncMessageStore[EventA](address, store=shared, messages=EventA) as store:
        for number in range(PREPARED):
            await store.write(stream, EventA(number))

        async def pid() -> int:
            async with (await store._database.ready()).connection() as conn:
                assert isinstance(conn, async_direct.AsyncDirectConnection)
                return int(conn.info.backend_pid)

        before = await pid()
        block()
        for _ in range(2):
            task = asyncio.create_task(store.write(stream, EventA(99)))
            await AsyncParallel.until(watch.is_blocked)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not watch.is_blocked()
            assert await store.stream_version(f"{stream}-other") == 0
        blocking.rollback()
        assert (await store.write(stream, EventA(100))).version == PREPARED + 1
        assert await pid() == before


async def test_a_task_that_is_cancelled_between_the_answer_and_its_end_is_cancelled(
    conninfo: str, shared: str, stream: str
) -> None:
    with Proxy.running(conninfo) as proxy:
        async with AsyncMessageStore[EventA](
            proxy.conninfo, store=shared, messages=EventA
        ) as store:
            for number in range(PREPARED):
                await store.write(stream, EventA(number))
            pool = await store._database.ready()
            proxy.hold_end()
            task = asyncio.create_task(store.write(stream, EventA(99)))
            await AsyncParallel.until(proxy.held.is_set)
            await asyncio.sleep(0.05)  # so that it has the answer
            task.cancel()
            await asyncio.sleep(0.05)
            proxy.pass_end()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await store.stream_version(stream) == PREPARED + 1
            assert pool.get_stats()["connections_num"] == 1  # the same


async def test_cancelled_at_any_moment_nobody_gets_anothers_answer(
    address: str, shared: str, stream: str
) -> None:
    async with AsyncMessageStore[EventA](address, store=shared, messages=EventA) as store:
        for _ in range(PREPARED):
            await store.write(stream, EventA(0))
            await store.stream_version(stream)

        async def one(number: int) -> None:
            await store.write(f"{stream}-{number}", EventA(number))

        for number in range(60):
            task = asyncio.create_task(one(number))
            await asyncio.sleep(number * 0.00005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await store.stream_version(stream) == PREPARED
            found = await store.last(f"{stream}-{number}")
            assert found is None or found.message.num == number
