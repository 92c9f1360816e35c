"""A real PgBouncer in front of the server, in one of its modes."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgstore.embedded import account
from tests.skips import skip

MODES = ("session", "transaction", "statement")
_PATIENCE = 30.0

_SETTINGS = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
admin_users = postgres
pool_mode = {mode}
default_pool_size = 20
max_client_conn = 200
logfile = {folder}/log
pidfile = {folder}/pid
"""


def program() -> str:
    """Give its path; skip the test if it is not installed."""
    found = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    if found is None:
        skip("pgbouncer")
    return found


@contextmanager
def pgbouncer(conninfo: str, mode: str) -> Iterator[str]:
    """Give a connection string that leads through it."""
    installed = program()
    folder = account.temporary_folder()
    account.hand_over(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = free.getsockname()[1]
    given = conninfo_to_dict(conninfo)
    (folder / "ini").write_text(
        _SETTINGS.format(
            host=given["host"],
            port=given.get("port", 5432),
            user=given["user"],
            own=own,
            mode=mode,
            folder=folder,
        )
    )
    process = subprocess.Popen(
        [installed, "-q", str(folder / "ini")], cwd="/", **account.identity()
    )
    try:
        through = make_conninfo(conninfo, host="127.0.0.1", port=own)
        _wait_for(through)
        yield through
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def _wait_for(conninfo: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            psycopg.connect(conninfo, autocommit=True).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
