"""Counting the messages that a subscription reads between two positions, for as long as allowed."""

import time
from collections.abc import Iterator, Sequence

import msgspec

from pgstore._core.parameters import array
from pgstore.ui import operations
from pgstore.ui.console import Console

# Seconds after which no further window begins, positions of the first window and the largest, and
# the messages after which counting ends.
_TIME = 0.05
_FIRST, _LARGEST = 1000, 20_000
MOST = 10_000


# Positions that are looked at, for all partitions of a page together, and at least for each.
_ALL, _EACH = 8000, 200


class Filters(msgspec.Struct, frozen=True):
    """The filters of a subscription."""

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


async def count_to_come(
    console: Console,
    filters: Filters,
    division: tuple[int, str],
    places: Sequence[tuple[int, int, int]],
) -> dict[int, Count]:
    """Count the messages that wait in partitions, each in a window from its checkpoint on.

    `division` is the number of partitions and their `partition_by`; a place is a partition, its
    checkpoint, and how many positions it is behind. As many are counted as the windows allow.
    """
    late = sorted((each for each in places if each[2]), key=lambda each: -each[2])
    late = late[: _ALL // _EACH]
    if not late:
        return {}
    windows = [min(behind, max(_ALL // len(late), _EACH)) for _, _, behind in late]
    partitions, by = division
    rows = await console.read(
        lambda *row: row,
        operations.TO_COME,
        *(filters.metadata, array(filters.types), array(filters.categories)),
        *(filters.stream_pattern, partitions, partitions, partitions, by, array(filters.tags)),
        *_columns(late, windows),
    )
    behind = {partition: checkpoint + behind for partition, checkpoint, behind in late}
    return {number: Count(found, at, at >= behind[number]) for number, found, at in rows}


def _columns(late: Sequence[tuple[int, int, int]], windows: Sequence[int]) -> Iterator[str | None]:
    for column in ((each[0] for each in late), (each[1] for each in late), windows):
        yield array(str(each) for each in column)
