"""A store at two places, and a directory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgstore
from pgstore import AsyncDirectory
from pgstore._core.places import place_of


class Servers:
    """A store at two places, of which it is closed at the second, and a directory at a third."""

    def __init__(self, first: str, second: str, third: str) -> None:
        self.first, self.second, self.third = first, second, third
        self.directory = AsyncDirectory(third)

    async def close(self, conninfo: str, other: str) -> None:
        await self.run(conninfo, "SELECT bank.fence_store(%s)", place_of(other))

    async def open(self, conninfo: str) -> None:
        await self.run(conninfo, "SELECT bank.lift_fence()")

    async def streams(self, conninfo: str) -> list[str]:
        rows = await self.run(conninfo, "SELECT stream FROM bank.all_messages ORDER BY 1")
        return [stream for (stream,) in rows]

    async def move(self) -> None:
        """As `pgstore move`, but for the messages, of which there are none."""
        await self.close(self.first, self.second)
        await self.open(self.second)
        await self.directory.put("bank", self.second)

    async def shut(self, conninfo: str, which: str = "true") -> None:
        """End the sessions in a database, and let none begin."""
        dbname = str(conninfo_to_dict(conninfo)["dbname"])
        async with await psycopg.AsyncConnection.connect(self.third, autocommit=True) as conn:
            await conn.execute(f"ALTER DATABASE {dbname} ALLOW_CONNECTIONS false".encode())
        await self.end_sessions(conninfo, which)

    async def end_sessions(self, conninfo: str, which: str = "true") -> None:
        dbname = str(conninfo_to_dict(conninfo)["dbname"])
        await self.run(
            self.third,
            "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity AS a"
            f" WHERE a.datname = '{dbname}' AND {which}",
        )

    async def reopen(self, conninfo: str) -> None:
        dbname = str(conninfo_to_dict(conninfo)["dbname"])
        await self.run(self.third, f"ALTER DATABASE {dbname} ALLOW_CONNECTIONS true")

    async def run(self, conninfo: str, statement: str, *parameters: str) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
            cursor = await conn.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    @classmethod
    @asynccontextmanager
    async def made(cls, conninfo: str) -> AsyncIterator[Self]:
        names = [f"place_{uuid4().hex[:12]}" for _ in range(3)]
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
            for name in names:
                await conn.execute(f"CREATE DATABASE {name}".encode())
            first, second, third = (make_conninfo(conninfo, dbname=name) for name in names)
            for place in (first, second):
                pgstore.install(place, store="bank")
            servers = cls(first, second, third)
            await servers.close(second, first)
            await servers.directory.install()
            await servers.directory.put("bank", first)
            try:
                yield servers
            finally:
                for name in names:
                    await conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
