"""Write into docs/reference/cli.md what its commands print.

A line of a console block that begins with `$ ` is a command; what follows is its output. A block
that begins otherwise stays as it is. The
commands run in order, in one new database, with the page's Python block as bank.py beside them.
tests/cli/test_reference.py compares the page with what they print, but for times, ids and sizes.
"""

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from pgstore.__main__ import main as pgstore
from pgstore._core.files import write_whole
from pgstore.embedded import Server

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "cli.md"
ROLE = "billing"
DEMO = "postgresql://localhost/demo"
# For the place of the server that the page was made on.
CONNECTION = "host=/run/postgresql port=5432 dbname=demo user=ada"

_BLOCK = re.compile(r"(?m)^```console\n((?:.*\n)*?)```$")
_PYTHON = re.compile(r"(?m)^```python\n((?:.*\n)*?)```$")
_LIVE = (" -f", "pgstore run ", "pgstore publish")
_QUIET = 1.0
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:  .*\n)+")

_VARIABLE = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d:\d\d)?", "<time>"),
    (r"[\w.-]+:\d\d+\b", "<owner>"),
    (r"[\d.]+ (bytes|kB|MB)", "<size>"),
    (r"(host|port|dbname|user)=\S+", r"\1=<…>"),
    (r"PostgreSQL \d+(\.\d+)*", "PostgreSQL <version>"),
    (r"pgstore \d+\.\d+\.\d+\S*", "pgstore <version>"),
    (r"psycopg \d+(\.\d+)*", "psycopg <version>"),
    (r"\d+(\.\d+)? (s|ms|min)\b", "<span>"),
    (r" +", " "),
]


def normalised(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, replacement in _VARIABLE:
        text = re.sub(pattern, replacement, text)
    return text.rstrip()


def examples(page: str) -> Iterator[tuple[str, str]]:
    """The commands of a page and the output that it shows."""
    for block in _BLOCK.findall(page):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def prepare(folder: Path, page: str, conninfo: str) -> None:
    """Put the page's program into the folder, and the role of the page into the server."""
    program = "\n\n".join(_PYTHON.findall(page)).replace(DEMO, conninfo)
    (folder / "bank.py").write_text(program)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {ROLE}".encode())


def output_of(command: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a command of the page; what it prints, errors too."""
    words = shlex.split(command)
    if any(each in command for each in _LIVE):
        return _live(words[1:], folder, environment)
    if words[0] != "pgstore" or set(words) & {"|", ">", "&&", "||"}:
        function = f'pgstore() {{ {shlex.quote(sys.executable)} -m pgstore "$@"; }}'
        done = subprocess.run(
            ["bash", "-c", f"{function}\n{command}"],
            env=os.environ | environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout
    printed = io.StringIO()
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            pgstore(words[1:])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return printed.getvalue()


def _live(arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command that goes on for ever; press Ctrl-C when it has said nothing for a while."""
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "pgstore", *arguments],
            env=os.environ | environment | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            cwd=folder,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        size, since = 0, time.monotonic()
        while not size or time.monotonic() - since < _QUIET:
            time.sleep(0.1)
            if (now := os.fstat(printed.fileno()).st_size) != size:
                size, since = now, time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        printed.seek(0)
        return _TRACEBACK.sub("…\n", printed.read()).replace("Ended.\n", "^C\nEnded.\n")


def environment_of(conninfo: str) -> dict[str, str]:
    """What says where the page's database is, and how wide its terminal."""
    return {"PGSTORE_CONNINFO": conninfo, "COLUMNS": "80"}


def main() -> int:
    page = PAGE.read_text()
    with Server() as server, tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder, page, server.conninfo)

        def rewritten(match: re.Match[str]) -> str:
            if not match[1].startswith("$ "):
                return match[0]  # what is to be typed, and prints nothing of ours
            parts = ["```console\n"]
            for command, shown in examples(match[0]):
                printed = output_of(command, folder, environment_of(server.conninfo))
                printed = re.sub(r"host=\S+ port=\S+ dbname=\S+ user=\S+", CONNECTION, printed)
                changed = normalised(printed) != normalised(shown)
                parts.append(f"$ {command}\n{printed if changed else shown}")
            return "".join(parts) + "```"

        write_whole(PAGE, _BLOCK.sub(rewritten, page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
