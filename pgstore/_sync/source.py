# Generated from pgstore/_async/source.py by `python tools/unasync.py`.

"""Connections: where they come from."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Self, cast

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from pgstore._compat.events import Event
from pgstore._compat.tasks import (
    LoopEnd,
    called,
    cancellations,
    finish,
    lost_cancellation,
)
from pgstore._core.conninfo import checked, limits
from pgstore._core.outages import PACE, Outage, is_read_only, wants_primary
from pgstore._core.quoting import Statements
from pgstore._core.text import one_line
from pgstore._core.translation import passes
from pgstore._sync.direct import DirectConnection
from pgstore._sync.entry import Entry
from pgstore._sync.installer import ensure
from pgstore._sync.racing import Hosts
from pgstore.errors import PgstoreError, StoreMovedError

# Any: a pool of the user's may have any row factory, and connections of a class of their own.
PoolConnection = Connection[Any]
Pool = ConnectionPool[Any]

# Where several hosts can be the primary, the waiting connection asks so often whether its server
# still is: one that has become read-only keeps the connection, and nothing comes on it.
_SOON = 1.0

# While a store is closed, its new place is looked for so often.
_LOOKS = 0.05

# Of the store's own connections, whatever the connection string or the environment says.
_OWN: dict[str, Any] = {"autocommit": True, "client_encoding": "utf8"}


def connecting(owner: "Source", end: Event) -> type[DirectConnection]:
    """The class of connections that are made as soon as the server is there, until `end` is set.

    psycopg_pool itself doubles its pauses, up to minutes, and logs each attempt. Its connection
    string is the one with which it was made: the owner's hosts have the one of now.
    """

    class Persistent(DirectConnection):
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Self:
            attempt = object()
            try:
                while True:
                    hosts = owner.hosts
                    try:
                        connect = partial(super().connect, hosts.conninfo, **options)
                        conn = hosts.connect(connect)
                    except (psycopg.Error, OSError) as error:
                        owner.refusal = error
                        owner.outage.met(attempt, error)
                        moved = owner.look_again()
                        if not (moved or passes(error)) or end.wait(PACE):
                            # psycopg_pool logs it, with the server's text.
                            raise psycopg.OperationalError(one_line(str(error))) from error
                    else:
                        owner.refusal = None
                        owner.outage.over(attempt)
                        return conn
            finally:
                owner.outage.left(attempt)

    return Persistent


class Source:
    """Where the store's connections come from: a pool, its own or the user's."""

    def __init__(
        self,
        source: str | Pool | None,
        name: str,
        create: bool | None,
        prepare_threshold: int | None = 5,
        lent: Any = None,
        entry: Entry | None = None,
    ) -> None:
        # A framework's own block of a transaction, instead of psycopg's.
        self.transaction: Callable[[], AbstractContextManager[PoolConnection]] | None
        self.transaction = None if lent is None else lent.transaction
        self.name = name
        self.room = 10
        self.statements = Statements(name)
        self.outage = Outage(name)
        self.refusal: BaseException | None = None  # why the pool cannot connect, while it cannot
        self._create = create
        self._own = {**_OWN, "prepare_threshold": prepare_threshold}
        own = isinstance(source, str) and entry is None
        self.hosts = Hosts(checked(source) if own else "")
        self.leave: Callable[[], None] | None = None  # the server of the waiting connection
        self.rest = math.inf  # of the waiting connection, at most
        self._began_read_only = False  # the waiting connection
        self._entry = entry  # of a directory, which says where the store is
        self._looked = -math.inf  # when it was asked where a closed store is
        self._lent = lent  # as a pool: a framework's connections
        given = None if source is None or isinstance(source, str) else source
        self._given: Pool | None = lent or given
        self._pool: Pool | None = None
        self._loop_end: LoopEnd | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.closings = 0  # begun
        self.resets = 0  # of the store, by a test
        self._closed = 0  # and done
        self._renewed = 0.0  # when the pool was drained
        self._end = Event()  # of the pool's attempts to connect

    @property
    def conninfo(self) -> str:
        """The connection string of the store's own connections."""
        return self.hosts.conninfo

    @property
    def owns_pool(self) -> bool:
        """Whether the pool is the store's own, with connections as `connection()` makes them."""
        return self._given is None

    def ready(self, closings: int | None = None) -> Pool:
        """The open pool of a store that is there; installs it if this may.

        A caller that began after so many closings gets no pool that is opened after another
        closing: PoolClosed.
        """
        pool = self._pool
        if pool is not None and self._pid != os.getpid():
            # Its connections are the other process's too: answers would go to either.
            raise PgstoreError(
                "this store was used before the process forked: make a store in each process"
            )
        if pool is None:
            with self._lock:
                if closings is not None and self._closed > closings:
                    raise PoolClosed("the store was closed")
                if self._pool is None:
                    pool = self._open()
                    # Also an application's: a worker of psycopg_pool that is cancelled while it
                    # connects continues, and the program does not end (tests/client/test_process).
                    if isinstance(pool, ConnectionPool):
                        self._loop_end = LoopEnd(partial(self._close, pool))
                    self._pool = pool
                    self._pid = os.getpid()
                pool = self._pool
        return pool

    def ambient(self) -> Any:
        """The connection in whose transaction statements run by themselves, if there is one."""
        return None if self._lent is None else self._lent.ambient()

    def block(self, conn: PoolConnection) -> AbstractContextManager[object]:
        """Commit what is done on a connection of the pool in this block, or roll it back."""
        if self._lent is None:
            return conn
        block: AbstractContextManager[object] = self._lent.block(conn)
        return block

    def _open(self) -> Pool:
        if self._lent is not None:
            self._lent.permit()
            # Not one of the application's, which may be all in use, or in a transaction.
            with self._lent.beside() as conn:
                ensure(conn, self.statements, create=self._create)
            return cast(Pool, self._lent)
        if self._given is not None:
            with self._taken(self._given) as conn:
                restore = conn.autocommit
                conn.set_autocommit(True)
                try:
                    ensure(conn, self.statements, create=self._create)
                finally:
                    if not conn.closed:
                        conn.set_autocommit(restore)
            return self._given
        if self._entry is not None:
            self.hosts = Hosts(self._entry.find())
        options = limits(self.conninfo) | self._own
        # A plain connection first: a wrong address is an error now, not a time-out of the pool.
        connect = partial(Connection.connect, self.conninfo, **options)
        try:
            with self.hosts.connect(connect) as conn:
                ensure(conn, self.statements, create=self._create)
        except (psycopg.Error, PgstoreError) as error:
            if self._entry is not None:
                error.add_note(self._entry.note)
            raise
        self._end = Event()
        pool: Pool = ConnectionPool(
            self.conninfo,
            connection_class=connecting(self, self._end),
            kwargs=options,
            num_workers=1,  # which connects: a server that comes back is not to be overrun
            min_size=1,
            max_size=self.room,
            name=f"pgstore {self.name}",
            open=False,
        )
        try:
            # With its connection: asked before it is there, the pool would open another.
            pool.open(wait=True)
        except BaseException:
            self._close(pool)
            raise
        return pool

    def look_again(self) -> bool:
        """Go where the directory says that the store is by now; whether that is another place.

        For a place that is gone, and says nothing of another one.
        """
        return self._entry is not None and self._go_to(self._entry.find_again())

    def moved(self, error: Exception) -> bool:
        """Go where the store is by now, if it has moved and is of a directory; whether that is so.

        Callers try again. Until the store is open at its new place they come here again and again,
        from all tasks: only one of them asks the directory, and only so often.
        """
        if self._entry is None or not isinstance(error, StoreMovedError):
            return False
        if error.store != self.name:  # of another store, to which a handler writes
            return False
        error.followed = True
        with self._lock:
            if time.monotonic() - self._looked > _LOOKS:
                place = self._entry.follow(error)
                # The latter is of a connection that was being made meanwhile.
                self._go_to(place, anyway=self._entry.said(error) == self.conninfo)
                self._looked = time.monotonic()
        return True

    def _go_to(self, place: str | None, *, anyway: bool = False) -> bool:
        """Replace all connections, if the place is another one; whether it is."""
        other = place is not None and place != self.conninfo
        if place is not None and other:
            self.hosts = Hosts(place)
        if (other or anyway) and self._pool is not None and not self._pool.closed:
            self.leave_server()
            self._pool.drain()
        return other

    def renew(self, pool: Pool, began: float, *, elsewhere: bool = False) -> None:
        """Replace the pool's connections, unless that was done since then.

        To check them instead would wait for those whose server is silent. If the primary may be
        elsewhere by now, the waiting connection is replaced too.
        """
        if began > self._renewed:
            self._renewed = time.monotonic()
            if elsewhere:
                self.leave_server()
            pool.drain()

    def leave_server(self) -> None:
        """Replace the waiting connection: the primary is elsewhere."""
        if self.leave is not None:
            self.leave()

    def take(self, pool: Pool) -> PoolConnection:
        """Take a connection out of the pool; if there is none in time, the error says why."""
        try:
            return self.getconn(pool)
        except PoolTimeout as error:
            raise self.explained(error) from error

    def getconn(self, pool: Pool, timeout: float | None = None) -> PoolConnection:
        """Take a connection out of the pool.

        Before Python 3.12 the pool loses a cancellation that comes together with the connection:
        the task would continue, and a time-out around it would have no effect.
        """
        before = cancellations()
        conn: PoolConnection = pool.getconn(timeout)
        lost = lost_cancellation(before)
        if lost is not None:
            self.give_back(pool, conn)
            raise lost
        return conn

    def give_back(self, pool: Pool, conn: PoolConnection) -> None:
        """Give it back; the pool ends or closes what was left unfinished on it."""
        if isinstance(conn, DirectConnection) and conn.was_fenced:
            conn.close()  # the pool connects anew: the primary may be elsewhere
        finish(pool.putconn, conn)

    @contextmanager
    def _taken(self, pool: Pool) -> Iterator[PoolConnection]:
        conn = self.take(pool)
        try:
            with conn:
                yield conn
        finally:
            self.give_back(pool, conn)

    def explained(self, error: PoolTimeout) -> psycopg.OperationalError:
        """The error of a pool that cannot connect, with the reason."""
        if self.refusal is None:
            return error
        kind = PoolTimeout if passes(self.refusal) else psycopg.OperationalError
        return kind(f"{error}: {one_line(str(self.refusal))}")

    def make_room(self) -> None:
        """Let the store's own pool have `room` connections; one of the user's is as it is."""
        pool = self.ready()
        if pool is not self._given and pool.max_size < self.room:
            pool.resize(pool.min_size, self.room)

    @contextmanager
    def connection(self) -> Iterator[PoolConnection]:
        """A connection beside the pool, in autocommit mode: for a session that waits."""
        pool = self.ready()
        if self._lent is not None:
            with self._lent.beside() as conn:
                self._note(conn)
                yield conn
            return
        # Of a pool of the user's either may be a function: of a password that changes, for example.
        kwargs = called(pool.kwargs) or {}
        hosts = self.hosts
        if not self.owns_pool:
            hosts = Hosts(called(pool.conninfo) or "", kwargs)
        options = limits(hosts.conninfo, kwargs) | kwargs | {"autocommit": True}
        kind = DirectConnection if self.owns_pool else Connection
        connect: Callable[..., Any] = partial(kind.connect, hosts.conninfo, **options)
        with hosts.connect(connect) as conn:
            self._note(conn)
            yield conn

    def _note(self, conn: PoolConnection) -> None:
        self._began_read_only = is_read_only(conn)
        self.rest = _SOON if wants_primary(conn) else math.inf

    def refuse_fenced(self, conn: PoolConnection) -> None:
        """Raise if the waiting connection's server has become read-only: no message comes there.

        Its last answer says so. The pool's connections are replaced too: they lead there as well.
        """
        if is_read_only(conn) and not self._began_read_only:
            self.renew(self.ready(), time.monotonic())
            raise psycopg.OperationalError("the server has become read-only")

    def close(self) -> None:
        """Close the pool unless it is the user's; the next operation opens a new one."""
        with self._lock:
            self._closed = self.closings
            pool, self._pool = self._pool, None
            if self._loop_end is not None:
                self._loop_end.forget()
            if pool is not None and pool is not self._given:
                self._close(pool)

    def _close(self, pool: Pool) -> None:
        self._end.set()
        pool.close()
