"""A database for what is fuzzed: stores may get any name there."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore


@pytest.fixture(scope="session")
def fuzz_conninfo(server_conninfo: str) -> Iterator[str]:
    """A database with the store ``pgstore``, and nothing else."""
    name = f"fuzz_{uuid4().hex[:12]}"
    database = sql.Identifier(name)
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(database))
    conninfo = make_conninfo(server_conninfo, dbname=name)
    pgstore.install(conninfo)
    yield conninfo
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
