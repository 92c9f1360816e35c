"""Statements of a store: how one runs, and where."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncTransaction, Pipeline
from psycopg.rows import TupleRow, tuple_row

from pgstore._async.cursor import Parameters, StoreCursor, run
from pgstore._async.direct import AsyncDirectConnection
from pgstore._async.source import AsyncSource, Pool, PoolConnection
from pgstore._compat.joining import AsyncConn, async_join
from pgstore._compat.tasks import async_pause
from pgstore._core import statements as s
from pgstore._core.frameworks import refuse_taken_out
from pgstore._core.translation import is_elsewhere, is_gone, is_lost_connection, refuse_failed
from pgstore.errors import InvalidArgumentError, StoreMovedError

# So many may come out of a pool in a row before an operation gives up: those that the pool was
# opening when all were ended come back after it was drained.
_DEAD_CONNECTIONS = 4

# So long, in seconds, an operation waits for a store that moves to be open again: as long as for a
# connection. It tries after the first of these pauses, then less and less often.
_MOVES = 30.0
_CLOSED = (0.02, 0.25)


@asynccontextmanager
async def joined(conn: AsyncConn) -> AsyncIterator[AsyncConnection[Any]]:
    """psycopg's connection, or the one under SQLAlchemy's or Django's, in its transaction.

    If a statement in this block fails, the framework does not commit the transaction.
    """
    if isinstance(conn, AsyncConnection):
        refuse_taken_out(conn)
        yield conn
        return
    found = await async_join(conn)
    try:
        yield found.raw
    except BaseException as error:
        found.failed(error)
        raise


class AsyncDatabase:
    """Runs the store's statements on connections of its source, or of the caller."""

    def __init__(self, source: AsyncSource) -> None:
        self.source = source
        self.statements = source.statements
        self.outage = source.outage

    async def ready(self) -> Pool:
        """The open pool of a store that is there."""
        return await self.source.ready()

    async def permit(self) -> None:
        """Make sure that the store is there, for a statement in a transaction of the caller's."""
        await self.source.ready()

    async def take(self, pool: Pool, handlers: bool = False) -> PoolConnection:
        """Take a connection out of the pool; if there is none in time, the error says why."""
        return await self.source.take(pool)

    async def give_back(self, pool: Pool, conn: PoolConnection) -> None:
        """Give it back; the pool ends, or closes, what was left unfinished on it."""
        await self.source.give_back(pool, conn)

    @asynccontextmanager
    async def taken(self, pool: Pool, handlers: bool = False) -> AsyncIterator[PoolConnection]:
        """A connection of the pool in this block."""
        conn = await self.take(pool, handlers)
        try:
            async with self.source.block(conn):
                yield conn
        finally:
            await self.give_back(pool, conn)

    @asynccontextmanager
    async def joined(self, conn: AsyncConn | None) -> AsyncIterator[PoolConnection | None]:
        """psycopg's connection in the caller's transaction in this block; None if there is none."""
        conn = self.source.ambient() if conn is None else conn
        if conn is None:
            yield None
            return
        async with joined(conn) as raw:
            yield raw

    async def rows(
        self,
        statement: str,
        parameters: Parameters,
        conn: AsyncConn | None = None,
        *,
        repeatable: bool = True,
    ) -> list[TupleRow]:
        """Run one statement of the store: on the caller's connection, or on one of the pool.

        On one of the pool it is its own transaction, and it is run again if the connection turns
        out to be dead. That is safe: nearly every statement here reads, or writes messages by their
        ids, and has the same effect twice as once. It is also run once more, on a new connection,
        if the server was read-only: the address may lead to another one by now.
        """
        statement = self.statements[statement]
        try:
            conn = self.source.ambient() if conn is None else conn
            if conn is not None:
                await self.permit()
                async with joined(conn) as raw:
                    return await run(raw, statement, parameters)
            return await self._repeated(statement, parameters, repeatable)
        except (psycopg.Error, InvalidArgumentError) as error:
            if error.sqlstate is None:
                raise
            # The server has refused it: the network between is the same for every statement.
            raise error.with_traceback(None) from None

    async def _repeated(
        self, statement: str, parameters: Parameters, repeatable: bool
    ) -> list[TupleRow]:
        pool = await self.ready()
        tries, elsewhere = _DEAD_CONNECTIONS if repeatable else 0, False
        since, delay = None, _CLOSED[0]
        while True:
            began = time.monotonic()
            try:
                rows = await self._run_on(pool, statement, parameters)
            except StoreMovedError as error:
                # Nothing was done: also a statement that is not repeatable runs again.
                since = since or time.monotonic()
                if not await self.source.moved(error) or not self.waits_for_move(since):
                    raise
                await async_pause(delay)
                delay = min(2 * delay, _CLOSED[1])
            except psycopg.Error as error:
                if is_gone(error) and await self.source.look_again():
                    continue  # a move has been taken back, or the former place was dropped
                if is_elsewhere(error):
                    if elsewhere:  # it is the role that is read-only, or there is no primary yet
                        raise
                    elsewhere = True
                    await self.source.look_again()
                elif is_lost_connection(error):
                    tries -= 1
                else:
                    raise
                await self.source.renew(pool, began)
                if tries < 0:
                    raise
            else:
                if elsewhere:
                    self.source.leave_server()
                return rows

    def waits_for_move(self, since: float) -> bool:
        """Whether an operation that met a closed store at a time waits for it to be open."""
        return time.monotonic() - since < _MOVES

    async def _run_on(self, pool: Pool, statement: str, parameters: Parameters) -> list[TupleRow]:
        conn = await self.take(pool)
        try:
            if isinstance(conn, AsyncDirectConnection):
                return await conn.rows(statement, parameters)
            async with self.source.block(conn):  # of a pool of the user's
                if conn.autocommit:
                    return await run(conn, statement, parameters)
                # Without this there would be three round trips, not one.
                await conn.set_autocommit(True)
                try:
                    return await run(conn, statement, parameters)
                finally:
                    if not conn.closed:
                        await conn.set_autocommit(False)
        finally:
            await self.give_back(pool, conn)

    @asynccontextmanager
    async def transaction(
        self, first: tuple[str, Parameters] | None = None
    ) -> AsyncIterator[PoolConnection]:
        """A connection of the pool in a transaction: committed at the end, or rolled back.

        A first statement, whose answer nobody needs, goes to the server together with BEGIN. Raises
        TransactionFailedError if the block ends normally and there is nothing left to commit.
        """
        pool = await self.ready()
        if self.source.transaction is not None:
            async with self.source.transaction() as conn:
                if first is not None:
                    await run(conn, self.statements[first[0]], first[1])
                yield conn
            return
        try:
            async with AsyncExitStack() as stack:
                conn = await self._begun(pool, stack, first)
                began = time.monotonic()
                try:
                    yield conn
                except psycopg.Error as error:
                    if is_gone(error) or is_elsewhere(error):
                        await self.source.look_again()
                    if is_elsewhere(error):
                        await self.source.renew(pool, began, elsewhere=True)
                    raise
                refuse_failed(conn)
        except StoreMovedError as error:
            if await self.source.moved(error):
                # So the caller's next transaction is at the new place. A role that may not read
                # meets the error again until the store is open there.
                with suppress(psycopg.Error):
                    await self.rows(s.HORIZON, ())
            raise

    async def _begun(
        self, pool: Pool, stack: AsyncExitStack, first: tuple[str, Parameters] | None
    ) -> PoolConnection:
        """A connection in a transaction: dead ones are passed over."""
        for _ in range(_DEAD_CONNECTIONS):
            began = time.monotonic()
            try:
                return await self._begin(pool, stack, first)
            except psycopg.OperationalError as error:
                if not is_lost_connection(error):
                    raise
                await stack.aclose()
                await self.source.renew(pool, began)
        return await self._begin(pool, stack, first)

    async def _begin(
        self, pool: Pool, stack: AsyncExitStack, first: tuple[str, Parameters] | None
    ) -> PoolConnection:
        conn: PoolConnection = await stack.enter_async_context(self.taken(pool, True))
        if first is None:
            await stack.enter_async_context(conn.transaction())
            return conn
        async with AsyncExitStack() as together:
            if Pipeline.is_supported():
                await together.enter_async_context(conn.pipeline())
            # Not conn.transaction(): in a pipeline that opens another one, which lasts as long.
            await stack.enter_async_context(AsyncTransaction(conn))
            statement, parameters = first
            cursor = StoreCursor(conn, row_factory=tuple_row)
            await cursor.execute(self.statements[statement], parameters)
        return conn
