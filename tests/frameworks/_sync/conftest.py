# Generated from tests/frameworks/_async/conftest.py by `python tools/unasync.py`.

"""Stores and engines that are closed after the test."""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from sqlalchemy import text

from pgstore import MessageStore
from tests.frameworks.engines import Engine, engine_of
from tests.frameworks.messages import Paid


class OpenEngine(Protocol):
    """Make an engine on the test database."""

    def __call__(self, **options: Any) -> Engine: ...


@pytest.fixture
def open_engine(conninfo: str) -> Iterator[OpenEngine]:
    opened: list[Engine] = []

    def open_engine(**options: Any) -> Engine:
        opened.append(engine_of(conninfo, **options))
        return opened[-1]

    yield open_engine
    for engine in opened:
        engine.dispose()


@pytest.fixture
def engine(open_engine: OpenEngine) -> Engine:
    return open_engine()


@pytest.fixture
def store(conninfo: str, shared: str) -> Iterator[MessageStore[Paid]]:
    """A store with connections of its own."""
    with MessageStore[Paid](conninfo, store=shared, messages=Paid) as store:
        yield store


class Orders:
    """A table of the application's."""

    def __init__(self, engine: Engine, schema: str) -> None:
        self._engine = engine
        self.insert = text(f"INSERT INTO {schema}.orders VALUES (:key)")
        self._count = text(f"SELECT count(*) FROM {schema}.orders")

    def add(self, key: str, conn: Any) -> None:
        """Insert a row in the transaction of a connection, or of a session's."""
        if hasattr(conn, "get_bind"):
            conn = conn.connection()
        conn.execute(self.insert, {"key": key})

    def count(self) -> int:
        """How many rows are stored."""
        with self._engine.connect() as conn:
            return int(conn.execute(self._count).scalar_one())


@pytest.fixture
def orders(engine: Engine, schema: str) -> Iterator[Orders]:
    with engine.begin() as conn:
        conn.execute(text(f"CREATE SCHEMA {schema}"))
        conn.execute(text(f"CREATE TABLE {schema}.orders (key text)"))
    yield Orders(engine, schema)
    engine.dispose()
