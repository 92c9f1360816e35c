"""One store for each test file, and stream names that no other test has."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from tests.sql.store import Store
from tests.stores import Stores


@pytest.fixture(scope="module")
def store(server_conninfo: str, stores: Stores) -> Iterator[Store]:
    """Take a store for the tests of a file. What they need to themselves is the stream."""
    with stores.taken() as name, psycopg.connect(server_conninfo, autocommit=True) as conn:
        yield Store(conn, name)


@pytest.fixture
def stream() -> str:
    return f"account-{uuid4().hex}"


@pytest.fixture
def schema(store: Store) -> str:
    """The file's store, so that `connect` closes its connections before that is dropped."""
    return store.name


@pytest.fixture
def empty(server_conninfo: str, stores: Stores) -> Iterator[Store]:
    """A store of its own, in which nothing was written."""
    with stores.taken() as name, psycopg.connect(server_conninfo, autocommit=True) as conn:
        yield Store(conn, name)
