"""The pool of a SQLAlchemy engine, as a store uses one of psycopg_pool."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolTimeout

from pgstore._compat.django import async_django_pool
from pgstore._compat.joining import async_spawn, unwrapped
from pgstore._core.frameworks import kind_of, refuse_engine, refused_creator

# Their connection is shared: a transaction of the application's may be open on it.
_SHARING = {"StaticPool", "SingletonThreadPool", "AssertionPool"}


def lent_pool(source: object) -> Any:
    """The pool of an engine, or of one of Django's databases."""
    kind = kind_of(source)
    if kind == "django":
        return async_django_pool(source)
    return AsyncEnginePool(source)


class AsyncEnginePool:
    """Borrows connections of an engine's pool, gives them back, and closes none that works."""

    # Nothing of a thread's or task's own, as Django's connections are.
    transaction = None

    def __init__(self, engine: Any) -> None:
        refuse_engine(engine)
        self._engine = getattr(engine, "sync_engine", engine)
        self._lent: dict[AsyncConnection[Any], tuple[Any, Any]] = {}  # and the pool of each

    @property
    def timeout(self) -> float:
        """Seconds until `getconn` gives up."""
        timeout = getattr(self._engine.pool, "timeout", None)
        return 30.0 if timeout is None else float(timeout())

    def ambient(self) -> None:
        """None: a connection in whose transaction statements run by themselves."""
        return

    async def permit(self) -> None:
        """Raise if the application may not connect here; an engine always may."""

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[Any]:
        """Take a connection; the engine has its own time-out."""
        pool = self._engine.pool
        conn, entry = await self._connect(self._beside if self._shares else self._borrowed)
        self._lent[conn] = entry, pool
        return conn

    async def putconn(self, conn: AsyncConnection[Any]) -> None:
        """Give it back; if it is dead, or of a pool that was drained, it is closed."""
        entry, pool = self._lent.pop(conn)
        await async_spawn(_end, entry, conn.closed or pool is not self._engine.pool)

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection in this block."""
        conn = await self.getconn(timeout)
        try:
            async with self.block(conn):
                yield conn
        finally:
            await self.putconn(conn)

    def block(self, conn: AsyncConnection[Any]) -> AbstractAsyncContextManager[None]:
        """Commit what is done on the connection in this block, or roll it back."""
        return _committed(conn)

    async def drain(self) -> None:
        """Have the engine connect anew: its connections are dead, or lead to a standby.

        SQLAlchemy itself finds out only the first.
        """
        if not self._shares:
            await async_spawn(self._engine.dispose)

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection that the engine makes, and that is none of its pool's."""
        conn, entry = await self._connect(self._beside)
        before = conn.autocommit
        try:
            await conn.set_autocommit(True)
            yield conn
        finally:
            try:
                # The engine may get its connections from a psycopg pool, which takes this one back
                # and gives it to the application: in autocommit mode that could not roll back.
                with suppress(psycopg.Error):
                    await conn.execute("UNLISTEN *")
                    await conn.set_autocommit(before)
            finally:
                await async_spawn(_end, entry, conn.closed)

    async def _connect(
        self, connect: Callable[[], tuple[Any, Any]]
    ) -> tuple[AsyncConnection[Any], Any]:
        with unwrapped():
            try:
                conn, entry = await async_spawn(connect)
            except sys.modules["sqlalchemy.exc"].TimeoutError as error:
                raise PoolTimeout(str(error)) from error
        return conn, entry

    def _borrowed(self) -> tuple[Any, Any]:
        entry = self._engine.raw_connection()
        return entry.driver_connection, entry

    @property
    def _shares(self) -> bool:
        return any(cls.__name__ in _SHARING for cls in type(self._engine.pool).__mro__)

    def _beside(self) -> tuple[Any, Any]:
        shared = getattr(self._engine.pool, "connection", None)  # of a StaticPool
        entry = _Beside(self._engine.pool.recreate())
        if entry.was_used or (shared and shared.driver_connection) is entry.driver_connection:
            entry.leave()
            raise refused_creator()
        return entry.driver_connection, entry


class _Beside:
    """A connection in a pool like the engine's, with its events, for this one connection."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.was_used = False
        # First: SQLAlchemy's own listener may roll back.
        sys.modules["sqlalchemy.event"].listen(pool, "connect", self._made, insert=True)
        self._entry = pool.connect()
        self.driver_connection = self._entry.driver_connection
        self.invalidate = self._entry.invalidate

    def _made(self, _: object, entry: Any) -> None:
        self.was_used = entry.driver_connection.info.transaction_status != TransactionStatus.IDLE

    def leave(self) -> None:
        """Let go of the connection: neither roll it back nor close it."""
        self._entry.detach()

    def close(self) -> None:
        self._entry.close()
        self._pool.dispose()


def _end(entry: Any, is_dead: bool) -> None:
    if is_dead:
        entry.invalidate()
    entry.close()


@asynccontextmanager
async def _committed(conn: AsyncConnection[Any]) -> AsyncIterator[None]:
    """As psycopg's `with conn`, which would also close a connection of no psycopg pool."""
    try:
        yield
    except BaseException:
        if not conn.closed and conn.info.transaction_status != TransactionStatus.IDLE:
            await conn.rollback()
        raise
    if not conn.closed and conn.info.transaction_status != TransactionStatus.IDLE:
        await conn.commit()
