"""What is of the other color, or cannot be connected with at all, is refused."""

from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgstore import AsyncMessageStore, InvalidArgumentError, MessageStore, Snapshots
from tests.client.messages import EventA


def test_conn_must_be_a_psycopg_connection(conninfo: str, shared: str, stream: str) -> None:
    wrong: Any
    with MessageStore[EventA](conninfo, store=shared, messages=EventA) as store:
        for wrong in (
            psycopg.AsyncConnection(psycopg.pq.PGconn.connect(b"host=/nowhere")),
            conninfo,
            7,
        ):
            for call in (
                lambda conn: store.write(stream, EventA(1), conn=conn),
                lambda conn: list(store.read(stream, conn=conn)),
                lambda conn: list(store.read_all(conn=conn)),
            ):
                with pytest.raises(InvalidArgumentError, match=r"conn must be a psycopg.Conn"):
                    call(wrong)
        assert store.stream_version(stream) == 0


async def test_conn_must_be_an_async_psycopg_connection(
    conninfo: str, shared: str, stream: str
) -> None:
    wrong: Any
    with psycopg.connect(conninfo) as threads:
        async with AsyncMessageStore[EventA](conninfo, store=shared, messages=EventA) as store:
            for wrong in (threads, conninfo, 7):
                with pytest.raises(InvalidArgumentError, match=r"conn must be a psycopg.AsyncConn"):
                    await store.write(stream, EventA(1), conn=wrong)
            assert await store.stream_version(stream) == 0


async def test_a_pool_of_the_other_color_is_refused(conninfo: str) -> None:
    wrong: Any = ConnectionPool(conninfo, open=False)
    with pytest.raises(InvalidArgumentError, match=r": that is for MessageStore"):
        AsyncMessageStore[EventA](wrong, messages=EventA)
    wrong = AsyncConnectionPool(conninfo, open=False)
    with pytest.raises(InvalidArgumentError, match=r": that is for AsyncMessageStore"):
        MessageStore[EventA](wrong, messages=EventA)


def test_a_store_refuses_what_it_cannot_connect_with(conninfo: str) -> None:
    wrong: Any
    for wrong in (7, b"postgresql:///", EventA):
        with pytest.raises(InvalidArgumentError, match="connection string"):
            MessageStore[EventA](wrong, messages=EventA)
    with psycopg.connect(conninfo) as conn:
        wrong = conn
        with pytest.raises(InvalidArgumentError, match="conn="):
            MessageStore[EventA](wrong, messages=EventA)
    wrong = "sometimes"
    with pytest.raises(InvalidArgumentError, match="wakeup"):
        MessageStore[EventA](conninfo, messages=EventA, wakeup=wrong)
    wrong = EventA
    with pytest.raises(InvalidArgumentError, match="store"):
        MessageStore[EventA](conninfo, messages=EventA, store=wrong)


class Halfway:
    """An aggregate whose messages nobody would wait for."""

    def __init__(self, id: str) -> None:
        self.id, self.version = id, 0
        self.changes: list[EventA] = []

    async def evolve(self, message: EventA) -> None: ...


async def test_functions_of_a_decider_are_no_async_ones() -> None:
    async def later(state: int, message: EventA | None = None) -> int:
        return state

    store = MessageStore[EventA]("host=/nowhere", messages=EventA)
    async_store = AsyncMessageStore[EventA]("host=/nowhere", messages=EventA)
    function: Any = later
    aggregate: Any = Halfway
    for each in (store, async_store):
        with pytest.raises(InvalidArgumentError, match=r"evolve must be a plain .*later is async"):
            each.decider(function, int)
        with pytest.raises(InvalidArgumentError, match=r"initial must be a plain .*later is async"):
            each.decider(lambda state, _: state, int, initial=function)
        with pytest.raises(InvalidArgumentError, match=r"evolve of the aggregate must be a plain"):
            each.repository(aggregate, "a")
    with pytest.raises(InvalidArgumentError, match=r"every must be a plain .*later is async"):
        Snapshots("a", every=function)
    with pytest.raises(InvalidArgumentError, match="decision must be a plain function"):
        store.decider(lambda state, _: state, int).decide("a-1", function)
    with pytest.raises(InvalidArgumentError, match="decision must be a plain function"):
        await async_store.decider(lambda state, _: state, int).decide("a-1", function)
