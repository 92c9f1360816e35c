"""Commands as processes of their own: in terminals of 80 and 200 columns, in pipes, interrupted."""

import json
import os
import re
import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from tests.cli.terminal import PROGRAM, Terminal, clean, run
from tests.sql.store import wait_until

Store = pgstore.MessageStore[pgstore.RawMessage]
Environment = dict[str, str]

LONG = b'{"note": "%s"}' % (b"a long story " * 30)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

HANDLERS = """
import pgstore

store = pgstore.MessageStore({conninfo!r}, store={name!r}, messages=pgstore.RawMessage).raw
balances = store.subscription("balances", category="account")


@balances.handler
def handle(stored: pgstore.StoredMessage[pgstore.RawMessage]) -> None:
    print("handled", stored.global_position, flush=True)


def made():
    return [balances]


def made_of(given):
    other = given.subscription("others", category="account")
    other.handler(handle)
    return other


nothing = []
number = 7
"""


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("command", [("read", "account-1"), ("tail",), ("streams",), ("stats",)])
def test_lines_fit_the_terminal_and_ids_are_whole(
    command: tuple[str, ...], columns: int, store: Store, environment: Environment
) -> None:
    store.write("account-1", pgstore.RawMessage("Told", LONG), metadata={"by": "Ada"})
    with Terminal(*command, columns=columns, env=environment) as terminal:
        assert terminal.end() == 0
    lines = terminal.text.splitlines()
    assert lines
    assert max(map(len, lines)) <= columns
    # The row's id, if there is one, is whole: 36 characters.
    ids = re.findall(r"[0-9a-f]{8}-[0-9a-f-]*…?", terminal.text)
    assert all(str(UUID(each)) == each for each in ids)
    assert len(ids) == ({"read": 4, "tail": 5}.get(command[0], 0) if columns == 200 else 0)
    if command[0] != "stats":
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+0[12]:00", terminal.text)


def test_a_long_name_leaves_room_for_the_data(store: Store, environment: Environment) -> None:
    store.write(f"a-{'s' * 90}", pgstore.RawMessage("T" * 80, LONG))
    done = run("read", "--all", env=environment | {"COLUMNS": "80"})
    stream, data = re.search(r"(s+)… .*(\{.*)…", done.stdout).groups()  # type: ignore[union-attr]
    assert (len(stream) > 10, len(data) > 18) == (True, True)
    assert max(map(len, done.stdout.splitlines())) == 80


def test_colours_are_for_terminals_that_want_them(store: Store, environment: Environment) -> None:
    with Terminal("read", "account-1", columns=80, env=environment) as terminal:
        terminal.end()
    assert COLOUR.search(terminal.raw)
    with Terminal("read", "account-1", columns=80, env=environment | {"NO_COLOR": "1"}) as plain:
        plain.end()
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain.raw)
    assert "\x1b" not in run("read", "account-1", env=environment).stdout


def test_the_same_type_has_the_same_colour_everywhere(
    store: Store, environment: Environment
) -> None:
    found = set()
    for command in ("read", "tail"):
        arguments = [command, *(["account-1"] if command == "read" else [])]
        with Terminal(*arguments, columns=80, env=environment) as terminal:
            terminal.end()
        found |= set(re.findall(r"(\x1b\[[0-9;]*m)Deposited", terminal.raw))
    assert len(found) == 1


def test_tail_follows_until_ctrl_c(store: Store, environment: Environment) -> None:
    with Terminal(
        "tail", "-f", "-n", "1", "--category", "account", columns=80, env=environment
    ) as terminal:
        terminal.wait_for("Opened")
        store.write("order-1", pgstore.RawMessage("Placed", b"{}"))
        store.write("account-7", pgstore.RawMessage("Closed", b"{}"))
        terminal.wait_for("account-7")
        assert terminal.interrupt() == 130
    assert "Placed" not in terminal.text
    assert "Traceback" not in terminal.text


