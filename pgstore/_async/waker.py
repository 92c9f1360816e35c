"""Waiting for new messages: one connection that waits for all readers of this process."""

import threading
import time
from contextlib import suppress
from functools import partial
from typing import Literal
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection, Notify, sql

from pgstore._async.cursor import run
from pgstore._async.lending import AsyncBorrower, AsyncLending
from pgstore._async.source import AsyncSource
from pgstore._compat.events import AsyncCounter, AsyncEvent
from pgstore._compat.tasks import AsyncTask, async_pause
from pgstore._core import statements as s
from pgstore._core.deadlines import deadline, left
from pgstore._core.log import log
from pgstore._core.outages import PACE
from pgstore._core.silence import cut
from pgstore._core.translation import passes

WakeUp = Literal["listen", "poll"]
Found = Literal["messages", "writers", "nothing", "standby"]

_FALLBACK_POLL = 10.0
_SLICE = 0.5
_SLOW_POLL = 1.0
# A session on a standby cannot listen; its primary publishes at such a pace.
_STANDBY_POLL = 0.03
_LOOK_AGAIN = (0.002, 0.25)
# So soon a reader looks again that has not read up to the safe position.
_BELOW = 0.05
# Notified readers go first: this would be in their way. psycopg waits whole milliseconds.
_AFTER_YOU = 0.0031
# So many notifications, one after the other, are too many: each writer that notifies waits for all
# others that do.
_RINGS = 4
# How long to wait at most before looking again, while so many messages a second come: if a reader
# here wanted any of them, and if not. Without this pause, waiting readers would keep a busy system
# busy.
_BUSY = (0.05, 0.2)
_MANY = 1000.0
# So long it waits for a connection of the pool, for a question only.
_FREE_SOON = 1.0
# A notification that has not come after so long does not come.
_NOTIFIED = 1.0
# So long after its last answer the listening connection is taken for dead: it looks more often.
_SILENT = _FALLBACK_POLL + 2.0
# A connection that had answered for so long is made anew at once: its end is no outage yet.
_WORKED = 1.0
# How long `aclose` waits for the server's last answer.
_PATIENCE = 2.0


