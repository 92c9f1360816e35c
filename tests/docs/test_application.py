"""The page “Build an application”, followed to the letter in an empty folder."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from pgstore.embedded import account
from tests.docs.test_examples import APPLICATION, blocks_of, matches

FILE = re.compile(r"# ([\w/]+\.(?:py|ini))\n")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with the files of the page, which PostgreSQL's account can reach."""
    folder = account.temporary_folder()
    for block in blocks_of(APPLICATION):
        if found := FILE.match(block.code):
            file = folder / found[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.code)
    yield folder
    shutil.rmtree(folder)


def consoles(word: str) -> list[tuple[str, str]]:
    """Commands in which a word is, and what the page says that they print."""
    found = []
    for block in blocks_of(APPLICATION):
        if block.language == "console":
            for part in block.code.removeprefix("$ ").split("\n$ "):
                command, _, output = part.partition("\n")
                if word in command:
                    found.append((command, output))
    return found


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COV"))}
    return kept | more


def test_its_tests_pass(folder: Path) -> None:
    (decisions, said_first), (everything, said_last) = consoles("pytest -q")
    assert decisions == everything == "python -m pytest -q"
    for files, said in (["tests/test_orders.py"], said_first), ([], said_last):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *files],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert matches(done.stdout.splitlines()[-1], said), done.stdout + done.stderr
        assert done.returncode == 0


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The application, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "shop"], cwd=folder, env=environment(PORT=str(port))
    )
    try:
        yield process, port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def answer(command: str, port: int) -> str:
    """What curl would print."""
    _, _, address, *rest = shlex.split(command)
    body = None if not rest else rest[1].encode()
    headers = {"Content-Type": "application/json"}
    place = f"http://{address}".replace("localhost:8000", f"127.0.0.1:{port}")
    try:
        with urlopen(Request(place, body, headers), timeout=30) as response:
            return str(response.read().decode())
    except HTTPError as error:
        return error.read().decode()


def test_it_answers_as_the_page_says(folder: Path) -> None:
    commands = consoles("curl")
    assert len(commands) == 4
    with running(folder) as (process, port):
        until = time.monotonic() + 60
        for command, said in commands:
            while True:
                try:
                    found = answer(command, port)
                except URLError:  # it does not listen yet
                    found = ""
                if found and matches(found, said):
                    break
                # A projection is a moment behind.
                assert process.poll() is None
                assert time.monotonic() < until, (command, found)
                time.sleep(0.1)