def test_tail_follows_as_json_into_a_pipe(store: Store, environment: Environment) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "tail", "-f", "-n", "1", "--json", "--poll"],
        env=clean(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for stream in ("account-2", "account-8"):
            assert json.loads(process.stdout.readline())["stream"] == stream
            store.write("account-8", pgstore.RawMessage("Closed", b"{}"))
        process.terminate()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    "command", [("top", "--interval", "0.2"), ("subscriptions", "--watch", "--interval", "0.2")]
)
def test_live_views_draw_in_place_and_leave_the_screen_as_it_was(
    command: tuple[str, ...], store: Store, environment: Environment
) -> None:
    store.subscription("balances", category="account").create()
    with Terminal(*command, columns=80, env=environment) as terminal:
        terminal.wait_for("balances", times=3)
        assert terminal.interrupt() == 130
    # Into the alternate screen, and out of it; the cursor hidden, and shown.
    assert terminal.raw.count("\x1b[?1049h") == terminal.raw.count("\x1b[?1049l") == 1
    assert terminal.raw.rfind("\x1b[?25h") > terminal.raw.rfind("\x1b[?25l")
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize(
    "command",
    [
        ("top", "--times", "1"),
        ("top", "--times", "2", "--interval", "0.2"),
        ("subscriptions", "--watch", "--times", "1"),
        ("subscriptions", "balances", "--watch", "--times", "1"),
    ],
)
def test_the_last_view_stays_on_the_screen(
    command: tuple[str, ...], store: Store, environment: Environment
) -> None:
    store.subscription("balances", category="account").create()
    with Terminal(*command, columns=80, env=environment) as terminal:
        assert terminal.end() == 0
    _, _, left = terminal.raw.rpartition("\x1b[?1049l")  # the end of the alternate screen
    assert left.count("waiting") == 1


@pytest.mark.parametrize("command", ["subscriptions", "top", "grants"])
def test_long_names_are_cut_where_there_is_no_room(
    command: str,
    store: Store,
    schema: str,
    admin: psycopg.Connection[Any],
    environment: Environment,
) -> None:
    role = f"role_{'x' * 40}_{uuid4().hex[:12]}"
    store.subscription(f"all-{'x' * 100}").create()
    admin.execute(f"CREATE ROLE {role}".encode())
    try:
        admin.execute(
            f"SELECT {schema}.grant_access(%s, 'write', ARRAY[%s])".encode(), [role, "x" * 40]
        )
        arguments = [command, *(["--times", "1"] if command == "top" else [])]
        with Terminal(*arguments, columns=80, env=environment) as terminal:
            assert terminal.end() == 0
        row = next(line for line in terminal.text.splitlines() if "xxx" in line)
        assert len(row) <= 80
        assert {"subscriptions": "waiting", "top": "waiting", "grants": "write"}[command] in row
    finally:
        admin.execute(f"SELECT {schema}.revoke_access(%s, 'write')".encode(), [role])
        admin.execute(f"DROP ROLE {role}".encode())


