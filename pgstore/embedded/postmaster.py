"""Which PostgreSQL server runs on a data folder, whoever has started it."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def named_process(data: Path) -> int | None:
    """Return the process id in postmaster.pid; after a crash it may be anybody's."""
    with suppress(FileNotFoundError, ValueError):
        return int((data / "postmaster.pid").read_text().partition("\n")[0])
    return None


def running_process(data: Path) -> int | None:
    """Return the process id of the server that runs on the folder."""
    process = named_process(data)
    return process if process is not None and serves(process, data) else None


def serves(process: int, data: Path) -> bool:
    """Tell whether the process is a server that was started on the folder, and has not ended.

    By its command line, which is public: a container's root may not look at the working folder of
    another account's process.
    """
    if sys.platform != "linux":
        listed = subprocess.run(
            ["ps", "-ww", "-o", "command=", "-p", str(process)], stdout=subprocess.PIPE, text=True
        )
        return f"-D {data}" in listed.stdout
    try:
        return os.fsencode(data) in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
