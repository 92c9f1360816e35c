"""Processes that can be stopped, continued and killed."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

Pipe = Connection

# Forked from a process that has imported everything and has no threads or connections.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["tests.stress.writer", "tests.stress.worker", "tests.stress.sleeper"]
)


class Process:
    """A function in a process of its own, with a pipe to it as its first argument."""

    def __init__(self, function: Callable[..., None], *arguments: object) -> None:
        self.pipe, end = _context.Pipe()
        self._process = _context.Process(target=function, args=(end, *arguments), daemon=True)
        self._process.start()
        end.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def receive(self, timeout: float) -> Any:
        """What it sends next."""
        assert self.pipe.poll(timeout), f"nothing from process {self.pid} in {timeout} s"
        return self.pipe.recv()

    def last_words(self, timeout: float) -> Any:
        """What it sends next; None if SIGTERM has ended it before it could listen."""
        try:
            return self.receive(timeout)
        except EOFError:
            self._process.join(timeout)
            assert self._process.exitcode == -signal.SIGTERM
            return None

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Ask it to end, as a service manager does."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; nothing happens if it has ended."""
        self._process.kill()
        self._process.join(30)
        self.pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
