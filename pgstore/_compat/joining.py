"""Joining the transaction of a framework: of SQLAlchemy, with asyncio and without, and of Django.

SQLAlchemy begins a transaction at its own first statement. A statement on psycopg's connection
underneath does not count: `commit()` would commit nothing. So this begins it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgstore._core.arguments import no_connection
from pgstore._core.frameworks import (
    COMMITS,
    OF_ASYNC_SQLALCHEMY,
    OF_SQLALCHEMY,
    dialect_of_session,
    django_connection,
    kind_of,
    refuse_dialect,
    refuse_failed_commit,
    refuse_next_commit,
    refuse_raw,
    refuse_vendor,
    remember,
)

T = TypeVar("T")
C = TypeVar("C", bound=psycopg.BaseConnection[Any])


class AsyncTransactional(Protocol):
    """SQLAlchemy's AsyncConnection, AsyncSession and async_scoped_session."""

    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...


class Transactional(Protocol):
    """SQLAlchemy's Connection, Session and scoped_session, and Django's connection."""

    def commit(self) -> None: ...
    def rollback(self) -> None: ...


# The values of `conn=`. A str is the alias of one of Django's databases.
AsyncConn = AsyncConnection[Any] | AsyncTransactional
Conn = Connection[Any] | Transactional | str


class AsyncSqlEngine(Protocol):
    """SQLAlchemy's AsyncEngine."""

    @property
    def sync_engine(self) -> Any: ...
    async def dispose(self) -> None: ...


class SqlEngine(Protocol):
    """SQLAlchemy's Engine."""

    def raw_connection(self) -> Any: ...
    def dispose(self) -> None: ...


class SqlUrl(Protocol):
    """SQLAlchemy's URL."""

    @property
    def drivername(self) -> str: ...
    @property
    def database(self) -> str | None: ...


# A store connects with one of these. Without asyncio also with Django's connection.
AsyncConnections = str | AsyncConnectionPool[Any] | AsyncSqlEngine | SqlUrl
Connections = str | ConnectionPool[Any] | SqlEngine | SqlUrl | Transactional

# In the second the connection was lost.
_FAILED = (TransactionStatus.INERROR, TransactionStatus.UNKNOWN)


class Joined(NamedTuple, Generic[C]):
    """psycopg's connection in a transaction of a framework's, and the framework's around it."""

    raw: C
    owner: Any
    is_django: bool = False

    def failed(self, error: BaseException) -> None:
        """Have the framework not commit a transaction in which a statement has failed."""
        if self.is_django:
            _mark_for_rollback(self.raw, self.owner, error)
        elif self.raw.info.transaction_status == TransactionStatus.INERROR:
            # PostgreSQL answers its COMMIT with ROLLBACK, and SQLAlchemy trusts it.
            event: Any = sys.modules["sqlalchemy.event"]
            if not event.contains(self.owner, "commit", refuse_failed_commit):
                for name in COMMITS:
                    event.listen(self.owner, name, refuse_failed_commit)


async_engine_kind = "async engine"
engine_kind = "engine"


async def async_spawn(call: Callable[..., T], *arguments: Any) -> T:
    """Call a function of SQLAlchemy's that waits for its async engine."""
    result: T = await sys.modules["sqlalchemy.util"].greenlet_spawn(call, *arguments)
    return result


def spawn(call: Callable[..., T], *arguments: Any) -> T:
    """Call it."""
    return call(*arguments)


async def async_join(conn: AsyncConn) -> Joined[AsyncConnection[Any]]:
    """The connection to run statements on, in a transaction that the framework knows of."""
    kind = kind_of(conn)
    if kind not in OF_ASYNC_SQLALCHEMY:
        raise no_connection(conn, AsyncConnection)
    owner: Any = conn
    refuse_dialect(_dialect_of(kind, owner), "conn")
    if kind == "async session":
        owner = await owner.connection()
    raw = (await owner.get_raw_connection()).driver_connection
    refuse_raw(raw, AsyncConnection, "conn")
    if not owner.in_transaction():
        await owner.begin()
    remember(raw, owner.sync_connection)
    return Joined(raw, owner.sync_connection)


def join(conn: Conn) -> Joined[Connection[Any]]:
    """The connection to run statements on, in a transaction that the framework knows of."""
    owner: Any = conn
    if isinstance(conn, str):
        owner = django_connection(conn) or conn
    kind = kind_of(owner)
    if kind == "django":
        return Joined(connected(owner), owner, True)
    if kind not in OF_SQLALCHEMY:
        raise no_connection(conn, Connection)
    refuse_dialect(_dialect_of(kind, owner), "conn")
    if kind == "session":
        owner = owner.connection()
    raw = owner.connection.driver_connection
    refuse_raw(raw, Connection, "conn")
    if not owner.in_transaction():
        owner.begin()
    remember(raw, owner)
    return Joined(raw, owner)


def connected(wrapper: Any) -> Connection[Any]:
    """psycopg's connection under Django's, which connects if it has to.

    Outside of `atomic()` it is in autocommit mode, as Django's own statements there.
    """
    refuse_vendor(wrapper)
    wrapper.validate_no_broken_transaction()
    with unwrapped():
        # As before each statement of Django's: checks the thread and the connection's health, and
        # refuses to run in an event loop.
        wrapper.cursor().close()
    raw: Connection[Any] = wrapper.connection
    refuse_raw(raw, Connection, f"Django's database {wrapper.alias!r}")
    return raw


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise psycopg's errors where a framework raises its own from them."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and _is_wrapper(error):
            raise cause from None
        raise


def _is_wrapper(error: Exception) -> bool:
    found = [
        getattr(sys.modules.get(module), name, ())
        for module, name in (("django.db.utils", "Error"), ("sqlalchemy.exc", "DBAPIError"))
    ]
    return any(isinstance(error, each) for each in found)


def _dialect_of(kind: str | None, owner: Any) -> Any:
    """SQLAlchemy's dialect; found before anything is begun, or connected to."""
    if "session" in str(kind):
        return dialect_of_session(owner)
    return owner.dialect


def _mark_for_rollback(
    raw: psycopg.BaseConnection[Any], wrapper: Any, error: BaseException
) -> None:
    """As Django does where a statement of a model fails inside of `atomic()`."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        wrapper.errors_occurred = True  # at the end of the request Django tests the connection
    if wrapper.in_atomic_block and raw.info.transaction_status in _FAILED:
        wrapper.needs_rollback = True
        if isinstance(error, Exception):
            wrapper.rollback_exc = error
    elif not wrapper.in_atomic_block and not wrapper.autocommit:
        refuse_next_commit(wrapper)
