"""What is wrong is noticed: each kind of it, in made-up messages."""

import pytest

from tests.concurrency.races import Rule, Won
from tests.faults.counts import (
    Counts,
    Rounds,
    check_projection,
    check_reader,
    check_writes,
)
from tests.faults.racing import check_decisions
from tests.stress.messages import Seen

STORED: list[Seen] = [
    (1, "left-1", 1, "a", 1, 1),
    (2, "left-1", 2, "b", 1, 2),
    (4, "left-2", 1, "c", 1, 3),
]
NOTES = {(1, 1), (1, 2), (1, 3)}


def test_nothing_is_wrong_with_what_was_acknowledged_seen_and_projected() -> None:
    counts = Counts()
    check_writes(counts, NOTES, STORED)
    check_reader(counts, STORED, STORED)
    check_projection(counts, [STORED[0], STORED[2], STORED[1]], STORED)
    assert counts.wrong == {}
    assert counts.acknowledged == 3


@pytest.mark.parametrize(
    ("notes", "stored", "wrong"),
    [
        (NOTES, STORED[:2], {"lost": 1}),
        (NOTES - {(1, 2)}, STORED, {"doubled": 1}),
        (NOTES, [*STORED, (5, "left-2", 2, "d", 1, 3)], {"doubled": 1}),
        (NOTES - {(1, 1)}, STORED[1:], {"gaps": 1}),
    ],
    ids=["lost", "rolled back", "doubled", "gap"],
)
def test_check_writes_counts(
    notes: set[tuple[int, int]], stored: list[Seen], wrong: dict[str, int]
) -> None:
    counts = Counts()
    check_writes(counts, notes, stored)
    assert counts.wrong == wrong


@pytest.mark.parametrize(
    ("seen", "wrong"),
    [
        ([STORED[0], STORED[2]], {"skipped": 1}),
        ([*STORED, STORED[2]], {"repeated": 1}),
        ([STORED[0], STORED[2], STORED[1]], {"reordered": 1}),
        ([*STORED, (5, "left-3", 1, "d", 1, 4)], {"vanished": 1}),
    ],
    ids=["skipped", "repeated", "reordered", "vanished"],
)
def test_check_reader_counts(seen: list[Seen], wrong: dict[str, int]) -> None:
    counts = Counts()
    check_reader(counts, seen, STORED)
    assert counts.wrong == wrong


@pytest.mark.parametrize(
    "effects",
    [STORED[1:], [*STORED, STORED[0]], [STORED[1], STORED[0], STORED[2]]],
    ids=["missing", "twice", "out of order"],
)
def test_check_projection_counts(effects: list[Seen]) -> None:
    counts = Counts()
    check_projection(counts, effects, STORED)
    assert counts.wrong.keys() == {"unprojected"}


def test_check_decisions_counts_stale_ones_and_places_taken_twice() -> None:
    rule = Rule(places=2)

    def decided(position: int, *seen: int) -> Won:
        return Won(rule, position, frozenset(seen), "", {}, ())

    for won, wrong in (
        ([decided(3), decided(5, 3)], {}),
        ([decided(5)], {"accepted": 1}),
        ([decided(7, 3, 5)], {"accepted": 1}),
        ([decided(5, 3, 4)], {"vanished": 1}),
    ):
        counts = Counts()
        check_decisions(counts, won, {rule: [3, 5, 7]})
        assert counts.wrong == wrong


def test_blame_adds_what_is_wrong() -> None:
    counts = Counts(lost=1)
    counts.blame(Counts(acknowledged=5, lost=2, parked=1))
    assert counts.wrong == {"lost": 3, "parked": 1}
    assert counts.acknowledged == 0


def test_rounds_end_after_their_number_or_their_time() -> None:
    rounds, late = Rounds(2, 60.0), Rounds(2, 0.0)
    assert (list(rounds), rounds.made) == ([0, 1], 2)
    assert (list(late), late.made) == ([], 0)
