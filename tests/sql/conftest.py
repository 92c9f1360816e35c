"""One store for each test file, and stream names that no other test has."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

import pgstore
from tests.released import make_store
from tests.sql.store import Store, drop


@pytest.fixture(scope="module")
def store(server_conninfo: str) -> Iterator[Store]:
    """Install a store for the tests of a file. What they need to themselves is the stream."""
    name = f"store_{uuid4().hex[:12]}"
    make_store(server_conninfo, name)
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        yield Store(conn, name)
    drop(server_conninfo, name)


@pytest.fixture
def stream() -> str:
    return f"account-{uuid4().hex}"


@pytest.fixture
def schema(store: Store) -> str:
    """The file's store, so that `connect` closes its connections before that is dropped."""
    return store.name


@pytest.fixture
def empty(server_conninfo: str) -> Iterator[Store]:
    """A store of its own, in which nothing was written."""
    name = f"store_{uuid4().hex[:12]}"
    pgstore.install(server_conninfo, store=name)
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        yield Store(conn, name)
    drop(server_conninfo, name)
