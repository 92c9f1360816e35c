"""A database with a store and Message DB's interface over it, and one with Message DB itself."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

import pgstore
from pgstore import embedded
from tests.transfer.peers import message_db_scripts

STORE = "bank"

# As install.sh runs them, but for the extension pgcrypto: PostgreSQL has gen_random_uuid by itself.
SCRIPTS = [
    *("roles/message-store", "schema/message-store", "tables/messages"),
    "types/message",
    *(
        f"functions/{name}"
        for name in (
            *("message-store-version", "hash-64", "acquire-lock", "category", "is-category", "id"),
            *("cardinal-id", "stream-version", "write-message", "get-stream-messages"),
            *("get-category-messages", "get-last-stream-message"),
        )
    ),
    *("indexes/messages-id", "indexes/messages-stream", "indexes/messages-category"),
    *(
        f"views/{name}"
        for name in (
            *("stream-summary", "type-summary", "stream-type-summary", "type-stream-summary"),
            *("category-type-summary", "type-category-summary"),
        )
    ),
    *(f"privileges/{name}" for name in ("schema", "table", "sequence", "functions", "views")),
]


@contextmanager
def database(server_conninfo: str, *, template: str = "template1") -> Iterator[str]:
    """Give the connection string of a new database."""
    name = f"message_db_{uuid4().hex[:12]}"
    made = sql.Identifier(name)
    with psycopg.connect(server_conninfo, autocommit=True) as server:
        server.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(made, sql.Identifier(template))
        )
        try:
            yield make_conninfo(server_conninfo, dbname=name)
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))


def install_message_db(conninfo: str) -> None:
    """Install the original, whose files are never copied into this repository."""
    scripts = message_db_scripts()
    arguments = [word for each in SCRIPTS for word in ("-f", str(scripts / f"{each}.sql"))]
    subprocess.run(
        [embedded.Server().psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", conninfo, *arguments],
        env={"PGOPTIONS": "-c client_min_messages=warning"},
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def served(server_conninfo: str) -> Iterator[str]:
    """A database with a store and the interface over it."""
    with database(server_conninfo) as conninfo:
        pgstore.install(conninfo, store=STORE, message_db=True)
        yield conninfo


@pytest.fixture(scope="module")
def original(server_conninfo: str) -> Iterator[str]:
    """A database with Message DB."""
    with database(server_conninfo) as conninfo:
        install_message_db(conninfo)
        yield conninfo


@contextmanager
def as_client(conninfo: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """Connect as Message DB's clients do: as the role message_store, with its search_path."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET ROLE message_store")
        yield conn


@pytest.fixture
def client(served: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A client of the interface. Tests share the store: each takes streams of its own."""
    with as_client(served) as conn:
        yield conn
