"""Two servers, and databases of a test's own on both, for stores that move."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import Directory
from pgstore.embedded import Server
from tests.embedded.moving import EFFECTS, SETTINGS, STORE, Places, remove_left_behind


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with Server(settings=SETTINGS) as one, Server(settings=SETTINGS) as other:
        yield one, other


_DATABASES = iter(range(1000))


@pytest.fixture
def places(servers: tuple[Server, Server]) -> Iterator[Places]:
    """Databases of this test's own, on both servers."""
    names = [f"{name}_{next(_DATABASES)}" for name in ("bank", "places")]
    found = []
    for server in servers:
        with psycopg.connect(server.conninfo, autocommit=True) as conn:
            for name in names:
                conn.execute(f"CREATE DATABASE {name}".encode())
                found.append(make_conninfo(server.conninfo, dbname=name))
    source, third, target, _ = found
    for each in (source, target, third):
        with psycopg.connect(each, autocommit=True) as conn:
            conn.execute(EFFECTS.encode())
    pgstore.install(source, store=STORE)
    directory = Directory(third)
    directory.install()
    directory.put(STORE, source)
    try:
        yield Places(source, target, directory, third)
    finally:
        remove_left_behind(*found)
        for server in servers:
            with psycopg.connect(server.conninfo, autocommit=True) as conn:
                for name in names:
                    conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
