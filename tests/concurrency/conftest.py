"""A store for each file, named sessions in it, and the processes that write to it."""

from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest

from tests.concurrency.sessions import Open, Session
from tests.concurrency.writers import PROCESSES, Writers
from tests.stores import Stores


@pytest.fixture(scope="module")
def store(stores: Stores) -> Iterator[str]:
    """Name of the file's store; its tests write to streams of their own."""
    with stores.taken() as name:
        yield name


@pytest.fixture
def stream() -> str:
    """Name of a stream that does not exist, in a category that does not exist."""
    return f"{uuid4().hex[:12]}-1"


@pytest.fixture
def session(server_conninfo: str, store: str) -> Iterator[Open]:
    """Open named sessions on the store; they are closed after the test, and roll back."""
    with ExitStack() as opened:
        observer = opened.enter_context(psycopg.connect(server_conninfo, autocommit=True))

        def open_session(name: str) -> Session:
            return opened.enter_context(Session(name, server_conninfo, store, observer))

        yield open_session


@pytest.fixture(scope="session")
def writers() -> Iterator[Writers]:
    """Processes that write."""
    with Writers(PROCESSES) as processes:
        yield processes
