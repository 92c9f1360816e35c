"""A page whose blocks are files, followed to the letter in an empty folder.

The first line of such a block is a comment with the file's name. The commands of the page run in
that folder; the server's address is in the environment.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pgstore.embedded import account
from tests.docs.test_examples import Block, blocks_of, matches

FILE = re.compile(r"# ([\w/.]+\.(?:py|ini))\n")
SET_UP = ("python3 -m venv", ". .venv", "pip install", "export")
DEADLINE = 60


class Followed:
    """The files of a page in a folder, and its commands."""

    def __init__(self, page: Path, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._page = page
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def with_page(self, page: Path) -> "Followed":
        """Another page, in the same folder and database."""
        return Followed(page, self.folder, self.environment)

    def follow(self, since: str = "", until: str = "", leave_out: Sequence[str] = ()) -> None:
        """Write the files and run the commands in the order of the page, from a heading to another.

        Those that set up Python are left out, and all that begin with one of some texts.
        """
        lines = self._page.read_text().splitlines()
        first = lines.index(since) if since else 0
        last = lines.index(until) if until else len(lines)
        for block in blocks_of(self._page):
            if not first < block.line <= last:
                continue
            if found := FILE.match(block.code):
                self.write(found[1], block.code)
            for command, said in commands_in(block):
                if not command.startswith((*SET_UP, *leave_out)):
                    self.run(command, said)

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commands(self, start: str) -> list[tuple[str, str]]:
        """The commands that begin so, and what the page says that they print."""
        found = [
            (command, said)
            for block in blocks_of(self._page)
            for command, said in commands_in(block)
            if command.startswith(start)
        ]
        assert found, start
        return found

    def run_all(self, start: str) -> None:
        """Run the commands that begin so."""
        for command, said in self.commands(start):
            self.run(command, said)

    def run(self, command: str, said: str) -> None:
        """Run a command; it prints what the page says, and a test's result in its last line."""
        done = self.done(command)
        printed = done.stdout
        if "pytest" in command:
            printed = printed.splitlines()[-1]
        assert done.returncode == 0, done.stdout + done.stderr
        assert matches(printed, said), done.stdout + done.stderr

    def done(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", self._here(command)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def running(self, start: str, more: str = "") -> AbstractContextManager[subprocess.Popen[str]]:
        """The program that the page starts with a command."""
        ((command, _),) = self.commands(start)
        return self.started(f"{command} {more}")

    @contextmanager
    def started(self, command: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {self._here(command)}"],
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
            text=True,
        )
        try:
            yield process
        finally:
            with suppress(subprocess.TimeoutExpired):
                end(process, signal.SIGINT)  # it may have started a database server
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(DEADLINE)

    def curl(self, process: subprocess.Popen[str]) -> None:
        """Every `curl -s`, until it prints what the page says."""
        for command, said in self.commands("curl -s "):
            wait_until(lambda c=command, s=said: matches(self.answer(c), s), process)  # type: ignore[misc]

    def answer(self, command: str) -> str:
        """What curl would print; empty as long as nobody listens."""
        _, _, address, *rest = shlex.split(command)
        body = rest[1].encode() if rest else None
        request = Request(self._at(address), body)
        if "--json" in rest:
            request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, timeout=30) as response:
                return str(response.read().decode())
        except HTTPError as error:
            return error.read().decode()
        except URLError:
            return ""

    def feed(self, path: str, last_event_id: int | None = None) -> "Feed":
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        return Feed(Request(self._at(f"localhost:8000{path}"), headers=headers))

    def _here(self, text: str) -> str:
        return text.replace("localhost:8000", f"127.0.0.1:{self.port}")

    def _at(self, address: str) -> str:
        return f"http://{self._here(address)}"


def commands_in(block: Block) -> list[tuple[str, str]]:
    """The commands of a block, and what each prints."""
    if block.language != "console":
        return []
    parts = re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


class Feed:
    """A browser that reads server-sent events."""

    def __init__(self, request: Request) -> None:
        self.text = ""
        self._response = urlopen(request, timeout=DEADLINE)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, IncompleteRead):  # the server has ended
            while line := self._response.readline():
                self.text += line.decode()


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + DEADLINE
    while not holds():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


def end(process: subprocess.Popen[str], how: signal.Signals) -> int:
    """Signal the process, and wait for its end; its exit code."""
    if process.poll() is None:
        process.send_signal(how)
    return process.wait(DEADLINE)


@contextmanager
def following(page: Path, conninfo: str) -> Iterator[Followed]:
    """The page in an empty folder, with an empty database in PGSTORE_CONNINFO and PGDATABASE."""
    name = f"guide_{uuid.uuid4().hex}"
    folder = account.temporary_folder()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield Followed(
                page, folder, environment({**conninfo_to_dict(conninfo), "dbname": name})
            )
        finally:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            shutil.rmtree(folder)


def environment(place: Mapping[str, Any]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COV"))}
    libpq = {
        "PGDATABASE" if key == "dbname" else f"PG{key.upper()}": value
        for key, value in place.items()
    }
    return (
        kept
        | {key: str(value) for key, value in libpq.items()}
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PGSTORE_CONNINFO": psycopg.conninfo.make_conninfo(**place),
        }
    )
