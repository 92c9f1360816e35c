"""Figures that were sampled since the page's server started, of the last hour, in memory."""

import bisect
import math
import time
from array import array
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from pgstore._core.progress import pace

# Seconds from one sample to the next, and the samples of an hour.
INTERVAL = 5.0
KEPT = 720

# The subscriptions with charts, and the partitions that are looked at: each takes memory.
SUBSCRIPTIONS = 500
PARTITIONS = 10_000

# A table has a row for each minute.
_EVERY = round(60 / INTERVAL)

# Rates of partitions are those of so many samples: a minute.
_RECENT = 13


class Place(msgspec.Struct, frozen=True):
    """How far a partition is; `seconds` is the age of the first message after its checkpoint."""

    subscription: str
    partition: int
    checkpoint: int
    behind: int
    seconds: float | None


class Figures(msgspec.Struct, frozen=True):
    """Figures of the store; those that the role may not see are None."""

    last_position: int
    safe_position: int | None
    table_bytes: int | None = None
    index_bytes: int | None = None


class Series:
    """The last values of several figures at the same times: columns that lose their first rows."""

    def __init__(self, *names: str, kept: int = KEPT, gaps: bool = True) -> None:
        self._columns = {name: array("d") for name in ("time", *names)}
        self._kept = kept
        self._gaps = gaps

    def add(self, moment: float, *values: float | None) -> None:
        """Add a row; where none was taken for a while, a row without values comes before it."""
        times = self._columns["time"]
        if times and self._gaps and moment - times[-1] > 3 * INTERVAL:
            self._add(times[-1] + INTERVAL, *(None for _ in values))
        self._add(moment, *values)

    def _add(self, *row: float | None) -> None:
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(math.nan if value is None else value)
            if len(column) > self._kept:
                del column[0]

    def column(self, name: str, after: float = -math.inf) -> list[float | None]:
        """The values of a figure after a time; None where there is none."""
        start = bisect.bisect_right(self._columns["time"], after)
        return [None if math.isnan(each) else each for each in self._columns[name][start:]]

    def columns(self, after: float) -> dict[str, list[float | None]]:
        """The times after a time, and all figures at them."""
        return {name: self.column(name, after) for name in self._columns}

    def minutes(self) -> list[tuple[float | None, ...]]:
        """A row for each minute, the newest first."""
        columns = [self.column(name)[::-1][::_EVERY] for name in self._columns]
        return list(zip(*columns, strict=True))

    def last(self, name: str) -> float | None:
        """The last value of a figure."""
        return (self.column(name) or [None])[-1]

    def first_above(self, name: str, value: float) -> tuple[int, float] | None:
        """The first row in which a figure that never falls is above a value, and its time."""
        index = bisect.bisect_right(self._columns[name], value)
        if index == len(self._columns[name]):
            return None
        return index, self._columns["time"][index]

    def growth(self, name: str) -> tuple[float, float] | None:
        """By how much a figure has grown, and in how many seconds."""
        times = self._columns["time"]
        known = [n for n, each in enumerate(self._columns[name]) if not math.isnan(each)]
        if len(known) < 2:
            return None
        first, last = known[0], known[-1]
        values = self._columns[name]
        return values[last] - values[first], times[last] - times[first]


class Samples:
    """The samples of the store and of its subscriptions."""

    def __init__(self) -> None:
        # Of one clock: the machine's time can be set while the server runs.
        self._epoch = time.time() - time.monotonic()
        self.started = datetime.fromtimestamp(self.now(), UTC)
        self.store = Series("rate", "bytes", "held_back")
        self.subscriptions: dict[str, Series] = {}
        self.left_out = False
        self._last: tuple[float, int] | None = None
        self._safe = Series("position", gaps=False)
        self._recent: deque[tuple[float, dict[tuple[str, int], int]]] = deque(maxlen=_RECENT)

    def now(self) -> float:
        """The time of a sample that is taken now, in seconds since 1970."""
        return self._epoch + time.monotonic()

    def add_store(self, moment: float, figures: Figures) -> None:
        """Add the figures of the store."""
        rate = held = size = None
        if self._last is not None:
            then, position = self._last
            rate = pace(figures.last_position - position, moment - then)
        self._last = moment, figures.last_position
        if figures.safe_position is not None:
            held = figures.last_position - figures.safe_position
            self._safe.add(moment, figures.safe_position)
        if figures.table_bytes is not None and figures.index_bytes is not None:
            size = figures.table_bytes + figures.index_bytes
        self.store.add(moment, rate, size, held)

    def add_places(self, moment: float, places: Iterable[Place]) -> None:
        """Add how far all partitions are."""
        by_name: dict[str, list[Place]] = {}
        reached = {}
        for each in places:
            by_name.setdefault(each.subscription, []).append(each)
            reached[each.subscription, each.partition] = each.checkpoint
        before = self._recent[-1] if self._recent else None
        self._recent.append((moment, reached))
        self.left_out = len(by_name) > SUBSCRIPTIONS
        for gone in self.subscriptions.keys() - by_name.keys():
            del self.subscriptions[gone]
        for name, group in by_name.items():
            series = self.subscriptions.get(name)
            if series is None:
                if len(self.subscriptions) >= SUBSCRIPTIONS:
                    continue
                series = self.subscriptions[name] = Series("behind", "seconds", "rate")
            seconds = latest(self.seconds(each) for each in group)
            rate = None if before is None else _mean_pace(group, before, moment)
            series.add(moment, max(each.behind for each in group), seconds, rate)

    def seconds(self, place: Place) -> float | None:
        """How late a partition is: by its next message or, if the role may not read it, by when
        the store went past its checkpoint; None if that was before the first sample."""
        if not place.behind:
            return 0.0
        if place.seconds is not None:
            return place.seconds
        if not self._safe.column("time"):
            return None
        passed = self._safe.first_above("position", place.checkpoint)
        if passed is None:
            return 0.0
        index, then = passed
        return None if index == 0 else self.now() - then

    def rate(self, subscription: str, partition: int) -> float | None:
        """Positions a second of a partition, over the last minute."""
        key = (subscription, partition)
        known = [(then, places[key]) for then, places in self._recent if key in places]
        if len(known) < 2:
            return None
        (first, start), (last, end) = known[0], known[-1]
        return pace(end - start, last - first)


def latest(seconds: Iterable[float | None]) -> float | None:
    """How late the last of several partitions is; None if that of one is not known."""
    found = list(seconds)
    known = [each for each in found if each is not None]
    return max(known) if known and len(known) == len(found) else None


def _mean_pace(
    group: list[Place], before: tuple[float, dict[tuple[str, int], int]], moment: float
) -> float | None:
    """The mean of the partitions' rates since the last sample."""
    then, places = before
    known = [
        pace(each.checkpoint - places[key], moment - then)
        for each in group
        if (key := (each.subscription, each.partition)) in places
    ]
    return sum(known) / len(known) if known else None
