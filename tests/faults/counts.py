"""What a fault has cost: counts by comparing what was acknowledged, stored, seen and projected."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from tests.stress.messages import Seen, compare

Note = tuple[int, int]  # writer and number: what a message says, whatever became of it


class Counts(msgspec.Struct):
    """What some rounds of a fault have shown; all of `WRONG` are 0 if the promise was kept."""

    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    gaps: int = 0
    skipped: int = 0
    repeated: int = 0
    reordered: int = 0
    vanished: int = 0
    unprojected: int = 0
    parked: int = 0
    ended: int = 0
    accepted: int = 0
    slowest: float = 0.0
    """Seconds until every writer had an answer again, after the server was back."""
    noted: dict[str, int] = {}
    """What else is worth a number."""

    @property
    def wrong(self) -> dict[str, int]:
        """Those of `WRONG` that are not 0."""
        return {name: count for name in WRONG if (count := getattr(self, name))}

    def blame(self, other: "Counts") -> None:
        """Add what is wrong with another one."""
        for name, count in other.wrong.items():
            setattr(self, name, getattr(self, name) + count)


WRONG = {
    "lost": "acknowledged, but not stored",
    "doubled": "stored twice, or although their transaction was rolled back",
    "gaps": "versions that are missing in a stream",
    "skipped": "stored, but never seen by a reader",
    "repeated": "seen twice by a reader",
    "reordered": "seen by a reader after a later one",
    "vanished": "seen by a reader, but not stored",
    "unprojected": "differences between a subscription's table and the messages",
    "parked": "set aside by a subscription, although nothing is wrong with them",
    "ended": "programs that ended, or raised, where they should have waited",
    "accepted": "accepted without an error that was due",
}


class Rounds:
    """At most so many rounds, none begun after so many seconds; `made` counts them."""

    def __init__(self, most: int, seconds: float) -> None:
        self.made = 0
        self._most = most
        self._seconds = seconds

    def __iter__(self) -> Iterator[int]:
        end = time.monotonic() + self._seconds
        while self.made < self._most and time.monotonic() < end:
            yield self.made
            self.made += 1


def check_writes(counts: Counts, acknowledged: set[Note], stored: Sequence[Seen]) -> None:
    """Compare what writers were told with what is stored."""
    there = Counter((writer, number) for *_, writer, number in stored)
    counts.acknowledged += len(acknowledged)
    counts.lost += len(acknowledged - there.keys())
    counts.doubled += there.total() - len(acknowledged & there.keys())
    versions: dict[str, list[int]] = {}
    for _, stream, version, *_ in stored:
        versions.setdefault(stream, []).append(version)
    counts.gaps += sum(max(each) - len(set(each)) for each in versions.values())


def check_reader(counts: Counts, seen: Sequence[Seen], stored: Sequence[Seen]) -> None:
    """Compare what a reader saw, in the order in which it did, with what is stored."""
    verdict = compare(seen, stored)
    counts.skipped += verdict.missed
    counts.repeated += verdict.repeated
    counts.vanished += verdict.foreign
    counts.reordered += sum(one[0] > next_one[0] for one, next_one in pairwise(seen))


def check_projection(counts: Counts, effects: Sequence[Seen], stored: Sequence[Seen]) -> None:
    """Compare the rows that handlers have inserted with the messages they stand for."""
    verdict = compare(effects, stored)
    counts.unprojected += verdict.missed + verdict.repeated + verdict.foreign + verdict.disordered
