"""A store that the tests of frameworks share."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore


@pytest.fixture(scope="session")
def shared(server_conninfo: str) -> Iterator[str]:
    """Name of a store that is installed; tests take a `stream` of their own in it."""
    name = f"frameworks_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    yield name
    with psycopg.connect(server_conninfo, autocommit=True, options="-c lock_timeout=10s") as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def stream() -> str:
    return f"order-{uuid4()}"
