"""Data folders that are copies of one: initdb takes a second of a core, a copy a fraction of that.

The processes of pytest-xdist share it. The tests of what initdb does run it (`data_by_initdb`), and
so does a program that a test starts.
"""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgstore.embedded import Server

by_initdb = Server._create_data


@contextmanager
def copied_data_folders(folder: Path) -> Iterator[None]:
    """Have servers that are new copy the data folder that the first one has made."""
    made = folder / "initial-data"

    def create_data(server: Server) -> None:
        if server._data.exists():
            return by_initdb(server)
        with (folder / "initial-data.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                by_initdb(server)
                unfinished = folder / "initial-data.new"
                shutil.rmtree(unfinished, ignore_errors=True)
                copy(server._data, unfinished)
                unfinished.rename(made)
                return None
        return copy(made, server._data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "_create_data", create_data)
        yield


def copy(source: Path, target: Path) -> None:
    """Copy a folder with its owner and its modes."""
    subprocess.run(["cp", "-a", source, target], check=True)
