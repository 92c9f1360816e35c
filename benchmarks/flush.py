"""A disk that takes its time: servers started here wait in every fsync and fdatasync.

Linux only. The library is compiled with `cc` when it is first needed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("slow_flush.c")


def reason_against() -> str | None:
    """Why there can be no slow disk here, or None."""
    if sys.platform != "linux":
        return "preloading a library works on Linux only"
    if shutil.which("cc") is None:
        return "there is no C compiler (cc)"
    with tempfile.TemporaryDirectory() as folder:
        if compiled(Path(folder)).returncode:
            return "the C compiler (cc) does not work"
    return None


def compiled(folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Make slow_flush.so in a folder."""
    library = str(folder / "slow_flush.so")
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", library, str(SOURCE), "-ldl"]
    return subprocess.run(command, capture_output=True)


@contextmanager
def slow_flushes(milliseconds: float) -> Iterator[None]:
    """Have programs that are started meanwhile take so long for each flush, at least."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # the server may run as another account
        library = Path(folder) / "slow_flush.so"
        compiled(Path(folder)).check_returncode()
        library.chmod(0o755)
        before = {name: os.environ.get(name) for name in ("LD_PRELOAD", "SLOW_FLUSH_NS")}
        os.environ["LD_PRELOAD"] = str(library)
        os.environ["SLOW_FLUSH_NS"] = str(round(milliseconds * 1_000_000))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name)
                else:
                    os.environ[name] = value
