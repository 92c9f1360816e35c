"""A store works whatever its name is, and verify judges it by what it is."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

import pgstore
from pgstore import RawMessage, StoredMessage, transfer
from pgstore.cli._script import script
from tests.amounts import amount
from tests.stores import Stores
from tests.transfer.conftest import Place, taken_place
from tests.transfer.test_commands import run

__all__ = ["run"]

# Keywords, parts of what verify reads, and what has a meaning to SQL, psycopg, format or a shell.
PIECES = [
    *("select", "user", "plan", "path", "search", "jit", "off", "on", "force", "temp", "pg_temp"),
    *("STORE", "store", "public", "index", "btree", "a", "A", "_", "1", "é", "ключ", "😀"),
    *('"', "'", "\\", "$", "$$", "$1", "$user", ".", ",", " ", "\t", "\n", "%", "%s", "{}", "{x}"),
    *("--", "/*", ";", ":", "=", "(", "*", "&", "|", "~", "x" * 30),
]
NAMES = (
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6)
    .map(lambda pieces: "".join(pieces).encode()[:63].decode(errors="ignore"))
    .filter(lambda name: not name.startswith("pg_") and name not in ("$user", "public"))
)

# Each makes one object another one.
BREAKS = [
    "DROP INDEX {}.subscription_heads_subscription_id_head_idx",
    "ALTER FUNCTION {}.read_all SET jit = on",
    "ALTER FUNCTION {}.export_messages SET plan_cache_mode = force_custom_plan",
    "ALTER FUNCTION {}.write_message SET search_path = {}, public",
    "ALTER FUNCTION {}.read_stream RESET search_path",
    "CREATE OR REPLACE FUNCTION {}._acting_role() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE"
    " RETURN 'postgres'",
    "CREATE OR REPLACE FUNCTION {}.wake_channel() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE"
    " RETURN 'pgstore_'",
    "CREATE FUNCTION {}.category(stream integer) RETURNS text LANGUAGE sql RETURN 'x'",
    "ALTER TABLE {}.streams DROP CONSTRAINT streams_stream_check, ADD CONSTRAINT"
    " streams_stream_check CHECK (octet_length(stream) BETWEEN 1 AND 1000) NOT VALID",
    "ALTER TABLE {}.streams ALTER floor SET DEFAULT 7",
    "ALTER VIEW {}.all_messages SET (security_invoker = on)",
    "CREATE TRIGGER t BEFORE INSERT ON {}.messages FOR EACH ROW EXECUTE FUNCTION"
    " suppress_redundant_updates_trigger()",
    "ALTER SEQUENCE {}.stream_id_seq START 5",
]


@pytest.fixture(scope="module")
def exported(stores: Stores, server_conninfo: str) -> Iterator[Path]:
    """An export with messages and a stream that was cut off."""
    with taken_place(stores, server_conninfo) as place, tempfile.TemporaryDirectory() as folder:
        for stream in ("account-1", "account-1", "b-1"):
            place.write(stream)
        place.query("SELECT STORE.truncate_stream('account-1', 2)")
        place.export(path := Path(folder) / "export.jsonl")
        yield path


@settings(
    max_examples=amount(1, 20),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example("plan")
@example("off")
@example("p")
@example("\"a\\'$$ {x} %s")
@example("Select")
@example("ключ" * 7 + "😀1é")
@given(name=NAMES)
def test_store_of_any_name_works_and_is_verified(
    conninfo: str, exported: Path, run: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PGSTORE_STORE", name)
    quoted = sql.Identifier(name)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        try:
            conn.execute(script(name, applied=0).encode())
            assert run("install")[0] == 0
            check_commands(run, exported)
            check_python(conninfo, name)
            check_sql(conn, quoted)
            assert wrong(conn, name) == {}
            with conn.transaction(force_rollback=True):
                for statement in BREAKS:
                    conn.execute(sql.SQL(statement).format(*[quoted] * statement.count("{}")))
                assert wrong(conn, name)["objects are as in a new store"] == len(BREAKS)
            assert wrong(conn, name) == {}
        finally:
            conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(quoted))


def wrong(conn: psycopg.Connection[Any], name: str) -> dict[str, int]:
    return {c.check: c.wrong for c in transfer.verify(conn, store=name) if c.wrong}


def check_commands(run: Any, exported: Path) -> None:
    def done(*arguments: str, code: int = 0) -> list[Any]:
        ended, out, err = run(*arguments, "--json")
        assert ended == code, err
        return [json.loads(line) for line in out.splitlines()]

    assert done("import", str(exported))[0]["imported"] == 2
    assert done("import", str(exported), "--dry-run")[0]["stored"] == 2
    assert done("write", "account-1", "Deposited", '{"amount": 10}')[0]["version"] == 3
    assert len(done("read", "account-1")) == 2
    assert len(done("stats")) >= 1
    # The server of the tests does not care for crashes.
    looked_at = done("doctor", code=1)
    assert {row["name"] for row in looked_at if row["status"] == "fail"} == {"fsync"}
    assert all(row["wrong"] == 0 for row in done("verify"))


def check_python(conninfo: str, name: str) -> None:
    with pgstore.MessageStore(conninfo, store=name, messages=RawMessage) as made:
        store = made.raw
        store.write("account-1", RawMessage("A", b"1"), expected_version=3)
        handled = []
        subscription = store.subscription("all", partitions=2)

        @subscription.handler
        def handle(stored: StoredMessage[RawMessage]) -> None:
            handled.append((stored.stream, stored.version))

        store.run_once(subscription)
        assert sorted(handled) == [*(("account-1", n) for n in (2, 3, 4)), ("b-1", 1)]
        with psycopg.connect(conninfo, autocommit=True) as conn, tempfile.TemporaryFile() as file:
            assert transfer.export(conn, file, store=name).messages == 4


def check_sql(conn: psycopg.Connection[Any], name: sql.Identifier) -> None:
    query = "SELECT version FROM {}.write_message('account-1', 'A', '{{}}')"
    assert conn.execute(sql.SQL(query).format(name)).fetchall() == [(5,)]
    query = "SELECT version FROM {}.read_stream('account-1')"
    assert conn.execute(sql.SQL(query).format(name)).fetchall() == [(2,), (3,), (4,), (5,)]
    query = "SELECT status FROM {}.health() WHERE status = 'ok'"
    assert len(conn.execute(sql.SQL(query).format(name)).fetchall()) > 5


def test_objects_of_equal_names_do_not_hide_one_another(new: Place) -> None:
    with new.conn.transaction(force_rollback=True):
        new.query("ALTER TABLE STORE.streams DROP CONSTRAINT streams_stream_check")
        new.query("ALTER TABLE STORE.messages ADD CONSTRAINT streams_stream_check CHECK (true)")
        assert wrong(new.conn, new.name) == {"objects are as in a new store": 2}
