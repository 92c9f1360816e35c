"""Which PostgreSQL server runs on a data folder, by the files that PostgreSQL keeps in it."""

import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


def running_process(data: Path) -> int | None:
    """Return the process id of the server that runs on the folder.

    `pg_ctl status` also takes an unrelated process for the server, if that process has got the
    number that a crashed server left in postmaster.pid. A command line is public: a container's
    root may not look at the working folder of another account's process.
    """
    with suppress(OSError, ValueError, IndexError):
        process = int(_line(data, 1))
        if sys.platform != "linux":
            command = ["ps", "-ww", "-o", "command=", "-p", str(process)]
            listed = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            return process if f"-D {data}" in listed.stdout else None
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        return process if os.fsencode(data) in words else None
    return None


def running_since(data: Path) -> datetime | None:
    """Return when the server was started that runs on the folder."""
    if running_process(data) is not None:
        with suppress(OSError, ValueError, IndexError):  # it starts or stops just now
            return datetime.fromtimestamp(int(_line(data, 3)), UTC)
    return None


def was_started_with(data: Path, setting: str) -> bool:
    """Tell whether the last server on the folder was started with `-c setting`."""
    try:
        return f'"{setting}"' in (data / "postmaster.opts").read_text()
    except FileNotFoundError:
        return False


def _line(data: Path, number: int) -> str:
    return (data / "postmaster.pid").read_text().splitlines()[number - 1]
