"""SQLAlchemy with asyncio and without: each name twice, once with `async`."""

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Connection, Engine, Pool, QueuePool, create_engine
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlmodel import Session as ModelSession
from sqlmodel.ext.asyncio.session import AsyncSession as AsyncModelSession

__all__ = [
    "AsyncConnection",
    "AsyncEngine",
    "AsyncModelSession",
    "AsyncSession",
    "Connection",
    "Engine",
    "ModelSession",
    "Session",
]


def url_of(conninfo: str, driver: str = "psycopg") -> URL:
    """SQLAlchemy's URL of a connection string."""
    found = conninfo_to_dict(conninfo)
    return URL.create(
        f"postgresql+{driver}",
        username=str(found.pop("user")),
        password=found.pop("password", None),  # type: ignore[arg-type]
        database=str(found.pop("dbname")),
        query={name: str(value) for name, value in found.items()},
    )


def async_engine_of(conninfo: str, **options: Any) -> AsyncEngine:
    return create_async_engine(url_of(conninfo), **options)


def engine_of(conninfo: str, **options: Any) -> Engine:
    return create_engine(url_of(conninfo), **options)


def async_engine_by(connect: Any, **options: Any) -> AsyncEngine:
    """An engine that connects by a function."""
    return create_async_engine("postgresql+psycopg://", async_creator=connect, **options)


def engine_by(connect: Any, **options: Any) -> Engine:
    return create_engine("postgresql+psycopg://", creator=connect, **options)


def async_scoped(engine: AsyncEngine) -> async_scoped_session[AsyncSession]:
    return async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 0)


def scoped(engine: Engine) -> scoped_session[Session]:
    return scoped_session(sessionmaker(engine))


async def async_raw_of(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """psycopg's connection, taken out of SQLAlchemy's."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    return raw  # type: ignore[no-any-return]


def raw_of(connection: Connection) -> psycopg.Connection[Any]:
    raw: Any = connection.connection.driver_connection
    return raw  # type: ignore[no-any-return]


async def async_filled(engine: AsyncEngine, number: int) -> list[int]:
    """Have so many connections wait in the engine's pool; the processes of their sessions."""
    opened = [await engine.connect() for _ in range(number)]
    found = [(await async_raw_of(each)).info.backend_pid for each in opened]
    for each in opened:
        await each.close()
    return found


def filled(engine: Engine, number: int) -> list[int]:
    opened = [engine.connect() for _ in range(number)]
    found = [raw_of(each).info.backend_pid for each in opened]
    for each in opened:
        each.close()
    return found


async def async_pooled(connection: AsyncConnection) -> Any:
    return await connection.get_raw_connection()


def pooled(connection: Connection) -> Any:
    return connection.connection


def async_checked_out(engine: AsyncEngine) -> int:
    """How many connections of the engine's pool are in use."""
    return pool_of(engine.pool)


def checked_out(engine: Engine) -> int:
    return pool_of(engine.pool)


def pool_of(pool: Pool) -> int:
    return pool.checkedout() if isinstance(pool, QueuePool) else 0
