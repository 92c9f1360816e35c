"""A primary and its streaming standby, for a test file."""

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
def standby_of(primary: Server, **settings: str) -> Iterator[Server]:
    """Copy a running server, and start the copy as its standby, with settings like its own."""
    place = account.temporary_folder()
    folder = place / "standby"
    folder.mkdir(mode=0o711)
    data = folder / "data"
    data.mkdir(mode=0o700)
    account.hand_over(data)
    binaries = account.reachable_binaries(primary.bin, place / "install")
    backup: list[str | Path] = [binaries / "pg_basebackup", "-d", primary.conninfo, "-D", data]
    options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
    try:
        subprocess.run([*backup, *options], **account.identity(), cwd="/", check=True, timeout=60)
        with Server(folder, settings={**FAST, **settings}) as server:
            yield server
    finally:
        shutil.rmtree(place)


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
