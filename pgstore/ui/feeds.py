"""Messages as they come, for a browser: server-sent events.

A follower reads every message. The browser gets the newest ones a few times a second, and how many
there were: so thousands of messages a second neither fill the network nor the page. A browser that
does not read holds its follower back, and one that has left ends it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from pgstore._async.follower import AsyncFollower
from pgstore._core.messages import RawMessage, StoredMessage
from pgstore._core.text import printable
from pgstore.ui import payloads
from pgstore.ui.formats import cut, hue

# The most messages in an event, and the seconds between two.
_ROWS, _PACE = 50, 0.25

# Without a message, an event comes after so many seconds: a proxy ends a connection that is silent.
_BEAT = 5.0

# A follower stops to read when so many messages have not been sent.
_UNSENT = 20_000

# After so many messages other tasks have their turn.
_TURN = 200

_encode = msgspec.json.Encoder().encode

# At most so many at once: each reads every message, and together they take the pages' time.
MOST = 25


class Feed:
    """The messages of a follower, gathered for one browser."""

    def __init__(self, follower: AsyncFollower[RawMessage]) -> None:
        self._follower = follower
        self._newest: deque[StoredMessage[RawMessage]] = deque(maxlen=_ROWS)
        self._count = 0
        self._came = asyncio.Event()
        self._sent = asyncio.Event()
        self._ended = False

    def end(self) -> None:
        """Send no further event."""
        self._ended = True
        self._came.set()

    async def events(self, has_left: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
        """Events until the browser has left, or reading has failed."""
        pump = asyncio.create_task(self._pump())
        try:
            yield b"retry: 2000\n\n"
            while not await has_left():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), _BEAT)
                if self._ended:
                    return
                if pump.done():
                    yield self._end(pump)
                    return
                yield self._event()
                await asyncio.sleep(_PACE)
        finally:
            self._follower.stop()
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(self) -> None:
        async for stored in self._follower:
            self._newest.append(stored)
            self._count += 1
            self._came.set()
            if self._count >= _UNSENT:
                self._sent.clear()
                await self._sent.wait()
            elif self._count % _TURN == 0:
                await asyncio.sleep(0)

    def _event(self) -> bytes:
        if not self._count:
            return b": waiting\n\n"
        rows = [_row(each) for each in self._newest]
        batch = {"count": self._count, "rows": rows}
        position = self._newest[-1].global_position
        self._newest.clear()
        self._count = 0
        self._came.clear()
        self._sent.set()
        return b"id: %d\nevent: batch\ndata: %s\n\n" % (position, _encode(batch))

    def _end(self, pump: "asyncio.Task[None]") -> bytes:
        error = None if pump.cancelled() else pump.exception()
        text = "The feed has ended" if error is None else f"The feed has ended: {error}"
        return b"event: failed\ndata: %s\n\n" % _encode(text)


def _row(stored: StoredMessage[RawMessage]) -> dict[str, Any]:
    return {
        "id": stored.message_id,
        "position": stored.global_position,
        "stream": stored.stream,
        "name": cut(printable(stored.stream), 60),
        "version": stored.version,
        "type": cut(printable(stored.message.type), 60),
        "hue": hue(stored.message.type),
        "data": payloads.summary(stored.message.data[:800].decode(errors="replace")),
        "added_at": stored.added_at,
    }