def test_a_reader_that_has_seen_enough_ends_the_command_silently(
    store: Store, environment: Environment
) -> None:
    store.write_many("long-1", [pgstore.RawMessage("T", LONG)] * 3000)
    for option in ([], ["--json"]):
        process = subprocess.Popen(
            [*PROGRAM, "read", "long-1", *option],
            env=clean(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 141


def test_questions_are_asked_in_a_terminal(
    store: Store, schema: str, environment: Environment
) -> None:
    with Terminal("uninstall", columns=80, env=environment) as terminal:
        terminal.wait_for("to go on:")
        assert "holds 4 messages" in terminal.text
        terminal.enter("yes\n")
        assert terminal.end() == 1
    with Terminal("delete", "account-1", columns=80, env=environment) as terminal:
        terminal.wait_for("to go on:")
        assert "account-1 is at version 3" in terminal.text
        terminal.enter("no\n")
        assert terminal.end() == 1
    assert store.stream_version("account-1") == 3
    with Terminal("empty", columns=80, env=environment) as terminal:
        terminal.wait_for(f"Type '{schema}' to go on:")
        terminal.enter("yes\n")
        assert terminal.end() == 1
    assert store.stream_version("account-1") == 3
    with Terminal("uninstall", columns=80, env=environment) as terminal:
        terminal.wait_for("to go on:")
        assert terminal.interrupt() == 130
    with Terminal("uninstall", columns=80, env=environment) as terminal:
        terminal.wait_for("to go on:")
        terminal.enter(f"{schema}\n")
        assert terminal.end() == 0


@pytest.fixture
def program(store: Store, conninfo: str, schema: str, tmp_path: Path) -> Path:
    (tmp_path / "bank.py").write_text(HANDLERS.format(conninfo=conninfo, name=schema))
    return tmp_path


@pytest.mark.parametrize(
    ("place", "number"),
    [("bank:balances", signal.SIGINT), ("bank:made", signal.SIGTERM), ("bank:made_of", None)],
)
def test_run_handles_messages_until_it_is_told_to_end(
    place: str, number: int | None, program: Path, store: Store, environment: Environment
) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "run", place, "--workers", "2", "--scheduled"],
        env=clean(environment) | {"PYTHONPATH": os.pathsep.join([str(Path.cwd())])},
        cwd=program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for position in (1, 2, 3, 4):
            assert process.stdout.readline() == f"handled {position}\n"
        store.write("account-9", pgstore.RawMessage("Opened", b"{}"))
        assert process.stdout.readline() == "handled 5\n"
        store.schedule("account-9", pgstore.RawMessage("Opened", b"{}"), timedelta(seconds=0.2))
        assert process.stdout.readline() == "handled 7\n"  # scheduling has taken a position
        process.send_signal(number or signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 0
    assert said.endswith("Ended.\n")
    assert "Traceback" not in said


@pytest.mark.parametrize("command", [("publish",), ("run", "bank:balances", "--publish")])
def test_the_horizon_is_published_until_the_program_is_told_to_end(
    command: tuple[str, ...], program: Path, store: Store, environment: Environment, schema: str
) -> None:
    last = store.write("account-9", pgstore.RawMessage("Opened", b"{}")).global_position
    process = subprocess.Popen(
        [*PROGRAM, *command],
        env=clean(environment) | {"PYTHONPATH": os.pathsep.join([str(Path.cwd())])},
        cwd=program,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    published = f"SELECT FROM {schema}.store_horizon WHERE safe_position = {last}"
    with process:
        assert process.stderr is not None
        with store.transaction() as tx:
            wait_until(lambda: tx.execute(published.encode()).rowcount == 1)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert (process.returncode, said.endswith("Ended.\n")) == (0, True)


@pytest.mark.parametrize("place", ["bank", "bank:none", "none:x", "bank:nothing", "bank:number"])
def test_run_refuses_what_is_no_subscription(
    place: str, program: Path, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pgstore.__main__ import main

    monkeypatch.chdir(program)
    monkeypatch.syspath_prepend(program)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["run", place]) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(shell: str, environment: Environment) -> None:
    # Typer finds out by itself which shell called, and needs to be told only without that.
    told = environment | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = run("--show-completion", shell, env=told)
    assert (shown.returncode, "pgstore" in shown.stdout) == (0, True)


def test_the_shell_completes_names_from_the_server(
    store: Store,
    schema: str,
    admin: psycopg.Connection[Any],
    conninfo: str,
    environment: Environment,
) -> None:
    def completed(words: str) -> list[str]:
        asked = {
            "_PGSTORE_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        return run(env=environment | asked).stdout.split()

    assert completed("pgstore subscr") == ["subscriptions"]
    assert completed("pgstore read acc") == ["account-1", "account-2"]
    assert completed("pgstore tail --category a") == ["account"]
    assert completed("pgstore read --all --type O") == ["Opened"]
    store.subscription("balances", category="account").create()
    assert completed("pgstore pause b") == ["balances"]
    # For a role that may read, too: it has no rights on tables.
    role = f"reader_{uuid4().hex[:12]}"
    admin.execute(f"CREATE ROLE {role} LOGIN".encode())
    try:
        admin.execute(f"SELECT {schema}.grant_access(%s, 'read')".encode(), [role])
        environment["PGSTORE_CONNINFO"] = make_conninfo(conninfo, user=role)
        assert completed("pgstore read acc") == ["account-1", "account-2"]
        assert completed("pgstore tail --category a") == ["account"]
        assert completed("pgstore read --all --type O") == ["Opened"]
    finally:
        admin.execute(f"SELECT {schema}.revoke_access(%s, 'read')".encode(), [role])
        admin.execute(f"DROP ROLE {role}".encode())
    environment["PGSTORE_CONNINFO"] = "host=/nowhere"
    assert completed("pgstore read acc") == []
