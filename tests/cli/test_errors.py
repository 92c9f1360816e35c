"""What people and programs are told when something is wrong."""

import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from tests.cli.conftest import Command
from tests.cli.terminal import PROGRAM, clean

Store = pgstore.MessageStore[pgstore.RawMessage]

STEERING = "account-\x1b[2J\x9b\u202e"
STEERING_CONNINFO = make_conninfo(host=f"/{STEERING}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("write", STEERING, "T", "{}", "--expected-version", "7"),
        ("read", STEERING),
        ("pause", STEERING),
        ("truncate", STEERING, "--before", "2", "--yes"),
        ("grant", "read", STEERING),
        ("retention", "set", "account", "--max-age", STEERING),
        ("import", STEERING),
        ("read", "account-1", "--store", STEERING),
        ("read", "account-1", "--conninfo", STEERING_CONNINFO),
        ("read", "account-1", "--conninfo", STEERING_CONNINFO, "--debug"),
        ("read", "account-1", STEERING),
        ("read", f"--{STEERING}"),
        (STEERING,),
    ],
)
def test_no_error_and_no_note_can_steer_the_terminal(
    arguments: tuple[str, ...], store: Store, run_here: Command
) -> None:
    done = run_here(*arguments)
    assert "\\x1b" in done.err
    assert not set(done.err) & set("\x1b\x9b\u202e")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("read", "a-1", "--conninfo", "nonsense"), 2, "a URI that begins with postgresql://"),
        (("read", "a-1", "--store", "\udcff"), 2, "bytes of UTF-8"),
        (("write", "a-1", "T", "{no json"), 2, 'Token "no" is invalid'),
        (("write", "a-1", "T", r'{"a": "\ud800"}'), 2, "surrogate"),
        (("write", "a-1", "T", "hallo"), 2, "--any-json"),
        (("import", "/none/export.jsonl"), 1, "/none/export.jsonl: No such file or directory\n"),
        (("export", "/"), 1, "/: Is a directory\n"),
        (("export", "/none/x.jsonl"), 1, "/none/x.jsonl: No such file or directory\n"),
        (("uninstall", "--store", "none", "--yes"), 6, "no store 'none' in this database\n"),
        (("status", "--store", "none"), 6, "pgstore install --store none"),
    ],
)
def test_an_error_says_what_is_wrong(
    arguments: tuple[str, ...], code: int, said: str, store: Store, run_here: Command
) -> None:
    done = run_here(*arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "--debug" not in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nosuch",), 2, "no such command 'nosuch'\nhint: pgstore --help"),
        (("--nosuch",), 2, "no such option: --nosuch\nhint: pgstore --help"),
        (("parked", "nosuch"), 2, "no such command 'nosuch'\nhint: pgstore parked --help"),
        (("write",), 2, "missing argument 'STREAM'\nhint: pgstore write --help"),
        (("truncate", "a-1"), 2, "missing option '--before'\nhint: pgstore truncate --help"),
        (("message", "x"), 2, "ID: input should be a valid UUID\nhint: pgstore message --help"),
        (
            ("streams", "--sort", "bad"),
            2,
            "--sort: 'bad' is not one of 'name', 'messages', 'recent'"
            "\nhint: pgstore streams --help",
        ),
        (
            ("read", "account-1", "--max-count", "-1"),
            2,
            "--max-count: must be at least 0, not -1\nhint: pgstore read --help",
        ),
        (
            ("read", "account-1", "--max-count", f"{2**63}"),
            2,
            f"--max-count: must be a number of 64 bits, not {2**63}\nhint: pgstore read --help",
        ),
        (
            ("refilter", "none", "--after", f"{-(10**20)}"),
            2,
            f"--after: must be at least 0, not {-(10**20)}\nhint: pgstore refilter --help",
        ),
        (
            ("top", "--interval", "nan"),
            2,
            "--interval: must be at least 0.1, not nan\nhint: pgstore top --help",
        ),
        (
            ("retention", "apply", "--batch", "10001"),
            2,
            "--batch: must be 1 to 10000, not 10001\nhint: pgstore retention apply --help",
        ),
        (
            ("read", "a-1", "--store", "nosuch"),
            6,
            "there is no store 'nosuch' in this database\nhint: pgstore install --store nosuch",
        ),
        (
            ("retention", "set", "account"),
            2,
            "give --max-age, --max-count or both"
            "\nhint: pgstore retention drop account ends a policy",
        ),
    ],
)
def test_every_error_is_a_line_and_a_hint(
    arguments: tuple[str, ...], code: int, said: str, store: Store, run_here: Command
) -> None:
    assert run_here(*arguments) == (code, "", f"error: {said}\n")


