"""Search, the newest messages first, in windows of positions.

No index has the messages by everything that can be asked for. So a search looks at a window of
positions, then at the one before it, until it has a page of messages or its time is over. Then it
says how far it has looked, and continues on demand. Each window is as large as the ones before say
that the time allows.
"""

import time
from datetime import datetime

import msgspec

from pgstore._core.parameters import array
from pgstore.ui import queries
from pgstore.ui.console import Console
from pgstore.ui.stored import Brief

PAGE = 50

# Seconds after which no further window begins, and positions of the first window and the largest.
_TIME = 0.04
_FIRST, _LARGEST = 200, 200_000


class Query(msgspec.Struct, frozen=True):
    """The messages to look for; None for all."""

    stream: str = ""
    category: str = ""
    types: tuple[str, ...] = ()
    metadata: dict[str, object] | None = None
    tags: tuple[str, ...] = ()

    @property
    def categories(self) -> list[str] | None:
        """The category that is given, or that the beginning of a stream's name has."""
        if self.category:
            return [self.category]
        category, dash, _ = self.stream.partition("-")
        return [category] if dash else None

    @property
    def pattern(self) -> str | None:
        """The names of streams, for LIKE."""
        return f"{like(self.stream)}%" if self.stream else None


class Found(msgspec.Struct, frozen=True):
    """A page of messages, and the position before which the search continues; None at its end."""

    messages: list[Brief]
    before: int | None


def like(text: str) -> str:
    """A text as a pattern that only it fits."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def position_before(console: Console, moment: datetime) -> int:
    """The position of the last message before the first one that was added then or later."""
    text = moment.isoformat()
    return int(await console.value(queries.POSITION_BEFORE, text, text))


async def search(
    console: Console, query: Query, *, before: int | None = None, after: int = 0
) -> Found:
    """The newest messages that match before a position, and after another."""
    high = int(await console.value(queries.HORIZON))
    if before is not None:
        high = min(high, before - 1)
    metadata = None
    if query.metadata is not None:
        metadata = msgspec.json.encode(query.metadata).decode()
    filters = (array(query.types or None), array(query.categories), query.pattern)
    tags = array(query.tags or None)
    found: list[Brief] = []
    began, window = time.monotonic(), _FIRST
    while high > after:
        low = max(high - window, after)
        looked = high - low
        started = time.monotonic()
        rows = await console.rows(
            queries.WINDOW, metadata, low, looked + 1, *filters, high, looked, tags
        )
        messages = [Brief(*row) for row in reversed(rows) if row[0]][: PAGE - len(found)]
        found += messages
        if len(found) == PAGE:
            last = found[-1].position
            return Found(found, last if last > after + 1 else None)
        high = low
        now = time.monotonic()
        left = _TIME - (now - began)
        if left <= 0:
            break
        by_time = int(looked / max(now - started, 0.0005) * left)
        window = max(min(window * 8, by_time, _LARGEST), _FIRST)
        if messages:
            needed = (PAGE - len(found)) * looked // len(messages)
            window = min(window, max(2 * needed, _FIRST))
    return Found(found, high + 1 if high > after else None)
