"""Counting the messages that a subscription reads between two positions, for as long as allowed."""

import time
from collections.abc import Iterable

import msgspec

from pgstore._core.parameters import array
from pgstore.ui import operations
from pgstore.ui.console import Console
from pgstore.ui.samples import Place
from pgstore.ui.subscribed import Subscription

# Seconds after which no further window begins, positions of the first window and the largest, and
# the messages after which counting ends.
_TIME = 0.05
_FIRST, _LARGEST = 1000, 20_000
MOST = 10_000

# Positions that are looked at, for all partitions of a page together, and at least for each.
_ALL, _EACH = 8000, 200


class Count(msgspec.Struct, frozen=True):
    """So many messages up to a position; all there are if that is the end of the range."""

    messages: int
    reached: int
    is_all: bool


async def count_matching(console: Console, reader: Subscription, after: int, up_to: int) -> Count:
    """Count what a subscription reads after a position, up to another, in windows of positions."""
    given = (array(reader.types), array(reader.categories), reader.stream_pattern)
    counted, low, window = 0, after, _FIRST
    began = time.monotonic()
    while low < up_to and counted < MOST:
        high = min(low + window, up_to)
        started = time.monotonic()
        looked = high - low
        counted += await console.value(
            operations.MATCHING,
            *(reader.metadata, low, looked + 1, *given, high, looked, array(reader.tags)),
        )
        low = high
        now = time.monotonic()
        if now - began > _TIME:
            break
        by_time = int(looked / max(now - started, 0.0005) * (_TIME - (now - began)))
        window = max(min(window * 4, by_time, _LARGEST), _FIRST)
    return Count(counted, min(low, up_to), low >= up_to)


async def count_to_come(
    console: Console, reader: Subscription, places: Iterable[Place]
) -> dict[int, Count]:
    """Count the messages that wait in partitions, each in a window from its checkpoint on.

    As many partitions are counted as the windows allow, those that are furthest behind.
    """
    late = sorted((each for each in places if each.behind), key=lambda each: -each.behind)
    late = late[: _ALL // _EACH]
    if not late:
        return {}
    largest = max(_ALL // len(late), _EACH)
    columns = (
        (each.partition for each in late),
        (each.checkpoint for each in late),
        (min(each.behind, largest) for each in late),
    )
    rows = await console.rows(
        operations.TO_COME,
        *(reader.metadata, array(reader.types), array(reader.categories), reader.stream_pattern),
        *(reader.partitions, reader.partitions, reader.partitions, reader.partition_by),
        *(array(reader.tags), *(array(map(str, column)) for column in columns)),
    )
    ends = {each.partition: each.checkpoint + each.behind for each in late}
    return {number: Count(found, at, at >= ends[number]) for number, found, at in rows}
