"""Following messages as they come."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Generic, Self

import psycopg
from psycopg.rows import TupleRow

from pgstore._async.lending import AsyncBorrower
from pgstore._async.opening import AsyncOpening
from pgstore._async.waker import AsyncWaker
from pgstore._core.deadlines import deadline, left
from pgstore._core.messages import POSITION, E, StoredMessage
from pgstore._core.outages import PACE
from pgstore._core.translation import passes
from pgstore._core.upcasters import SkippedMessage
from pgstore.errors import StandbyBehindError

# Rows of messages; the position to continue after, which may be stored; and the position up to
# which the page has looked, which may not: after a crash the server can give rolled back positions
# again. True if there is more to look at, although there are fewer messages than were asked for.
Page = tuple[list[TupleRow], int, int, bool]

# So long it waits for a connection at least, whatever its `timeout`.
_PATIENCE = 5.0


class AsyncFollower(Generic[E]):
    """An endless iterator over messages in global order: first those there are, then as they come.

    `position` is how far it has read: store it, and continue after it another time. The iterator
    ends when `timeout` seconds pass without a message, after `stop()`, which any thread may call,
    at the end of its `with` block, and when the store is closed. It waits while the server cannot
    be reached or read from; if `timeout` seconds pass meanwhile, it raises the reason.
    """

    def __init__(
        self,
        fetch: Callable[[int], Awaitable[Page]],
        decode: Callable[[TupleRow], StoredMessage[E]],
        waker: AsyncWaker,
        opening: AsyncOpening,
        borrower: AsyncBorrower,
        position: int,
        timeout: float | None,
    ) -> None:
        self.position = position
        self._reached = position
        self._looked = position
        self._fetch = fetch
        self._decode = decode
        self._waker = waker
        self._timeout = timeout
        self._stopped = False
        self._opening = opening
        self._borrower = borrower
        self._ready: list[TupleRow] = []

    def stop(self) -> None:
        """End the iteration, also one that is waiting."""
        self._stopped = True
        self._waker.ring()

    def __aiter__(self) -> AsyncIterator[StoredMessage[E]]:
        return self

    async def __anext__(self) -> StoredMessage[E]:
        while True:
            if not self._ready:
                await self._fill()
            if self._ended() or not self._ready:
                raise StopAsyncIteration
            try:
                message = self._decode(self._ready[-1])  # what cannot be decoded is not passed over
            except SkippedMessage:
                self.position = self._ready.pop()[POSITION]
                continue
            self._ready.pop()
            self.position = message.global_position
            return message

    def _ended(self) -> bool:
        return self._stopped or self._opening.ended

    async def _fill(self) -> None:
        outage = self._opening.outage
        try:
            await self._wait(deadline(self._timeout), partial(outage.over, self))
        finally:
            self._borrower.give_back()
            outage.left(self)

    async def _wait(self, until: float | None, through: Callable[[], None]) -> None:
        self._opening.until = until and max(until, time.monotonic() + _PATIENCE)
        while True:
            seen = self._waker.counter.value
            if self._ended():  # in this order: `stop` does it the other way round
                return
            self.position = self._reached
            try:
                rows, self._reached, self._looked, more = await self._fetch(self.position)
            except StandbyBehindError:  # no outage: wait as for a new message
                if left(until) == 0:
                    return
                await self._waker.wait(seen, min(PACE, left(until) or PACE))
                continue
            except Exception as error:
                if self._ended() and isinstance(error, psycopg.OperationalError):
                    return  # the connection was taken away from it
                remaining = left(until)
                if remaining == 0 or not passes(error):
                    raise
                self._opening.outage.met(self, error)
                await self._waker.wait(seen, PACE if remaining is None else min(PACE, remaining))
                continue
            through()
            if rows:
                self._waker.useful = True
                self._ready = rows[::-1]
                return
            self.position = self._reached
            if more:
                continue
            remaining = left(until)
            if remaining == 0:
                return
            if not await self._waker.wait_beyond(self._looked, seen, remaining, self._borrower):
                return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