class AsyncWaker:
    """Knows when it is worth looking for new messages.

    A reader takes `counter.value` first, then looks for messages, and if there are none waits for
    the counter to change. The counter changes when the safe position has moved, when a writer has
    notified, and when the connection was lost meanwhile: it says "look", no more. A reader that has
    found messages sets `useful`; one that has not read up to `safe_position` looks again soon.
    """

    def __init__(self, source: AsyncSource, wakeup: WakeUp) -> None:
        self.counter = AsyncCounter()
        self.lending = AsyncLending(self.counter)
        self.useful = False
        self._source = source
        source.leave = self._leave
        self._notifier: AsyncConnection[object] | None = None  # its server may be silent too
        self._wakeup = wakeup
        self._session: str | None = None  # the waiting connection's process, once it may wait
        self._told: str | None = None
        self.safe_position = -1
        self._waiting = 0
        self._borrowers = 0  # of those that wait
        self._called = AsyncCounter()  # interrupts the listening
        self._rings = 0  # notifications that have come and are not dealt with
        self._wanted = AsyncEvent()
        self._closed = AsyncEvent()
        self._ended = AsyncEvent()
        self._lock = threading.Lock()
        self._task: AsyncTask | None = None
        self._conn: AsyncConnection[object] | None = None
        self._left: object = self  # or the connection that this has cut itself: no outage
        self._answered = 0.0

    async def wait(
        self, seen: int, timeout: float | None, borrower: AsyncBorrower | None = None
    ) -> bool:
        """Wait until `counter.value` is not `seen` any more; False after `timeout` seconds.

        A borrower that waits alone may have the waiting connection afterwards.
        """
        if self.counter.value != seen:
            return True
        with self._lock:  # one task, however many threads begin to wait at once
            if self.counter.value != seen:  # by `aclose`, after which there is to be no new task
                return True
            self._waiting += 1
            self._borrowers += borrower is not None
            if not self._wanted.is_set():  # so nothing was asked lately
                self._answered = time.monotonic()
                self._wanted.set()
            if self._task is None or not self._task.alive:
                self._closed, self._ended = AsyncEvent(), AsyncEvent()
                work = partial(self._work, self._closed, self._ended)
                self._task = AsyncTask(work, "pgstore-waker")
            if self._is_one_borrower():
                self._called.advance()
        until = deadline(timeout)
        try:
            while not await self._changed(seen, until, borrower):
                if left(until) == 0:
                    return False
                if self._patience(None) == 0:
                    self._leave(if_silent=True)
            return True
        finally:
            with self._lock:
                self._waiting -= 1
                self._borrowers -= borrower is not None
                self.lending.withdraw()

    async def _changed(
        self, seen: int, until: float | None, borrower: AsyncBorrower | None
    ) -> bool:
        """Wait until the counter has changed, for some time; listen meanwhile on an offer."""
        before = self.counter.interruptions
        with self._lock:
            conn = None if borrower is None else self.lending.accept()
        if borrower is None or conn is None:
            timeout = self._patience(until)
            if not self.lending.reading:
                return await self.counter.wait(seen, before, timeout)
            if not await self.counter.wait(seen, before, min(timeout, _LOOK_AGAIN[1])):
                self.counter.advance()  # nobody listens meanwhile
            return True
        try:
            lent = left(self._answered + min(_FALLBACK_POLL, self._source.rest)) or 0.0
            readable = await self.counter.wait(
                seen, before, min(self._patience(until), lent), conn.fileno()
            )
            if readable and self.counter.value == seen and self._waiting == 1:
                self._answered = time.monotonic()
                borrower.keep(conn)
                conn = None
            if readable:
                self.counter.advance()
        finally:
            if conn is not None:
                self.lending.give_back()
        return readable

    async def wait_beyond(
        self, looked: int, seen: int, timeout: float | None, borrower: AsyncBorrower | None = None
    ) -> bool:
        """Wait as `wait`, for a reader that has looked up to a position.

        If that is below the safe position, a writer took its mark so late that it went back. If
        the writer writes nothing, no notification comes: look again soon.
        """
        if looked >= self.safe_position:
            return await self.wait(seen, timeout, borrower)
        await self.wait(seen, _BELOW if timeout is None else min(_BELOW, timeout))
        return True

    def _is_one_borrower(self) -> bool:
        return self._source.owns_pool and self._waiting == 1 == self._borrowers

    def _patience(self, until: float | None) -> float:
        """Seconds until a deadline, or until the listening connection is to have answered."""
        silent = left(self._answered + _SILENT)
        remaining = left(until)
        assert silent is not None
        return silent if remaining is None else min(silent, remaining)

    def _leave(self, *, if_silent: bool = False) -> None:
        """Have all readers look through the pool, and the listening connection made anew."""
        with self._lock:
            if if_silent and self._patience(None):  # another one was first
                return
            self._answered, self._left = time.monotonic(), self._conn or self
            self._cut()
            self.counter.advance()

    def _cut(self) -> None:
        for conn in filter(None, (self._conn, self._notifier)):
            cut(conn)

    def ring(self) -> None:
        """Have all waiting readers look."""
        self.counter.advance()

    async def aclose(self) -> None:
        """End, and have all waiting readers look."""
        with self._lock:
            self.counter.advance()
            self._closed.set()
            self._wanted.set()
            task, self._task = self._task, None
        if task is not None and task.alive:
            if not await self._ended.wait(_PATIENCE):
                self._cut()
            await task.join()

    async def _work(self, closed: AsyncEvent, ended: AsyncEvent) -> None:
        try:
            while not closed.is_set():
                began = time.monotonic()
                try:
                    async with self._source.connection() as conn:
                        self._conn, self._answered = conn, time.monotonic()
                        self.safe_position = -1  # a server that has crashed may have gone back
                        self.counter.advance()  # what was missed while there was no connection
                        await self._watch(conn, closed)
                except Exception as error:
                    await self._source.moved(error)
                    if not passes(error):
                        self.counter.advance()  # each reader that waits looks, and meets the error
                    worked = self._answered > began + _WORKED
                    if not (closed.is_set() or worked or self._conn is self._left):
                        self._source.outage.met(self, error)
                        await closed.wait(PACE)
                finally:
                    self._conn = None
        finally:
            self._source.outage.left(self)
            ended.set()

    async def _watch(self, conn: AsyncConnection[object], closed: AsyncEvent) -> None:
        self._session = None
        sleeps = None if self._wakeup == "listen" else False
        delay, busy = _LOOK_AGAIN[0], 0.0
        before, start = self.safe_position, time.monotonic()
        while not closed.is_set():
            if self._waiting == 0:
                self._wanted.clear()
                if self._waiting == 0 and not closed.is_set():
                    await self._wanted.wait()
                    continue
            found = await self._look(conn, s.HORIZON)
            now = time.monotonic()
            if self.safe_position - before < _MANY * (now - start):
                busy = 0.0
            before, start = self.safe_position, now
            if found == "nothing" and sleeps is None:
                sleeps = await self._may_sleep(conn, closed)
            if found == "nothing" and sleeps:
                try:
                    found = await self._sleep(conn, closed)
                except psycopg.errors.ObjectNotInPrerequisiteState:
                    sleeps = self._polls("its session is shared")
                except psycopg.errors.LockNotAvailable as error:
                    self._polls(str(error))
                    await closed.wait(_SLOW_POLL)
            elif found == "nothing":
                await closed.wait(_SLOW_POLL)
            elif found == "messages" and busy:
                await closed.wait(busy)
            if found in ("writers", "standby"):
                # These writers may not notify: they may have tested the bell before this session
                # held it.
                await closed.wait(max(delay, _STANDBY_POLL) if found == "standby" else delay)
                delay = min(delay * 2, _LOOK_AGAIN[1])
            else:
                delay = _LOOK_AGAIN[0]
                self.useful, useful = False, self.useful
                busy = min(2 * busy + 0.004, _BUSY[0] if useful else _BUSY[1])

    async def _may_sleep(self, conn: AsyncConnection[object], closed: AsyncEvent) -> bool | None:
        """Whether notifications come to this session; None if no connection could send one.

        Through a pooler the session may be another's in the next transaction: then they come to
        that one, and an announcement there stays.
        """
        ((channel, session),) = await run(conn, self._source.statements[s.WAKE_CHANNEL], ())
        # On a channel of its own: no other session is to be notified, nor to answer.
        own = f"pgstore_{uuid4().hex}"
        await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(own)))
        notifier = await self._notify(own)
        heard = False
        until = deadline(_NOTIFIED)
        while notifier is not None and not heard and left(until) and not closed.is_set():
            async for notification in conn.notifies(timeout=_SLICE, stop_after=1):
                heard = notification.channel == own
        if notifier is not None and not heard:
            # On a busy machine it may have come late. A session delivers earlier notifications
            # before it answers a statement.
            await conn.execute("SELECT")
            async for notification in conn.notifies(timeout=0, stop_after=1):
                heard = notification.channel == own
        await conn.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(own)))
        if notifier is None or closed.is_set():
            return None
        if not heard or notifier == session:
            return self._polls("no notification comes through its connection, as behind a pooler")
        await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        conn.add_notify_handler(self._count)
        self._session = str(session)
        return True

    async def _notify(self, channel: str) -> int | None:
        """Notify on a connection of the pool; the process of its session, None if none is free."""
        pool = await self._source.ready()
        try:
            async with pool.connection(timeout=_FREE_SOON) as conn:
                self._notifier = conn
                ((pid,),) = await run(conn, s.NOTIFY, (channel,))
        except psycopg.OperationalError:  # a PoolTimeout, too
            return None
        finally:
            self._notifier = None
        return int(pid)

    def _polls(self, reason: str) -> bool:
        """Tell once why this polls; False."""
        if reason != self._told:
            self._told = reason
            log.warning("waiting for messages: look once a second: %s", reason)
        return False

    async def _look(
        self, conn: AsyncConnection[object], statement: str, *parameters: str | None
    ) -> Found:
        moved, in_flight = await self._horizon(conn, statement, *parameters)
        if moved:
            return "messages"
        return "standby" if in_flight is None else "writers" if in_flight else "nothing"

    async def _horizon(
        self, conn: AsyncConnection[object], statement: str, *parameters: str | None
    ) -> tuple[bool, bool | None]:
        """Whether the safe position has moved, and any writer is in flight: None on a standby."""
        ((safe_position, in_flight),) = await run(
            conn, self._source.statements[statement], parameters
        )
        self._answered = time.monotonic()
        await self._source.refuse_fenced(conn)
        self._source.outage.over(self)
        moved = safe_position > self.safe_position
        if moved:
            self.safe_position = safe_position
            self.counter.advance()
        return moved, in_flight

    async def _sleep(self, conn: AsyncConnection[object], closed: AsyncEvent) -> Found:
        """Wait until many writers notify or one is in flight; do not wait if one is already."""
        found, rings = await self._look(conn, s.FALL_ASLEEP, self._session), 0
        self._told = None
        try:
            until, check = deadline(_FALLBACK_POLL), self._answered + self._source.rest
            while found == "nothing" and not closed.is_set() and left(until):
                if not left(check):
                    await self._horizon(conn, s.HORIZON)  # raises if the server is read-only now
                    check = self._answered + self._source.rest
                before = self._called.interruptions
                await self._lend(conn)
                # In slices, so that `aclose` need not wait long.
                rings = await self._listen(conn, min(_SLICE, left(check) or 0.0), before)
                if rings == 0:
                    continue
                while rings < _RINGS and (more := await self._listen(conn, _AFTER_YOU)):
                    rings += more
                # A writer that has notified may hold its mark, and does not notify again when it is
                # gone. If no writer holds one, every message is seen, and the next one notifies.
                enough = rings >= _RINGS or self._waiting == 0
                if enough or (await self._horizon(conn, s.HORIZON))[1]:
                    found = "messages"
        finally:
            with suppress(psycopg.OperationalError):
                found = await self._look(conn, s.WAKE_UP, self._session)
        if rings and found == "nothing":  # notifications without messages must not keep this busy
            await async_pause(_AFTER_YOU)
        return found

    async def _lend(self, conn: AsyncConnection[object]) -> None:
        """Lend the connection if one reader waits, until it is given back."""
        self._hear(conn)
        with self._lock:
            # A reader would not hear of notifications that have come already.
            if self._rings or not self._is_one_borrower():
                return
            self.lending.offer(conn)
        while not await self.lending.returned.wait(self._patience(None)):
            if self._patience(None) == 0:
                cut(conn)
        self._answered = time.monotonic()

    async def _listen(
        self, conn: AsyncConnection[object], timeout: float, before: int | None = None
    ) -> int:
        """Count the notifications that come before a time-out, or before a reader interrupts."""
        if before is None:
            before = self._called.interruptions
        self._hear(conn)
        if self._rings == 0:
            await self._called.wait(self._called.value, before, timeout, conn.fileno())
            self._hear(conn)
        rings, self._rings = self._rings, 0
        if rings:
            self.counter.advance()
        return rings

    def _hear(self, conn: AsyncConnection[object]) -> None:
        """Count the notifications that have come since the last statement."""
        conn.pgconn.consume_input()
        while conn.pgconn.notifies() is not None:
            self._rings += 1

    def _count(self, notification: Notify) -> None:
        self._rings += 1
