"""`pgstore doctor`: settings that hurt, a closed store, moves that were cut off."""

import re
import shlex
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore._core import findings
from pgstore._sync.pooling import pooling
from tests.cli.conftest import Command

Store = pgstore.MessageStore[pgstore.RawMessage]


def test_doctor_finds_nothing_wrong_with_a_store_that_is_well(
    store: Store, run_here: Command
) -> None:
    rows = run_here("doctor", "--json").rows
    # The server of the tests does not care for crashes.
    assert {row["name"] for row in rows if row["status"] == "fail"} <= {"fsync"}
    found = {row["name"]: row["status"] for row in rows}
    looked_at = ("server", "primary", "client encoding", "pooler", "store")
    assert {found[name] for name in looked_at} == {"ok"}
    assert run_here("doctor").out.splitlines()[0].startswith("ok    package")


def test_doctor_tells_what_hurts_in_a_session_and_the_remedy(
    store: Store, conninfo: str, run_here: Command
) -> None:
    options = "-c default_transaction_read_only=on -c client_encoding=latin1"
    done = run_here("doctor", "--json", "--conninfo", make_conninfo(conninfo, options=options))
    found = {row["name"]: row for row in done.rows}
    assert done.code == 1
    assert found["primary"]["status"] == "fail"
    assert found["client encoding"]["status"] == "warn"
    assert all(row["remedy"] for row in done.rows if row["status"] != "ok")


def test_doctor_finds_a_pooler_that_gives_a_session_to_each_transaction(conninfo: str) -> None:
    with (
        psycopg.connect(conninfo, autocommit=True) as one,
        psycopg.connect(conninfo, autocommit=True) as another,
        psycopg.connect(conninfo, autocommit=True) as shared,
    ):
        assert pooling(one, another).status == "ok"
        # To such a pooler's clients, two connections can be one session.
        assert pooling(shared, shared).status == "warn"


def test_doctor_names_commands_and_has_no_remedy_for_what_is_fine(
    store: Store,
    parked: pgstore.Subscription[pgstore.RawMessage],
    admin: psycopg.Connection[Any],
    schema: str,
    run_here: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = run_here("doctor", "--json")
    assert {row["remedy"] for row in done.rows if row["status"] == "ok"} == {None}
    (warned,) = [row for row in done.rows if row["name"] == "parked_messages"]
    assert "pgstore parked list NAME" in warned["remedy"]
    monkeypatch.setenv("COLUMNS", "80")
    lines = run_here("doctor").out.splitlines()
    assert max(map(len, lines)) <= 80
    # Nor does any other remedy name a function of the store, but one that no command calls.
    health = sql.SQL("SELECT name, 'warn', value, remedy FROM {}.health()")
    rows = admin.execute(health.format(sql.Identifier(schema))).fetchall()
    remedies = [findings.of_health(*row).remedy for row in rows]
    functions = {
        name
        for (name,) in admin.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = %s::regnamespace", [schema]
        )
    }
    named = {word for remedy in remedies for word in re.findall(r"\w+_\w+", remedy or "")}
    assert named & functions == {"repair_sequences"}
    assert not any("keep_unhandled" in (remedy or "") for remedy in remedies)


def test_doctor_tells_where_a_closed_store_is(
    store: Store, admin: psycopg.Connection[Any], schema: str, run_here: Command
) -> None:
    place = "host=other dbname='my shop'"
    admin.execute(sql.SQL("SELECT {}.fence_store(%s)").format(sql.Identifier(schema)), [place])
    done = run_here("doctor", "--json")
    (found,) = [row for row in done.rows if row["name"] == "open"]
    assert done.code == 1
    assert found["status"] == "fail"
    assert place in found["value"]
    assert f"{shlex.quote(place)} --store {schema}" in found["remedy"]
    admin.execute(sql.SQL("SELECT {}.lift_fence()").format(sql.Identifier(schema)))
    assert "open" not in {row["name"] for row in run_here("doctor", "--json").rows}


def test_status_tells_where_a_closed_store_is(
    store: Store, admin: psycopg.Connection[Any], schema: str, conninfo: str, run_here: Command
) -> None:
    def state(*arguments: str) -> str:
        (row,) = run_here("status", "--json", *arguments).rows
        return str(row["state"])

    assert state() == "up to date"
    admin.execute(sql.SQL("SELECT {}.fence_store('host=other')").format(sql.Identifier(schema)))
    assert state() == "closed; the store is at host=other"
    # A role that may read, and no more, may not know.
    role = f"role_{uuid4().hex[:12]}"
    admin.execute(
        sql.SQL("CREATE ROLE {0}; GRANT USAGE ON SCHEMA {1} TO {0}").format(
            sql.Identifier(role), sql.Identifier(schema)
        )
    )
    try:
        grant = "GRANT EXECUTE ON FUNCTION {0}.applied_migrations, {0}.needed_version TO {1}"
        admin.execute(sql.SQL(grant).format(sql.Identifier(schema), sql.Identifier(role)))
        as_role = make_conninfo(conninfo, options=f"-c role={role}")
        assert state("--conninfo", as_role) == "up to date"
    finally:
        admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def test_doctor_finds_what_a_move_has_left_behind(
    store: Store, admin: psycopg.Connection[Any], run_here: Command
) -> None:
    def moves() -> dict[str, Any]:
        (found,) = [row for row in run_here("doctor", "--json").rows if row["name"] == "moves"]
        assert isinstance(found, dict)
        return found

    assert (moves()["status"], moves()["value"]) == ("ok", "none")
    (level,) = [row for row in run_here("doctor", "--json").rows if row["name"] == "wal_level"]
    assert (level["status"], level["remedy"]) == ("ok", None)
    assert "needs logical" in level["value"]
    for made, dropped, named in (
        (
            "SELECT pg_create_physical_replication_slot('pgstore_move_left', true)",
            "SELECT pg_drop_replication_slot('pgstore_move_left')",
            "slot pgstore_move_left",
        ),
        (
            "CREATE PUBLICATION pgstore_move_left",
            "DROP PUBLICATION pgstore_move_left",
            "publication pgstore_move_left",
        ),
        (
            "CREATE SUBSCRIPTION pgstore_move_left CONNECTION 'dbname=x' PUBLICATION x"
            " WITH (connect = false, slot_name = NONE)",
            "DROP SUBSCRIPTION pgstore_move_left",
            "subscription pgstore_move_left",
        ),
    ):
        admin.execute(made.encode())
        found = moves()
        admin.execute(dropped.encode())
        assert found["status"] == "warn"
        assert found["value"].startswith(named)
        assert "--abort" in found["remedy"]
    assert moves()["status"] == "ok"


def test_doctor_fails_without_a_store(run_here: Command) -> None:
    done = run_here("doctor")
    assert done.code == 1
    assert "pgstore install" in done.out
