"""A store that the client's tests share, with streams of many messages."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

import pgstore

LONG = 1_150
SMALL, LARGE = 10_000, 60_000


@pytest.fixture(scope="session")
def shared(server_conninfo: str) -> Iterator[str]:
    """Name of a store that is installed; tests take a ``stream`` of their own in it."""
    name = f"client_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    yield name
    with psycopg.connect(server_conninfo, autocommit=True, options="-c lock_timeout=30s") as conn:
        conn.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def stream() -> str:
    return f"client-{uuid4()}"


@pytest.fixture
def category() -> str:
    return f"client{uuid4().hex}"


@pytest.fixture(scope="session")
def long_stream(server_conninfo: str, shared: str) -> str:
    """A stream of ``LONG`` messages, ``EventA(version)``: more than a page of each size."""
    return _fill(server_conninfo, shared, "long-1", LONG)


@pytest.fixture(scope="session")
def small_and_large_stream(server_conninfo: str, shared: str) -> tuple[str, str]:
    return (
        _fill(server_conninfo, shared, "small-1", SMALL),
        _fill(server_conninfo, shared, "large-1", LARGE),
    )


def _fill(conninfo: str, store: str, stream: str, count: int) -> str:
    statement = """
        SELECT {}.write_arrays(
          %s, array_agg('EventA'::text), array_agg(jsonb_build_object('num', n) ORDER BY n)
        )
        FROM generate_series(1, %s) AS n
    """
    with psycopg.connect(conninfo) as conn:
        conn.execute(sql.SQL(statement).format(sql.Identifier(store)), (stream, count))
    return stream
