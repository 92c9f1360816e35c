"""`pgstore ui`: it serves until it is ended, on loopback unless it knows whom to let in."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import pgstore
from tests.cli.conftest import Command

ROOT = Path(__file__).parents[2]

TOKEN = "a token of the test, which is long"

PROGRAM = """
import msgspec
import pgstore

class Deposited(msgspec.Struct):
    amount: int

class Balance(msgspec.Struct):
    amount: int = 0

store = pgstore.MessageStore[Deposited]("host=nowhere.invalid", store="x", messages=Deposited)
accounts = store.decider(lambda state, message: Balance(state.amount + message.amount), Balance)
"""


@contextmanager
def running(
    environment: dict[str, str], *options: str, cwd: Path = ROOT
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A console in a process of its own, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pgstore", "ui", "--port", "0", *options],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+:\d+", line)
        assert found is not None, line + process.stderr.read()
        yield found[0], process
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ui_serves_the_store_until_a_signal(
    store: pgstore.MessageStore[pgstore.RawMessage],
    environment: dict[str, str],
    sent: signal.Signals,
) -> None:
    with running(environment, "--no-open") as (address, process):
        assert address.startswith("http://127.0.0.1:")
        page = httpx.get(f"{address}/streams")
        assert page.status_code == 200
        assert "account-1" in page.text
        assert httpx.get(address, headers={"Host": "evil.example"}).status_code == 421
        # A browser that follows does not keep it from ending.
        with httpx.stream("GET", f"{address}/live/events"):
            process.send_signal(sent)
            _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said == "Ended.\n"


def test_ui_shows_states_of_the_program(
    store: pgstore.MessageStore[pgstore.RawMessage], environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "bank.py").write_text(PROGRAM)
    with running(environment, "--no-open", "--app", "bank:accounts", cwd=tmp_path) as (address, _):
        state = httpx.get(f"{address}/state?stream=account-1&version=3")
        assert state.status_code == 200
        assert '<span class="j-number">6</span>' in state.text


def test_ui_takes_its_token_from_the_environment(
    store: pgstore.MessageStore[pgstore.RawMessage], environment: dict[str, str]
) -> None:
    environment = environment | {"PGSTORE_UI_TOKEN": TOKEN}
    with running(environment, "--no-open") as (address, process):
        assert httpx.get(f"{address}/streams").status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert httpx.get(f"{address}/streams", headers=headers).status_code == 200
        with Path(f"/proc/{process.pid}/cmdline").open() as line:
            assert TOKEN not in line.read()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_ui_on_another_address_demands_a_token(run_here: Command, host: str) -> None:
    done = run_here("ui", "--host", host)
    assert done.code == 2
    assert "PGSTORE_UI_TOKEN" in done.err


def test_ui_refuses_a_token_that_is_short(run_here: Command) -> None:
    done = run_here("ui", "--token", "short", "--port", "0")
    assert done.code == 2
    assert "16 characters" in done.err


def test_ui_says_that_a_port_is_in_use(
    store: pgstore.MessageStore[pgstore.RawMessage], run_here: Command
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run_here("ui", "--port", str(other.getsockname()[1]))
    assert done.code == 1
    assert "--port" in done.err


def test_ui_of_a_store_that_is_missing_ends_with_its_reason(run_here: Command) -> None:
    done = run_here("ui", "--port", "0", "--no-open")
    assert done.code == 6
    assert "pgstore install" in done.err


def test_ui_refuses_a_program_that_has_no_decider(
    run_here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_without_decider.py").write_text("accounts = 1\n")
    monkeypatch.chdir(tmp_path)
    done = run_here("ui", "--port", "0", "--app", "shop_without_decider:accounts")
    assert done.code == 2
    assert "decider" in done.err
    assert run_here("ui", "--app", "nowhere:accounts").code == 2


def test_ui_without_its_packages_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['starlette'] = None\n"
        "from pgstore.__main__ import main; sys.exit(main(['ui']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'pgstore[ui]'" in done.stderr
