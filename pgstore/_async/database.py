"""Connections: where they come from, and how a statement of the store runs on one."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncTransaction, Pipeline
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import AsyncConnectionPool, PoolClosed

from pgstore import _aio
from pgstore._async.cursor import Parameters, StoreCursor, run
from pgstore._async.installation import ensure
from pgstore._statements import NOTIFY, Statements
from pgstore._translation import is_lost_connection, refuse_failed
from pgstore.errors import PgstoreError

# Any: a pool of the user's may have any row factory, and connections of a class of their own.
PoolConnection = AsyncConnection[Any]
Pool = AsyncConnectionPool[Any]

# So many may come out of a pool in a row before an operation gives up: those that the pool was
# opening when all were ended come back after its check.
_DEAD_CONNECTIONS = 4

# So long, a waker that has only a question waits for a connection.
_FREE_SOON = 1.0

# Of the store's own connections, whatever the connection string or the environment says.
_OWN: dict[str, Any] = {"autocommit": True, "client_encoding": "utf8"}


class AsyncDatabase:
    """The store's way to its database: a pool, its own or the user's."""

    def __init__(
        self, source: str | Pool | None, name: str, create: bool, prepare_threshold: int | None = 5
    ) -> None:
        self.name = name
        self.room = 10
        self.statements = Statements(name)
        self._create = create
        self._own = {**_OWN, "prepare_threshold": prepare_threshold}
        self._conninfo = source if isinstance(source, str) else ""
        self._given = None if source is None or isinstance(source, str) else source
        self._pool: Pool | None = None
        self._end: _aio.LoopEnd | None = None
        self._lock = asyncio.Lock()
        self._pid = os.getpid()
        self.closings = 0  # begun
        self._closed = 0  # and done

    async def rows(
        self,
        statement: str,
        parameters: Parameters,
        conn: AsyncConnection[object] | None = None,
        *,
        repeatable: bool = True,
    ) -> list[TupleRow]:
        """Run one statement of the store: on the caller's connection, or on one of the pool.

        On one of the pool it is its own transaction, and it is run again if the connection turns
        out to be dead: nearly every statement here reads, or writes messages by their ids, or has
        for other reasons the same effect as once.
        """
        if conn is not None:
            await self.ready()
            return await run(conn, statement, parameters)
        pool = await self.ready()
        for _ in range(_DEAD_CONNECTIONS if repeatable else 0):
            try:
                return await self._run_on(pool, statement, parameters)
            except psycopg.OperationalError as error:
                if not is_lost_connection(error):
                    raise
                await pool.check()
        return await self._run_on(pool, statement, parameters)

    async def _run_on(self, pool: Pool, statement: str, parameters: Parameters) -> list[TupleRow]:
        async with pool.connection() as conn:
            if conn.autocommit:
                return await run(conn, statement, parameters)
            # A pool of the user's. Without this there would be three round trips, not one.
            await conn.set_autocommit(True)
            try:
                return await run(conn, statement, parameters)
            finally:
                if not conn.closed:
                    await conn.set_autocommit(False)

    @asynccontextmanager
    async def transaction(
        self, first: tuple[str, Parameters] | None = None
    ) -> AsyncIterator[PoolConnection]:
        """A connection of the pool in a transaction: committed at the end, or rolled back.

        A first statement, whose answer nobody needs, goes to the server together with BEGIN. Raises
        TransactionFailedError if the block ends normally and there is nothing left to commit.
        """
        pool = await self.ready()
        async with AsyncExitStack() as stack:
            for _ in range(_DEAD_CONNECTIONS):
                try:
                    conn = await _begin(pool, stack, first)
                    break
                except psycopg.OperationalError as error:
                    if not is_lost_connection(error):
                        raise
                    await stack.aclose()
                    await pool.check()
            else:
                conn = await _begin(pool, stack, first)
            yield conn
            refuse_failed(conn)

    async def ready(self, closings: int | None = None) -> Pool:
        """The open pool of a store that is there; installs it if this may.

        Who began after so many closings gets none that is opened after another: PoolClosed.
        """
        pool = self._pool
        if pool is not None and self._pid != os.getpid():
            # Its connections are the other process's too: answers would go to either.
            raise PgstoreError(
                "this store was used before the process forked: make a store in each process"
            )
        if pool is None:
            async with self._lock:
                if closings is not None and self._closed > closings:
                    raise PoolClosed("the store was closed")
                if self._pool is None:
                    pool = await self._open()
                    self._end = _aio.LoopEnd(pool.close)
                    self._pool = pool
                    self._pid = os.getpid()
                pool = self._pool
        return pool

    async def _open(self) -> Pool:
        if self._given is not None:
            async with self._given.connection() as conn:
                restore = conn.autocommit
                await conn.set_autocommit(True)
                try:
                    await ensure(conn, self.statements, self.name, create=self._create)
                finally:
                    if not conn.closed:
                        await conn.set_autocommit(restore)
            return self._given
        # A plain connection first: a wrong address is an error now, not a time-out of the pool.
        async with await AsyncConnection.connect(self._conninfo, **self._own) as conn:
            await ensure(conn, self.statements, self.name, create=self._create)
        pool: Pool = AsyncConnectionPool(
            self._conninfo,
            kwargs=self._own,
            min_size=1,
            max_size=self.room,
            name=f"pgstore {self.name}",
            open=False,
        )
        try:
            # With its connection: asked before it is there, the pool would open another.
            await pool.open(wait=True)
        except BaseException:
            await pool.close()
            raise
        return pool

    async def notify(self, channel: str) -> int | None:
        """Notify on a connection of the pool; the process of its session, None if none is free."""
        pool = await self.ready()
        try:
            async with pool.connection(timeout=_FREE_SOON) as conn:
                ((pid,),) = await run(conn, NOTIFY, (channel,))
        except psycopg.OperationalError:  # a PoolTimeout, too
            return None
        return int(pid)

    async def make_room(self) -> None:
        """Let the store's own pool have `room` connections; one of the user's is as it is."""
        pool = await self.ready()
        if pool is not self._given and pool.max_size < self.room:
            await pool.resize(pool.min_size, self.room)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PoolConnection]:
        """A connection beside the pool, in autocommit mode: for a session that waits."""
        pool = await self.ready()
        if pool is self._given and not isinstance(pool.conninfo, str):
            # Made by a function of the user's, which only the pool calls.
            async with pool.connection() as conn:
                await conn.set_autocommit(True)
                try:
                    yield conn
                finally:
                    if not conn.closed:
                        await conn.set_autocommit(False)
            return
        conninfo = pool.conninfo if isinstance(pool.conninfo, str) else self._conninfo
        kwargs = pool.kwargs if isinstance(pool.kwargs, dict) else {}
        options = {**kwargs, "autocommit": True}
        async with await AsyncConnection.connect(conninfo, **options) as conn:
            yield conn

    async def aclose(self) -> None:
        """Close the pool unless it is the user's; the next operation opens a new one."""
        async with self._lock:
            self._closed = self.closings
            pool, self._pool = self._pool, None
            if self._end is not None:
                self._end.forget()
            if pool is not None and pool is not self._given:
                await pool.close()


async def _begin(
    pool: Pool, stack: AsyncExitStack, first: tuple[str, Parameters] | None
) -> PoolConnection:
    conn: PoolConnection = await stack.enter_async_context(pool.connection())
    if first is None:
        await stack.enter_async_context(conn.transaction())
        return conn
    async with AsyncExitStack() as together:
        if Pipeline.is_supported():
            await together.enter_async_context(conn.pipeline())
        # Not conn.transaction(): in a pipeline that opens another one, which lasts as long.
        await stack.enter_async_context(AsyncTransaction(conn))
        await StoreCursor(conn, row_factory=tuple_row).execute(*first)
    return conn
