"""What every test can ask for: a server, a name for a store of its own, connections."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Protocol
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from tests.initial import copied_data_folders
from tests.server import running_server
from tests.stores import Stores
from tests.workers import (
    pytest_collection_modifyitems,
    pytest_runtest_protocol,
    pytest_xdist_make_scheduler,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_runtest_protocol",
    "pytest_xdist_make_scheduler",
]

# A shell that starts us in the background has us ignore it, and so would all that we start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A command that is given no database would start a server there, which nothing would stop.
os.environ["PGSTORE_HOME"] = "/dev/null/home"


def pytest_collection_finish() -> None:
    """Keep the collected tests out of garbage collections.

    They are 300,000 objects that stay to the end: to walk along them took a sixth of the processor
    time of the processes that run tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class Connect(Protocol):
    """Open a connection that is closed after the test; ``params`` are libpq's."""

    def __call__(
        self, *, autocommit: bool = True, **params: str
    ) -> psycopg.Connection[TupleRow]: ...


@pytest.fixture(scope="session")
def server_conninfo() -> Iterator[str]:
    """Connection string of the session's server, as a superuser."""
    with running_server() as conninfo:
        yield conninfo


@pytest.fixture(scope="session", autouse=True)
def embedded_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let `pgstore.embedded` make its data folders in a shorter time."""
    base = tmp_path_factory.getbasetemp()
    with copied_data_folders(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base):
        yield


@pytest.fixture
def conninfo(server_conninfo: str) -> str:
    """Connection string of the database that tests share; each has a ``schema`` of its own."""
    return server_conninfo


@pytest.fixture(scope="session")
def stores(server_conninfo: str) -> Iterator[Stores]:
    """Installed stores: tests that do not change what was installed take one, and give it back."""
    stores = Stores(server_conninfo)
    yield stores
    stores.close()


@pytest.fixture(scope="session")
def dropping(server_conninfo: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """The connection that drops what tests have made."""
    with psycopg.connect(server_conninfo, autocommit=True, options="-c lock_timeout=30s") as conn:
        yield conn


@pytest.fixture
def schema(dropping: psycopg.Connection[TupleRow]) -> Iterator[str]:
    """Name for a store that does not exist yet; what the test makes of it is dropped afterwards."""
    name = f"store_{uuid4().hex[:12]}"
    yield name
    dropping.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


def close(conn: psycopg.Connection[TupleRow]) -> None:
    """Close a connection; its transaction has ended then, not only when the server notices."""
    if conn.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        with suppress(psycopg.Error):  # its session was ended
            conn.rollback()
    conn.close()


@pytest.fixture
def connect(conninfo: str, schema: str) -> Iterator[Connect]:
    """Open connections, in autocommit mode unless told otherwise.

    It asks for ``schema`` so that connections are closed before the schema is dropped: one that
    was left in a transaction would block that.
    """
    with ExitStack() as opened:

        def connect(*, autocommit: bool = True, **params: str) -> psycopg.Connection[TupleRow]:
            conn = psycopg.connect(make_conninfo(conninfo, **params), autocommit=autocommit)
            opened.callback(close, conn)
            return conn

        yield connect
