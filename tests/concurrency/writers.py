"""Processes that write at the same time."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.amounts import amount
from tests.concurrency.writer import Job, Report

PROCESSES = amount(16, 32)

_ROOT = Path(__file__).parents[2]


class Writers:
    """A number of processes, started once; each does one job at a time."""

    def __init__(self, count: int) -> None:
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.concurrency.writer"],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(count)
        ]

    def __len__(self) -> int:
        return len(self._processes)

    def start(self, jobs: Sequence[Job]) -> None:
        """Give each process its job; there may be fewer jobs than processes."""
        self._busy = self._processes[: len(jobs)]
        for process, job in zip(self._busy, jobs, strict=True):
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()

    def reports(self) -> list[Report]:
        """What came of the jobs, when all are done."""
        found = []
        for process in self._busy:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "a writer has died; its error is on standard error"
            found.append(msgspec.json.decode(line, type=Report))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
