"""Counting the messages that a subscription reads between two positions, for as long as allowed."""

import time

import msgspec

from pgstore._core.parameters import array
from pgstore.ui import operations
from pgstore.ui.console import Console

# Seconds after which no further window begins, positions of the first window and the largest, and
# the messages after which counting ends.
_TIME = 0.05
_FIRST, _LARGEST = 1000, 20_000
MOST = 10_000


class Filters(msgspec.Struct, frozen=True):
    """What a subscription reads."""

    categories: list[str] | None
    types: list[str] | None
    stream_pattern: str | None
    metadata: str | None
    tags: list[str] | None


class Count(msgspec.Struct, frozen=True):
    """So many messages up to a position; all there are if that is the end of the range."""

    messages: int
    reached: int
    is_all: bool


async def count_matching(console: Console, filters: Filters, after: int, up_to: int) -> Count:
    """Count messages after a position, up to another, in windows of positions."""
    given = (array(filters.types), array(filters.categories), filters.stream_pattern)
    counted, low, window = 0, after, _FIRST
    began = time.monotonic()
    while low < up_to and counted < MOST:
        high = min(low + window, up_to)
        started = time.monotonic()
        looked = high - low
        counted += await console.value(
            operations.MATCHING,
            *(filters.metadata, low, looked + 1, *given, high, looked, array(filters.tags)),
        )
        low = high
        now = time.monotonic()
        if now - began > _TIME:
            break
        by_time = int(looked / max(now - started, 0.0005) * (_TIME - (now - began)))
        window = max(min(window * 4, by_time, _LARGEST), _FIRST)
    return Count(counted, min(low, up_to), low >= up_to)
