"""The commands of operators, on a store of a given server."""

import json
import logging
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import embedded
from pgstore._core import findings, sql_files
from pgstore.cli import _target, doctor
from pgstore.cli.subscriptions import Sampler
from tests.cli.conftest import Command

Store = pgstore.MessageStore[pgstore.RawMessage]
VERSION = sql_files.migrations()[-1].number


@pytest.fixture
def parked(store: Store) -> pgstore.Subscription[pgstore.RawMessage]:
    """A subscription that has handled everything but the message at position 2."""
    made = store.subscription("balances", category="account", on_failure="park", max_attempts=1)

    @made.handler
    def handle(stored: pgstore.StoredMessage[pgstore.RawMessage]) -> None:
        if stored.global_position == 2:
            raise ValueError("two is one too many")

    logging.getLogger("pgstore").setLevel(logging.CRITICAL)
    store.run_once(made, raise_errors=False)
    logging.getLogger("pgstore").setLevel(logging.NOTSET)
    return made


@pytest.fixture
def role(admin: psycopg.Connection[Any]) -> Iterator[str]:
    name = f"role_{uuid4().hex[:12]}"
    admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    yield name
    admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
    admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


# Installation


def test_install_status_and_uninstall(schema: str, run_here: Command) -> None:
    assert run_here("status").code == 6
    assert run_here("uninstall", "--yes").code == 6
    assert run_here("install").out == f"Store {schema} is at schema version {VERSION}.\n"
    (status,) = run_here("status", "--json").rows
    assert (status["store"], status["schema_version"], status["state"]) == (
        schema,
        VERSION,
        "up to date",
    )
    refused = run_here("uninstall")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert run_here("status").code == 0
    assert run_here("uninstall", "--yes").code == 0
    assert run_here("status").code == 6


def test_upgrade_brings_an_older_store_up_to_date_and_check_tells(
    store: Store, schema: str, admin: psycopg.Connection[Any], run_here: Command
) -> None:
    assert run_here("upgrade", "--check").code == 0
    assert run_here("upgrade", "--dry-run").out.startswith("-- Store")
    assert run_here("upgrade", "--dry-run", "--json").rows[0]["sql"].startswith("-- Store")
    forget = sql.SQL("UPDATE {}.migrations SET checksum = 'other' WHERE number = 0")
    admin.execute(forget.format(sql.Identifier(schema)))
    assert run_here("upgrade", "--check").code == 6
    (checked,) = run_here("upgrade", "--check", "--json").rows
    assert (checked["current"], checked["schema_version"]) == (False, VERSION)
    assert "CREATE OR REPLACE FUNCTION" in run_here("upgrade", "--dry-run").out
    assert run_here("upgrade", "--check").code == 6  # nothing was changed so far
    assert run_here("upgrade", "--json").rows[0]["changed"] is True
    assert run_here("upgrade", "--check").code == 0


def test_upgrade_refuses_a_newer_store_in_every_way(
    store: Store, schema: str, admin: psycopg.Connection[Any], run_here: Command
) -> None:
    newer = sql.SQL("UPDATE {}.migrations SET number = 99 WHERE number = {}")
    admin.execute(newer.format(sql.Identifier(schema), VERSION))
    for option in ([], ["--check"], ["--dry-run"]):
        done = run_here("upgrade", *option)
        assert (done.code, done.out) == (6, "")
    assert run_here("status", "--json").rows[0]["state"] == "newer than this package"
    assert run_here("read", "account-1").code == 6


def test_upgrade_of_a_missing_store_is_an_error(run_here: Command) -> None:
    done = run_here("upgrade")
    assert done.code == 6
    assert "pgstore install" in done.err


