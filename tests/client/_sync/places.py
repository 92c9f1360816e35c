# Generated from tests/client/_async/places.py by `python tools/unasync.py`.

"""A store at two places, and a directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgstore
from pgstore import Directory
from pgstore._core.places import place_of


class Servers:
    """A store at two places, of which it is closed at the second, and a directory at a third."""

    def __init__(self, first: str, second: str, third: str) -> None:
        self.first, self.second, self.third = first, second, third
        self.directory = Directory(third)

    def close(self, conninfo: str, other: str) -> None:
        self.run(conninfo, "SELECT bank.fence_store(%s)", place_of(other))

    def open(self, conninfo: str) -> None:
        self.run(conninfo, "SELECT bank.lift_fence()")

    def streams(self, conninfo: str) -> list[str]:
        rows = self.run(conninfo, "SELECT stream FROM bank.all_messages ORDER BY 1")
        return [stream for (stream,) in rows]

    def move(self) -> None:
        """As `pgstore move`, but for the messages, of which there are none."""
        self.close(self.first, self.second)
        self.open(self.second)
        self.directory.put("bank", self.second)

    def shut(self, conninfo: str, which: str = "true") -> None:
        """End the sessions in a database, and let none begin."""
        dbname = str(conninfo_to_dict(conninfo)["dbname"])
        with psycopg.Connection.connect(self.third, autocommit=True) as conn:
            conn.execute(f"ALTER DATABASE {dbname} ALLOW_CONNECTIONS false".encode())
        self.end_sessions(conninfo, which)

    def end_sessions(self, conninfo: str, which: str = "true") -> None:
        dbname = str(conninfo_to_dict(conninfo)["dbname"])
        self.run(
            self.third,
            "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity AS a"
            f" WHERE a.datname = '{dbname}' AND {which}",
        )

    def reopen(self, conninfo: str) -> None:
        dbname = str(conninfo_to_dict(conninfo)["dbname"])
        self.run(self.third, f"ALTER DATABASE {dbname} ALLOW_CONNECTIONS true")

    def run(self, conninfo: str, statement: str, *parameters: str) -> list[Any]:
        with psycopg.Connection.connect(conninfo, autocommit=True) as conn:
            cursor = conn.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    @classmethod
    @contextmanager
    def made(cls, conninfo: str) -> Iterator[Self]:
        names = [f"place_{uuid4().hex[:12]}" for _ in range(3)]
        with psycopg.Connection.connect(conninfo, autocommit=True) as conn:
            for name in names:
                conn.execute(f"CREATE DATABASE {name}".encode())
            first, second, third = (make_conninfo(conninfo, dbname=name) for name in names)
            for place in (first, second):
                pgstore.install(place, store="bank")
            servers = cls(first, second, third)
            servers.close(second, first)
            servers.directory.install()
            servers.directory.put("bank", first)
            try:
                yield servers
            finally:
                for name in names:
                    conn.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
