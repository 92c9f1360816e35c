"""Roles and databases of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.migrations.installers import INSTALLERS, Install

MakeDatabase = Callable[..., str]


@pytest.fixture(params=INSTALLERS)
def install(request: pytest.FixtureRequest) -> Install:
    """Install a store, by psql and by Python."""
    return INSTALLERS[request.param]


@pytest.fixture
def make_database(server_conninfo: str) -> Iterator[MakeDatabase]:
    """Create a database; the connection string."""
    with ExitStack() as stack:
        conn = stack.enter_context(psycopg.connect(server_conninfo, autocommit=True))

        def make(options: str = "") -> str:
            name = f"test_{uuid4().hex[:12]}"
            database = sql.Identifier(name)
            conn.execute(sql.SQL("CREATE DATABASE {} ").format(database) + sql.SQL(options))
            stack.callback(conn.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
            return make_conninfo(server_conninfo, dbname=name)

        yield make


@pytest.fixture
def role(server_conninfo: str) -> Iterator[str]:
    """Create a role that may log in and nothing else; give its name."""
    name = f"role_{uuid4().hex[:12]}"
    role = sql.Identifier(name)
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        yield name
        conn.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
        conn.execute(sql.SQL("DROP ROLE {}").format(role))