@pytest.mark.parametrize("transaction", [True, False])
def test_sql_makes_the_same_store_as_install(
    transaction: bool,
    conninfo: str,
    schema: str,
    admin: psycopg.Connection[Any],
    run_here: Command,
    tmp_path: Path,
) -> None:
    arguments = ["sql", *([] if transaction else ["--no-transaction"])]
    script = tmp_path / "store.sql"
    script.write_text(run_here(*arguments).out)
    psql = [str(embedded.Server().psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"]
    command = [*psql, *([] if transaction else ["-1"]), "-f", str(script), conninfo]
    subprocess.run(command, check=True, capture_output=True)
    assert run_here("upgrade", "--check").code == 0
    again = subprocess.run(command, capture_output=True, text=True)
    assert f"at schema version 0, and it is at version {VERSION}" in again.stderr
    # From the version before, the last migration only.
    later = run_here("sql", "--from", str(VERSION - 1)).out
    assert run_here("sql", "--from", str(VERSION - 1), "--json").rows == [{"sql": later}]
    assert run_here("sql", "--from", str(VERSION + 1)).code == 2
    assert sql_files.migrations()[-1].text.strip() in later
    assert sql_files.migrations()[0].text.strip() not in later


def test_sql_without_a_transaction_leaves_the_settings_of_the_tools_as_they_were(
    conninfo: str, schema: str, admin: psycopg.Connection[Any], run_here: Command
) -> None:
    shown = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
    before = {
        "client_encoding": "LATIN1",
        "client_min_messages": "error",
        "lock_timeout": "7000",
        "search_path": '"$user", public, pg_catalog',
    }
    with psycopg.connect(conninfo) as conn:
        for name, value in before.items():
            conn.execute("SELECT set_config(%s, %s, false)", [name, value])
        conn.commit()
        conn.execute(run_here("sql", "--no-transaction").out.encode())
        assert dict(conn.execute(shown, [list(before)]).fetchall()) == before
        conn.commit()
        assert dict(conn.execute(shown, [list(before)]).fetchall()) == before
    assert run_here("upgrade", "--check").code == 0


def test_upgrade_dry_run_is_what_upgrades_an_older_store(
    conninfo: str, schema: str, admin: psycopg.Connection[Any], run_here: Command, tmp_path: Path
) -> None:
    from pgstore.cli import _script

    script = tmp_path / "old.sql"
    first = sql_files.migrations()[0]
    older = _script.script(schema, applied=0)
    for migration in sql_files.migrations()[1:]:
        older = older.replace(migration.text.strip(), "")
    older = older.replace(sql_files.repeated_sql().strip(), "").replace(
        sql_files.manifest(), json.dumps([{"number": 1, "name": "x", "checksum": first.checksum}])
    )
    admin.execute(older.encode())
    # The functions that tell the version came with the functions.
    admin.execute(sql.SQL("SET search_path = {}, pg_temp").format(sql.Identifier(schema)))
    for name in ("_in_store", "applied_migrations"):
        admin.execute(sql_files.read(f"functions/store/{name}.sql").encode())
    assert run_here("upgrade", "--check", "--json").rows[0]["schema_version"] == 1
    script.write_text(run_here("upgrade", "--dry-run").out)
    psql = [str(embedded.Server().psql), "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    subprocess.run([*psql, "-f", str(script), conninfo], check=True, capture_output=True)
    assert run_here("upgrade", "--check").code == 0


# Statistics


def test_streams_categories_and_types_count(store: Store, run_here: Command) -> None:
    store.write("order-1", pgstore.RawMessage("Placed", b"{}"))
    streams = run_here("streams", "--json").rows
    assert [(row["stream"], row["messages"], row["version"]) for row in streams] == [
        ("account-1", 3, 3),
        ("account-2", 1, 1),
        ("order-1", 1, 1),
    ]
    by = {
        "messages": ["account-1", "account-2", "order-1"],
        "recent": ["order-1", "account-2", "account-1"],
    }
    for order, names in by.items():
        rows = run_here("streams", "--sort", order, "--json").rows
        assert [row["stream"] for row in rows] == names
    assert len(run_here("streams", "--category", "account", "--json").rows) == 2
    few = run_here("streams", "--max-count", "1")
    assert (len(few.out.splitlines()), "--max-count" in few.err) == (2, True)
    categories = run_here("categories", "--json").rows
    assert [(row["category"], row["streams"], row["messages"]) for row in categories] == [
        ("account", 2, 4),
        ("order", 1, 1),
    ]
    types = run_here("types", "--json").rows
    assert [(row["type"], row["messages"]) for row in types] == [
        ("Deposited", 3),
        ("Opened", 1),
        ("Placed", 1),
    ]


def test_stats_and_top_tell_positions_and_who_is_in_flight(
    store: Store, schema: str, admin: psycopg.Connection[Any], run_here: Command
) -> None:
    with store.transaction() as conn:
        store.write("account-3", pgstore.RawMessage("Opened", b"{}"), conn=conn)
        (stats,) = run_here("stats", "--json").rows
        assert (stats["safe_position"], stats["last_position"]) == (4, 5)
        assert stats["oldest_writer_pid"] == conn.info.backend_pid
        assert str(conn.info.backend_pid) in run_here("stats").out
    # The server's estimates are 0 before it knows anything.
    assert "about" not in run_here("stats").out + run_here("top", "--times", "1").out
    admin.execute(sql.SQL("ANALYZE {}.messages").format(sql.Identifier(schema)))
    assert "about 5" in run_here("stats").out
    first, second = run_here("top", "--times", "2", "--interval", "0.1", "--json").rows
    assert first["messages_per_second"] is None
    assert second["messages_per_second"] == 0
    assert second["last_position"] == 5


# Subscriptions


def test_subscriptions_tell_state_lag_and_partitions(
    parked: pgstore.Subscription[pgstore.RawMessage], store: Store, run_here: Command
) -> None:
    store.write("account-3", pgstore.RawMessage("Opened", b"{}"))
    (row,) = run_here("subscriptions", "--json").rows
    assert (row["subscription"], row["state"], row["behind"], row["parked"]) == (
        "balances",
        "waiting",
        1,
        1,
    )
    (partition,) = run_here("subscriptions", "balances", "--json").rows
    assert (partition["partition"], partition["checkpoint"]) == (0, 4)
    assert run_here("subscriptions", "none").code == 4
    first, second = run_here(
        "subscriptions", "--watch", "--times", "2", "--interval", "0.1", "--json"
    ).rows
    assert (first["rate"], second["rate"]) == (None, 0)


class Looks:
    """A session whose subscription has come some positions further at each look."""

    def __init__(self, *places: tuple[int, int]) -> None:
        self._places = [*places]

    def rows(self, statement: str) -> list[dict[str, Any]]:
        position, behind = self._places.pop(0)
        reads = dict.fromkeys(("categories", "types", "stream_pattern", "metadata", "tags"))
        return [{"subscription": "a", "position": position, "behind": behind, **reads}]


def test_subscriptions_tell_how_long_they_take_at_their_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session: Any = Looks((100, 900), (300, 800), (300, 900), (1200, 0))
    sampler = Sampler(session)
    clock = iter([0.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr("pgstore.cli.subscriptions.time.monotonic", lambda: next(clock))
    rows = [sampler.rows()[0] for _ in range(4)]
    assert [row["rate"] for row in rows] == [None, 100, 0, 900]
    assert [row["left"] for row in rows] == [None, 8, None, None]


def test_subscriptions_are_paused_resumed_rewound_repartitioned_and_dropped(
    parked: pgstore.Subscription[pgstore.RawMessage], run_here: Command
) -> None:
    def state() -> str:
        return str(run_here("subscriptions", "--json").rows[0]["state"])

    assert run_here("pause", "balances").code == 0
    assert state() == "paused"
    assert run_here("resume", "balances").code == 0
    assert state() == "idle"
    assert run_here("rewind", "balances", "2").code == 2  # nobody to ask
    done = run_here("rewind", "balances", "2", "--yes", "--json")
    assert done.rows == [{"subscription": "balances", "position": 2, "position_before": 4}]
    assert run_here("rewind", "balances", "99", "--yes").code == 2
    assert run_here("rewind", "balances", "yesterday", "--yes").code == 2
    done = run_here("rewind", "balances", "2020-01-01T12:00+01:00", "--yes", "--json")
    assert done.rows[0]["position"] == 0
    assert run_here("repartition", "balances", "4").code == 0
    assert run_here("subscriptions", "--json").rows[0]["next_partitions"] == 4
    assert run_here("drop-subscription", "balances").code == 2
    assert run_here("drop-subscription", "balances", "--yes").code == 0
    assert run_here("subscriptions", "--json").rows == []
    for command in ("pause", "resume", "drop-subscription"):
        assert run_here(command, "balances").code == 4


def test_parked_messages_are_listed_shown_replayed_and_dropped(
    parked: pgstore.Subscription[pgstore.RawMessage], run_here: Command
) -> None:
    (row,) = run_here("parked", "list", "balances", "--json").rows
    assert (row["global_position"], row["stream"], row["attempts"]) == (2, "account-1", 1)
    (shown,) = run_here("parked", "show", "balances", "2", "--json").rows
    assert shown["data"] == {"amount": 2}
    assert "two is one too many" in shown["error"]
    assert run_here("parked", "show", "balances", "3").code == 4
    assert run_here("parked", "replay", "balances", "3").code == 4
    assert run_here("parked", "replay", "balances", "2", "--json").rows[0]["count"] == 1
    assert run_here("parked", "list", "balances", "--json").rows[0]["replay"] is True
    assert run_here("parked", "drop", "balances", "--yes", "--json").rows[0]["count"] == 1
    assert run_here("parked", "drop", "balances", "2", "--yes").code == 4
    assert run_here("parked", "list", "balances").out == ""
    assert run_here("parked", "list", "none").code == 4


def test_subscriptions_tell_of_the_partition_that_is_furthest_behind(
    store: Store, run_here: Command
) -> None:
    made = store.subscription("stuck", category="account", partitions=8, max_attempts=1)

    @made.handler
    def handle(stored: pgstore.StoredMessage[pgstore.RawMessage]) -> None:
        raise ValueError(stored.stream)

    with pytest.raises(ValueError, match="account"):
        store.run_once(made)
    partitions = made.partitions()
    assert len({each.checkpoint for each in partitions}) > 1
    (row,) = run_here("subscriptions", "--json").rows
    assert row["position"] == min(each.checkpoint for each in partitions)
    assert row["behind"] == max(each.behind for each in partitions)
    assert row["state"] == "stopped"


def test_a_parked_message_that_was_deleted_is_shown(
    parked: pgstore.Subscription[pgstore.RawMessage], run_here: Command
) -> None:
    assert run_here("delete", "account-1", "--yes").code == 0
    (shown,) = run_here("parked", "show", "balances", "2", "--json").rows
    assert (shown["global_position"], shown["message_id"], shown["data"]) == (2, None, None)
    assert run_here("parked", "show", "balances", "2").code == 0
    assert run_here("parked", "list", "balances").code == 0


def test_a_mistyped_subscription_is_told_the_closest_names_first(
    store: Store, run_here: Command
) -> None:
    done = run_here("pause", "balances")
    assert (done.code, done.err.splitlines()[1][:29]) == (4, "hint: the store has no subscr")
    for name in ("mails", "balances", *(f"other{number}" for number in range(12))):
        store.subscription(name, category="account").create()
    for command in ("pause", "resume", "drop-subscription", "subscriptions"):
        done = run_here(command, "balanecs")
        assert (done.code, done.out) == (4, "")
        said, hint = done.err.splitlines()
        assert said == "error: there is no subscription balanecs"
        assert hint.startswith("hint: there are: balances, ")
        assert hint.endswith(", and 4 more")


# Administration


def test_retention_is_set_listed_applied_and_dropped(store: Store, run_here: Command) -> None:
    arguments = ["retention", "set", "account", "--max-count", "2", "--reason", "room"]
    assert run_here(*arguments).code == 0
    (policy,) = run_here("retention", "list", "--json").rows
    assert (policy["category"], policy["max_count"], policy["max_age"]) == ("account", 2, None)
    done = run_here("retention", "apply", "--batch", "1", "--pause", "0", "--json")
    assert done.rows == [{"deleted": 2, "more": False}]
    assert [m.version for m in store.read("account-1")] == [3]
    assert run_here("retention", "drop", "account").code == 0
    assert run_here("retention", "drop", "account").code == 4
    assert run_here("retention", "set", "account").code == 2
    assert run_here("retention", "set", "account", "--max-age", "soon").code == 2


def test_truncate_delete_and_redact_ask_and_are_in_the_audit(
    store: Store, run_here: Command
) -> None:
    message_id = str(next(store.read("account-2")).message_id)
    redact = ["redact", message_id, "--data", '{"owner": null}', "--reason", "asked"]
    for arguments in (
        ["truncate", "account-1", "--before", "2"],
        ["delete", "account-1"],
        redact,
    ):
        assert run_here(*arguments).code == 2
    assert store.stream_version("account-1") == 3
    assert run_here("truncate", "account-1", "--before", "3", "--yes", "--json").rows == [
        {"stream": "account-1", "deleted": 2}
    ]
    assert run_here("delete", "account-1", "--expected-version", "1", "--yes").code == 3
    assert run_here("delete", "account-1", "--expected-version", "3", "--yes").code == 0
    assert run_here("delete", "none-1", "--yes").code == 4
    assert run_here("truncate", "none-1", "--before", "2", "--yes").code == 4
    assert run_here(*redact, "--yes").code == 0
    assert next(store.read("account-2")).message.data == b'{"owner": null}'
    assert run_here("redact", str(uuid4()), "--reason", "x", "--yes").code == 4
    entries = run_here("audit", "--json").rows
    assert [(row["action"], row["reason"]) for row in entries] == [
        ("redact_message", "asked"),
        ("delete_stream", None),
        ("truncate_stream", None),
    ]
    assert len(run_here("audit", "--max-count", "1").out.splitlines()) == 2


def test_empty_asks_and_is_in_the_audit(store: Store, schema: str, run_here: Command) -> None:
    assert run_here("empty").code == 2
    assert store.stream_version("account-1") == 3
    done = run_here("empty", "--yes", "--reason", "over", "--json")
    assert done.rows == [{"store": schema, "deleted": 4}]
    assert list(store.read_all()) == []
    assert store.stream_version("account-1") == 3
    (entry,) = run_here("audit", "--json").rows
    assert (entry["action"], entry["subject"], entry["reason"]) == ("empty_store", schema, "over")


def test_rights_are_granted_listed_and_revoked(store: Store, role: str, run_here: Command) -> None:
    for kind in ("read", "consume", "monitor", "admin"):
        assert run_here("grant", kind, role).code == 0
    assert run_here("grant", "write", role, "--category", "account").code == 0
    rows = run_here("grants", "--json").rows
    assert {row["kind"]: row["categories"] for row in rows} == {
        "read": None,
        "write": ["account"],
        "consume": None,
        "monitor": None,
        "admin": None,
    }
    assert run_here("grant", "read", role, "--category", "account").code == 2
    assert run_here("grant", "everything", role).code == 2
    assert run_here("grant", "read", "nobody_at_all").code == 4
    for kind in ("read", "consume", "monitor", "admin", "write"):
        assert run_here("revoke", kind, role).code == 0
    assert run_here("revoke", "read", role).code == 4
    assert run_here("grants").out == ""


# Doctor


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
        psycopg.connect(conninfo) as another,
        psycopg.connect(conninfo, autocommit=True) as shared,
    ):
        assert doctor._pooling(one, another).status == "ok"
        # To such a pooler's clients, two connections can be one session.
        assert doctor._pooling(shared, shared).status == "warn"


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


def test_doctor_fails_without_a_store(run_here: Command) -> None:
    done = run_here("doctor")
    assert done.code == 1
    assert "pgstore install" in done.out


# Where the server is


def test_the_server_is_found_by_option_variable_and_libpq(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PGSTORE_CONNINFO", "PGHOST", "PGPORT", "PGDATABASE", "PGSERVICE", "PGHOSTADDR"):
        monkeypatch.delenv(name, raising=False)
    assert _target.find_given(None) is None
    monkeypatch.setenv("PGHOST", "there")
    assert _target.find_given(None) == _target.Target("", False, "PGHOST")
    monkeypatch.setenv("PGSTORE_CONNINFO", "host=here")
    assert _target.find_given(None) == _target.Target("host=here", False, "PGSTORE_CONNINFO")
    assert _target.find_given("host=me") == _target.Target("host=me", False, "--conninfo")


def test_options_count_before_and_after_the_command(
    store: Store, schema: str, conninfo: str, run_here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSTORE_STORE", "another")
    monkeypatch.setenv("PGSTORE_CONNINFO", "host=/nowhere")
    given = ["--conninfo", conninfo, "--store", schema, "--json"]
    assert len(run_here(*given, "streams").rows) == 2
    assert len(run_here("streams", *given).rows) == 2
    assert len(run_here("--conninfo", "host=/nowhere", "streams", *given).rows) == 2
    assert run_here("streams").code == 5


def test_the_version_is_told(run_here: Command) -> None:
    assert run_here("--version").out.startswith("pgstore ")


def test_an_error_has_no_traceback_unless_debug_asks_for_it(
    store: Store, run_here: Command
) -> None:
    arguments = ["write", "account-1", "T", "{}", "--expected-version", "0"]
    assert "Traceback" not in run_here(*arguments).err
    assert "Traceback" in run_here(*arguments, "--debug").err
