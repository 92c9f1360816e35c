"""The benchmark's side of a contender's agent: a process that runs tasks with its clients."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent

PATIENCE = 600.0


class TaskFailed(Exception):
    """A contender could not do a task; the message says why."""


class TimedOut(TaskFailed):
    """A contender gave no answer in time, and was ended."""


class Agent:
    """A process for one contender and one database; it runs one task at a time."""

    def __init__(
        self, name: str, command: list[str], conninfo: str, *, patience: float = PATIENCE
    ) -> None:
        self.name = name
        self._patience = patience
        self._timed_out = False
        self._process = subprocess.Popen(
            [*command, conninfo],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            start_new_session=True,  # so that it can be ended together with its clients
        )
        self._said: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def run(self, task: str, clients: int = 1, **options: Any) -> list[Any]:
        """Prepare a task, run it to its end, and return what each client found."""
        self.prepare(task, clients, **options)
        self.go()
        return self.results()

    def start(self, task: str, clients: int = 1, **options: Any) -> None:
        """Prepare and start a task that goes on until `finish`."""
        self.prepare(task, clients, endless=True, **options)
        self.go()

    def status(self) -> int:
        """What the clients of the task that was started have counted."""
        self._say("status")
        return int(self._answer()["status"])

    def wait_for(self, count: int, *, timeout: float, quiet: float) -> int:
        """Wait until the clients have counted so far, or nothing comes any more."""
        until = time.monotonic() + timeout
        found, since = self.status(), time.monotonic()
        while found < count and time.monotonic() < min(until, since + quiet):
            time.sleep(0.05)
            before, found = found, self.status()
            if found > before:
                since = time.monotonic()
        return found

    def finish(self) -> list[Any]:
        """End a task that was started, and return what each client found."""
        self._say("stop")
        return self.results()

    def prepare(
        self, task: str, clients: int = 1, *, endless: bool = False, **options: Any
    ) -> None:
        self._say(
            json.dumps({"task": task, "clients": clients, "endless": endless, "options": options})
        )
        self._answer()

    def go(self) -> None:
        self._say("go")

    def results(self) -> list[Any]:
        results: list[Any] = self._answer()["results"]
        if failed := [each["error"] for each in results if "error" in each]:
            raise TaskFailed(f"{self.name}: {failed[0]}")
        return results

    def close(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._end()
            self._process.wait()
        self._listener.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def end(self) -> None:
        """End it in the middle of whatever it does."""
        self._end()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._end()  # it may be in the middle of a task
        self.close()

    def _last_words(self) -> str:
        """Only the last line: the others have paths in them, which do not belong into results."""
        lines = "".join(self._said).strip().splitlines()
        return lines[-1][:200] if lines else "without a word"

    def _ended(self) -> TaskFailed:
        if self._timed_out:
            return TimedOut(f"{self.name}: no answer in {self._patience:.0f} s")
        return TaskFailed(f"{self.name} ended: {self._last_words()}")

    def _give_up(self) -> None:
        self._timed_out = True
        self._end()

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._said = [*self._said[-20:], line]

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        timer = threading.Timer(self._patience, self._give_up)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            self._listener.join(2)
            print("".join(self._said), file=sys.stderr)
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise TaskFailed(f"{self.name}: {answer['error']}")
        return answer
