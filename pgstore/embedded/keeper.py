"""The process that keeps the embedded server of the command line.

    python -m pgstore.embedded.keeper FOLDER IDLE

It starts the server, says so in a line on stdout, and stops it when for IDLE seconds nobody has
used it. Who uses it holds a shared lock on FOLDER/users, which the kernel takes away from who dies,
or has a connection. The keeper stops the server under an exclusive lock on that file, so that who
comes at that moment waits, finds no server, and starts a new keeper.

A keeper that died leaves the server running. The next call sees that nobody locks FOLDER/keeper
and starts a keeper, which takes the server over.
"""

import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psycopg

from pgstore.embedded.server import EmbeddedServerError, Server

# As long as a call looks whether there is a keeper, the lock seems taken.
_PATIENCE = 1.0
_LOOK = 0.5

_USERS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def main(folder: Path, idle: float) -> int:
    """Keep the server of a folder; return when it has stopped, or another keeper is there."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = Server(folder)
    try:
        server._prepare_folder()
        if not _alone(folder):
            _say("ready")
            return 0
        server.start()
    except (EmbeddedServerError, OSError) as error:
        _say(f"error {error}")
        return 1
    _say("ready")
    try:
        # A server that somebody else started, from a program, is theirs to stop.
        if server._owner:
            _wait_until_idle(server, idle, ended)
    finally:
        server.stop()
    return 0


def _alone(folder: Path) -> bool:
    lock = os.open(folder / "keeper", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until this process ends
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        else:
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
            return True


def _wait_until_idle(server: Server, idle: float, ended: threading.Event) -> None:
    """Return with the exclusive lock on `users`, or when told to end, or when the server has."""
    users = os.open(server.folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    last_use = time.monotonic()
    while not (ended.wait(min(_LOOK, idle / 4 + 0.01)) or server._has_ended()):
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            last_use = time.monotonic()
            continue
        if time.monotonic() - last_use >= idle:
            if not _has_clients(server.dsn):
                return
            last_use = time.monotonic()
        fcntl.flock(users, fcntl.LOCK_UN)


def _has_clients(dsn: str) -> bool:
    try:
        with psycopg.connect(dsn, connect_timeout=5) as conn:
            row = conn.execute(_USERS).fetchone()
    except psycopg.Error:
        return False  # it does not run any more
    return row is not None and row[0] > 0


def _say(text: str) -> None:
    """Tell who has started us, if that still listens."""
    try:
        os.write(1, text.encode())
    except BrokenPipeError:
        pass
    finally:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
