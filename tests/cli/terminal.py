"""The command line as a process of its own: with pipes, or in a terminal of some width."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

PROGRAM = [sys.executable, "-m", "pgstore"]
_STEERING = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process gets: nothing of ours that says where a server is or how output looks."""
    ours = ("PGSTORE_", "PGHOST", "PGPORT", "PGDATABASE", "PGSERVICE", "COLUMNS", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    terminal = {"TERM": "xterm-256color", "TZ": "Europe/Vienna"}
    return kept | terminal | {"PGSTORE_HOME": os.environ["PGSTORE_HOME"]} | dict(environment)


class Terminal:
    """A command that runs in a terminal. It is killed at the end of the block."""

    def __init__(self, *arguments: str, columns: int, env: Mapping[str, str]) -> None:
        self._control, ours = pty.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=ours,
            stdout=ours,
            stderr=ours,
            env=clean(env),
            start_new_session=True,
        )
        os.close(ours)
        self.raw = ""

    @property
    def text(self) -> str:
        """What it has shown so far, without colours and cursor movements."""
        return _STEERING.sub("", self.raw).replace("\r\n", "\n")

    def wait_for(self, text: str, *, times: int = 1, timeout: float = 30) -> None:
        """Read until it has shown the text, so many times."""
        until = time.monotonic() + timeout
        while self.text.count(text) < times:
            if not self._read(until):
                raise AssertionError(f"{text!r} has not come:\n{self.text}")

    def enter(self, text: str) -> None:
        """Type something."""
        os.write(self._control, text.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self, *, timeout: float = 30) -> int:
        """Read until it has ended; its exit code."""
        until = time.monotonic() + timeout
        while self._read(until):
            pass
        return self.process.wait(max(until - time.monotonic(), 0.1))

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._control], [], [], max(until - time.monotonic(), 0))
        try:
            part = os.read(self._control, 65536) if ready else b""
        except OSError:  # the terminal is closed
            return False
        self.raw += part.decode(errors="replace")
        return bool(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._control)


def run(
    *arguments: str, env: Mapping[str, str], text: str | None = None, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command with pipes."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=clean(env),
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
