"""`pgstore stores`: a directory of stores, some of which do not answer."""

import socket
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore._core.places import place_of
from pgstore.cli import directory
from tests.cli.conftest import Command
from tests.conftest import Connect


@pytest.fixture
def listed(conninfo: str) -> Iterator[str]:
    """A database for a directory."""
    name = f"places_{uuid4().hex[:12]}"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
        yield make_conninfo(conninfo, dbname=name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def stores_of(run_here: Command, listed: str) -> Command:
    return lambda *arguments: run_here("stores", "--directory", listed, *arguments)


def rows(found: Any) -> dict[str, Any]:
    assert found.code == 0, found.err
    return {row["store"]: row for row in found.rows}


def test_store_is_listed_with_place_size_rate_and_lag(
    stores_of: Command,
    store: pgstore.MessageStore[pgstore.RawMessage],
    conninfo: str,
    admin: psycopg.Connection[Any],
) -> None:
    """120 of 124 messages are of the last minute, and 100 are not handled."""
    name = store.name
    admin.execute(f"UPDATE {name}.messages SET added_at = now() - interval '1 hour'".encode())
    store.write_many("account-3", [pgstore.RawMessage("Deposited", b"{}")] * 120)
    store.subscription("ahead", start=124).create()
    store.subscription("late", start=24).create()
    added = stores_of("--add", name)
    assert (added.code, added.out) == (0, f"Store {name} is at {place_of(conninfo)}.\n")
    (row,) = rows(stores_of("--json")).values()
    assert row["conninfo"] == place_of(conninfo)
    assert (row["state"], row["problem"]) == ("open", None)
    assert (row["messages_per_second"], row["behind"]) == (2.0, 100)
    ((size,),) = admin.execute(
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'",
        [name],
    ).fetchall()
    assert row["bytes"] == size
    table = stores_of().out
    assert [word for word in ("place", "size", "messages/s", "behind") if word not in table] == []
    assert stores_of("--remove", name).code == 0
    assert stores_of("--remove", name).code == 4
    assert stores_of("--json").rows == []
    assert stores_of("--add", name, "--remove", name).code == 2


def test_store_is_listed_for_a_role_as_far_as_its_rights_go(
    run_here: Command,
    store: pgstore.MessageStore[pgstore.RawMessage],
    conninfo: str,
    listed: str,
    admin: psycopg.Connection[Any],
) -> None:
    run_here("stores", "--directory", listed, "--add", store.name)
    role = f"guest_{uuid4().hex[:8]}"
    admin.execute(f"CREATE ROLE {role} LOGIN".encode())
    with psycopg.connect(listed, autocommit=True) as conn:
        conn.execute(f"GRANT USAGE ON SCHEMA pgstore_directory TO {role}".encode())
        conn.execute(f"GRANT SELECT ON pgstore_directory.stores TO {role}".encode())
        try:
            own = ("stores", "--json", "--directory", make_conninfo(listed, user=role))
            (row,) = run_here(*own).rows
            assert row["bytes"] > 0
            assert (row["messages_per_second"], row["behind"]) == (None, None)
            assert role in row["problem"]
            admin.execute(f"SELECT {store.name}.grant_access('{role}', 'monitor')".encode())
            (row,) = run_here(*own).rows
            assert row["problem"] is None
            assert row["messages_per_second"] > 0
        finally:
            conn.execute(f"DROP OWNED BY {role}".encode())
            admin.execute(f"DROP OWNED BY {role}".encode())
            admin.execute(f"DROP ROLE {role}".encode())


def test_places_that_do_not_answer_are_asked_together_and_left_alone(
    stores_of: Command, schema: str, conninfo: str, listed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_PATIENCE", 1.0)
    pgstore.install(conninfo, store=schema)
    assert stores_of("--add", schema).code == 0
    assert stores_of("--add", "gone", "--conninfo", "host=127.0.0.1 port=1 dbname=d").code == 0
    assert stores_of("--add", "neither").code == 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        away = f"host=127.0.0.1 port={port} dbname=d"
        names = [f"silent{n:02}" for n in range(15)]
        for name in names:
            assert stores_of("--add", name, "--conninfo", away).code == 0
        with psycopg.connect(listed) as conn:
            conn.execute("INSERT INTO pgstore_directory.stores VALUES ('wrong', 'nothing')")
        began = time.monotonic()
        found = rows(stores_of("--json"))
        assert time.monotonic() - began < 12
    assert list(found) == sorted(["gone", "neither", "wrong", *names, schema])
    assert {found[name]["problem"] for name in names} == {"no answer in 1 s"}
    assert "refused" in found["gone"]["problem"]
    assert "neither" in found["neither"]["problem"]
    assert "cannot be read" in found["wrong"]["problem"]
    assert found[schema]["problem"] is None


def test_place_that_is_locked_is_left_alone(
    stores_of: Command,
    schema: str,
    conninfo: str,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(directory, "_PATIENCE", 1.0)
    pgstore.install(conninfo, store=schema)
    assert stores_of("--add", schema).code == 0
    with connect(autocommit=False) as conn:
        conn.execute(f"LOCK TABLE {schema}.messages IN ACCESS EXCLUSIVE MODE".encode())
        assert rows(stores_of("--json"))[schema]["problem"] == "no answer in 1 s"


def test_closed_store_is_listed_with_its_other_place(
    stores_of: Command, schema: str, conninfo: str, admin: psycopg.Connection[Any]
) -> None:
    pgstore.install(conninfo, store=schema)
    admin.execute(f"SELECT {schema}.fence_store('host=elsewhere dbname=d')".encode())
    assert stores_of("--add", schema).code == 0
    row = rows(stores_of("--json"))[schema]
    assert row["problem"] == "closed there, and at another place: host=elsewhere dbname=d"
    assert row["bytes"] > 0


def test_directory_is_made_by_the_first_store_that_is_added(
    stores_of: Command, schema: str, listed: str, admin: psycopg.Connection[Any]
) -> None:
    """Afterwards a role may add stores that may not make a directory."""
    missing = stores_of()
    assert (missing.code, "--add makes it" in missing.err) == (1, True)
    assert stores_of("--add", "one", "--conninfo", "host=a dbname=d").code == 0
    role = f"adder_{uuid4().hex[:8]}"
    admin.execute(f"CREATE ROLE {role} LOGIN".encode())
    with psycopg.connect(listed, autocommit=True) as conn:
        conn.execute(f"GRANT USAGE ON SCHEMA pgstore_directory TO {role}".encode())
        conn.execute(f"GRANT SELECT, INSERT, UPDATE ON pgstore_directory.stores TO {role}".encode())
        try:
            own = make_conninfo(listed, user=role)
            added = stores_of("--directory", own, "--add", "two", "--conninfo", "host=b dbname=d")
            assert added.code == 0
        finally:
            conn.execute(f"DROP OWNED BY {role}".encode())
            admin.execute(f"DROP ROLE {role}".encode())
    without = stores_of("--add", "three", "--conninfo", "host=a")
    assert (without.code, "dbname" in without.err) == (2, True)
