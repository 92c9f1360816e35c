"""Figures: what was measured in each round, medians, and ratios round by round."""

import math
import statistics
from typing import Literal

import msgspec


class Figure(msgspec.Struct, kw_only=True):
    """One measurement of several contenders in interleaved rounds.

    A contender may have fewer rounds than others; ratios take the rounds that both have.
    """

    key: str
    workload: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    rounds: dict[str, list[float]] = {}
    loads: list[float] = []
    """The machine's load of the last minute when each round began, with the benchmark's own."""
    limit: str | None = "raw"
    notes: dict[str, str] = {}
    medians: dict[str, float] = {}
    of_limit: dict[str, float] = {}

    def add(self, contender: str, value: float) -> None:
        self.rounds.setdefault(contender, []).append(value)

    def finish(self) -> None:
        """Fill in the medians and the share of the limit that each contender reaches.

        A contender that used nothing, where the limit used something, has no share: JSON has no
        infinity.
        """
        self.medians = {name: significant(self.median(name)) for name in self.rounds}
        self.rounds = {
            name: [significant(value) for value in values] for name, values in self.rounds.items()
        }
        if self.limit in self.rounds:
            shares = {
                name: self.share(name, self.limit) for name in self.rounds if name != self.limit
            }
            self.of_limit = {
                name: significant(share) for name, share in shares.items() if math.isfinite(share)
            }

    def median(self, name: str) -> float:
        return statistics.median(self.rounds[name])

    def times(self, name: str, other: str) -> float:
        """How many times the other's value: the median of the ratios of each round."""
        pairs = zip(self.rounds[name], self.rounds[other], strict=False)
        return statistics.median(divided(mine, theirs) for mine, theirs in pairs)

    def share(self, name: str, other: str) -> float:
        """How good it is against the other: 1 is as good, 2 twice as fast (or half as much)."""
        if self.better == "higher":
            return self.times(name, other)
        return self.times(other, name)

    def best(self, *, without: set[str]) -> str | None:
        """The contender with the best median, of those that are left."""
        left = [name for name in self.rounds if name not in without]
        if not left:
            return None
        return (max if self.better == "higher" else min)(left, key=self.median)


def base(name: str) -> str:
    """A contender's name without its variant."""
    return name.partition("/")[0]


def divided(mine: float, theirs: float) -> float:
    if theirs == 0:
        return 1.0 if mine == 0 else math.inf
    return mine / theirs


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def significant(value: float, digits: int = 4) -> float:
    """The value rounded to so many digits: more would be noise."""
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))
