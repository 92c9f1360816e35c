# Generated from pgstore/_async/racing.py by `python tools/unasync.py`.

"""Connecting to the primary among several hosts."""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from psycopg import Connection

from pgstore._compat.events import Counter
from pgstore._compat.tasks import Task
from pgstore._core.deadlines import deadline, left
from pgstore._core.hosts import Host, hosts_of, no_host
from pgstore._core.outages import PACE
from pgstore._core.translation import passes

C = TypeVar("C", bound=Connection[Any])

# A host that has not answered for so long does not hold up the next one. It may have vanished: then
# only the time-out of the attempt ends the wait for it.
_AHEAD = 0.3


class Hosts:
    """The hosts of a connection string. The one that was the primary last is tried first."""

    def __init__(self, conninfo: str, given: Mapping[str, Any] | None = None) -> None:
        self.conninfo = conninfo
        self._hosts = hosts_of(conninfo, given)
        self._first = 0

    def connect(self, connect: Callable[..., C]) -> C:
        """Call it for the host that turns out to be the primary; as it is if there is one host."""
        if not self._hosts:
            return connect()
        race = Race(connect, self._hosts, self._first)
        conn = race.won()
        self._first = race.winner
        return conn


class Race(Generic[C]):
    """One connection to the primary of several hosts.

    The hosts are tried in turn, and a host that is silent does not hold up the others: they are
    tried again meanwhile, except those that refuse the role. So a standby that is promoted is found
    soon, though the former primary has vanished. An attempt fails when each host has failed.
    """

    def __init__(self, connect: Callable[..., C], hosts: list[Host], first: int) -> None:
        self.winner = first
        self._connect = connect
        self._hosts = hosts
        self._order = [(first + n) % len(hosts) for n in range(len(hosts))]
        self._tasks: dict[int, Task] = {}  # of the attempts that are under way
        self._errors: dict[int, BaseException] = {}
        self._conn: C | None = None  # made by a task
        self._over = False
        self._changes = Counter()
        self._lock = threading.Lock()

    def won(self) -> C:
        """The first connection that is made; raises if no host gives one."""
        decided = False
        try:
            while not self._is_decided():
                for host in self._order:
                    if self._is_due(host) and not self._is_won():
                        self._start(host)
                        self._changed(_AHEAD, host)
                if not self._is_decided():
                    self._changed(PACE)
            decided = True
        finally:
            with self._lock:
                self._over = True
                conn, late = self._conn, list(self._tasks.values())
            for task in late:
                task.cancel()
            if conn is not None and not decided:  # cancelled, or interrupted, just when it was made
                conn.close()
        if conn is None:
            errors = [self._errors[n] for n in range(len(self._hosts))]
            raise no_host(self._hosts, errors)
        return conn

    def _is_won(self) -> bool:
        return self._conn is not None

    def _is_decided(self) -> bool:
        return self._is_won() or len(self._errors) == len(self._hosts)

    def _is_due(self, host: int) -> bool:
        """Tell whether to try a host; one that has refused the role or its password would again."""
        error = self._errors.get(host)
        return host not in self._tasks and (error is None or passes(error))

    def _start(self, host: int) -> None:
        with self._lock:
            self._tasks[host] = Task(partial(self._try, host), "pgstore-connect")

    def _changed(self, seconds: float, host: int | None = None) -> None:
        """Wait until there is a connection, or the attempt with this host has failed."""
        until = deadline(seconds)
        while True:
            seen, before = self._changes.value, self._changes.interruptions
            remaining = left(until)
            if self._is_won() or remaining == 0:
                return
            if host is not None and host not in self._tasks:
                return
            self._changes.wait(seen, before, remaining)

    def _try(self, host: int) -> None:
        conn: C | None = None
        try:
            conn = self._connect(**self._hosts[host])
        except Exception as error:
            self._errors[host] = error
        finally:  # also if somebody cancels all tasks: the host is tried again
            with self._lock:
                del self._tasks[host]
                if conn is not None and self._conn is None and not self._over:
                    self._conn, self.winner, conn = conn, host, None
            self._changes.advance()
        if conn is not None:  # another host was faster, or nobody waits any more
            conn.close()
