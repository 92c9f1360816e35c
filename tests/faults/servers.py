"""Servers with PostgreSQL's durable settings that a fault can take down and bring back."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from pgstore.embedded import EmbeddedServerError, Server, account, postmaster

# fsync, full_page_writes and synchronous_commit are on, as PostgreSQL has them. What no commit has
# flushed stays in memory for long, so that a crash takes as much as it can.
SETTINGS = {
    "max_connections": "200",
    "max_prepared_transactions": "20",
    "log_min_messages": "panic",
    "wal_writer_delay": "10s",
}

_PATIENCE = 60.0


class Durable(Server):
    """A server in a folder that the caller made; it can be killed."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, settings=SETTINGS | settings)

    @property
    def alive(self) -> bool:
        return postmaster.running_process(self.folder / "data") is not None

    def crash(self) -> None:
        """Kill the postmaster, as the kernel does when memory is short."""
        self._end(signal.SIGKILL)

    def shut_down(self) -> None:
        """Shut down immediately: every session is cut off, and nothing is flushed."""
        self._end(signal.SIGQUIT)

    def start_again(self) -> None:
        """Start as soon as the killed server's processes have ended."""
        end = time.monotonic() + _PATIENCE
        self.stop()
        while True:
            try:
                return self.start()
            except EmbeddedServerError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _end(self, number: int) -> None:
        process = postmaster.running_process(self.folder / "data")
        assert process is not None
        os.kill(process, number)
        end = time.monotonic() + _PATIENCE
        while self.alive:
            assert time.monotonic() < end, "the server does not end"
            time.sleep(0.01)
        self.stop()


def version_of(server: Durable) -> str:
    """The version of PostgreSQL."""
    with psycopg.connect(server.conninfo) as conn:
        return (conn.info.parameter_status("server_version") or "").split()[0]


@contextmanager
def temporary_folder() -> Iterator[Path]:
    folder = account.temporary_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def durable_server() -> Iterator[Durable]:
    with temporary_folder() as folder, Durable(folder / "server") as server:
        yield server