def test_libpq_s_advice_is_a_hint(store: Store, run_here: Command) -> None:
    done = run_here("read", "a-1", "--conninfo", "host=/nonexistent")
    error, hint, _ = done.err.split("\n")
    assert error.endswith("No such file or directory")
    assert hint.startswith("hint: Is the server running")


def test_no_command_at_all_prints_the_help(run_here: Command) -> None:
    for arguments in ((), ("parked",)):
        done = run_here(*arguments)
        assert (done.code, done.err) == (2, "")
        assert "Usage: pgstore" in done.out


def test_who_may_not_is_told_who_gives_rights(
    store: Store, admin: psycopg.Connection[Any], conninfo: str, run_here: Command
) -> None:
    role = f"reader_{uuid4().hex[:12]}"
    admin.execute(f"CREATE ROLE {role} LOGIN".encode())
    try:
        theirs = ("--conninfo", make_conninfo(conninfo, user=role))
        done = run_here("doctor", "--json", *theirs)
        assert (done.code, done.rows[-1]["name"], done.rows[-1]["status"]) == (1, "store", "fail")
        assert run_here("grant", "read", role).code == 0
        done = run_here("stats", *theirs)
        assert (done.code, "pgstore grant" in done.err) == (1, True)
        # What takes no right of the store is looked at all the same.
        done = run_here("doctor", "--json", *theirs)
        assert (done.code, done.rows[-1]["status"]) == (0, "warn")
        assert f"pgstore grant monitor {role}" in done.rows[-1]["remedy"]
    finally:
        run_here("revoke", "read", role)
        admin.execute(f"DROP ROLE {role}".encode())


def test_questions_are_not_asked_about_what_is_not_there(store: Store, run_here: Command) -> None:
    store.subscription("balances", category="account").create()
    for arguments in (
        ("parked", "drop", "balances", "99"),
        ("resume", "balances", "--partition", "7"),
        ("truncate", "none-1", "--before", "2"),
        ("delete", "none-1"),
        ("redact", str(uuid4()), "--reason", "asked"),
    ):
        assert run_here(*arguments).code == 4


def test_an_export_that_cannot_get_its_name_is_refused_before_it_begins(
    store: Store, run_here: Command, tmp_path: Path
) -> None:
    (tmp_path / "backups").mkdir()
    done = run_here("export", str(tmp_path / "backups"))
    assert (done.code, done.err) == (1, f"error: {tmp_path / 'backups'}: Is a directory\n")
    assert [each.name for each in tmp_path.iterdir()] == ["backups"]


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        (">&-", ("write", "account-1", "Deposited"), 0),
        (">&- 2>&- <&-", ("read", "account-1"), 0),
        ("<&-", ("write", "account-1", "Deposited", "-"), 2),
        ("<&-", ("uninstall",), 2),
    ],
)
def test_commands_run_without_stdin_stdout_and_stderr(
    closed: str,
    arguments: tuple[str, ...],
    code: int,
    store: Store,
    environment: dict[str, str],
) -> None:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM, *arguments]
    done = subprocess.run(shell, env=clean(environment), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "")
    assert "AttributeError" not in done.stderr
