"""UmaDB's server, which its Python package brings."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.agents import TaskFailed
from benchmarks.environment import bench_python

PATIENCE = 20.0


@contextmanager
def umadb_server(near: Path) -> Iterator[str]:
    """Give the address of a new server with its defaults; its files are beside a folder."""
    folder = Path(tempfile.mkdtemp(prefix="umadb-", dir=near.parent))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    process = subprocess.Popen(
        [
            str(bench_python().with_name("umadb")),
            *("--listen", f"127.0.0.1:{port}", "--db-path", str(folder)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TaskFailed("umadb: its server does not start")
