"""A primary and its streaming standbys, for a test file."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pgstore.embedded import Server, account

PATIENCE = 30.0
FAST = {"fsync": "off", "max_connections": "20"}


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder for a server, in one that the server's account can pass through."""
    place = account.temporary_folder()
    folder = place / "server"
    folder.mkdir(mode=0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(place)


def program(server: Server, name: str, folder: Path) -> Path:
    """One of PostgreSQL's programs, which the server's account can run."""
    return account.reachable_binaries(server.bin, folder.parent / "install") / name


def as_account(*command: str | Path) -> None:
    """Run a program as the server's account."""
    subprocess.run(command, **account.identity(), cwd="/", check=True, timeout=60)


def base_backup(server: Server, folder: Path, *options: str) -> None:
    """Copy a running server's data into a folder, as a server's folder has it."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    account.hand_over(data)
    backup = program(server, "pg_basebackup", folder)
    as_account(
        backup, "-d", server.conninfo, "-D", data, "--checkpoint=fast", "--no-sync", *options
    )


@contextmanager
def standby_of(primary: Server, **settings: str) -> Iterator[Server]:
    """Copy a running server, and start the copy as its standby, with settings like its own."""
    with new_folder() as folder:
        base_backup(primary, folder, "--write-recovery-conf")
        with Server(folder, settings={**FAST, **settings}) as server:
            yield server


@contextmanager
def pair(**settings: str) -> Iterator[tuple[Server, Server]]:
    """A primary and its standby, with settings for both."""
    with (
        Server(settings={**FAST, **settings}) as primary,
        standby_of(primary, **settings) as standby,
    ):
        yield primary, standby


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
