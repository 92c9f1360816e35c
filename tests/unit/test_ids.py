"""new_message_id: UUIDs of version 7, as RFC 9562 lays them out."""

import subprocess
import sys
import threading
import time
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest

from pgstore import new_message_id
from pgstore._core.ids import new_message_id_text, new_message_ids

FROZEN = 1_700_000_000_000_000_000
CHANCE = 2**62 - 1
"""The random bits of an id."""


def milliseconds(message_id: UUID) -> int:
    return message_id.int >> 80


def test_id_is_a_uuid_of_version_7() -> None:
    for _ in range(1000):
        message_id = new_message_id()
        assert message_id.version == 7
        assert message_id.variant == RFC_4122


def test_id_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    message_id = new_message_id()
    assert before <= milliseconds(message_id) <= time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    ("now", "first", "second"),
    [
        (0, 0, 0),
        (999_999, 0, 4091),  # the last microsecond of a millisecond: 999 * 4096 // 1000
        (1_000_000, 1, 0),
        (1_500_000, 1, 2048),
        ((2**48 - 1) * 1_000_000 + 500_000, 2**48 - 1, 2048),
    ],
)
def test_id_holds_milliseconds_and_their_fraction(
    monkeypatch: pytest.MonkeyPatch, now: int, first: int, second: int
) -> None:
    monkeypatch.setattr("pgstore._core.ids._now", lambda: now)
    message_id = new_message_id()
    assert milliseconds(message_id) == first
    assert message_id.int >> 64 & 0xFFF == second
    assert message_id.version == 7


def test_ids_are_unique_and_in_order_of_time() -> None:
    ids = [new_message_id() for _ in range(100_000)]
    assert len(set(ids)) == len(ids)
    # The time comes first, so they are sorted but for those of the same microsecond.
    times = [message_id.int >> 64 for message_id in ids]
    assert times == sorted(times)


def test_ids_of_one_moment_are_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgstore._core.ids._now", lambda: FROZEN)
    ids = {new_message_id() for _ in range(100_000)}
    assert len(ids) == 100_000
    seen = 0
    for message_id in ids:
        seen |= message_id.int
    assert seen & CHANCE == CHANCE  # every random bit is used


def test_ids_of_many_threads_are_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgstore._core.ids._now", lambda: FROZEN)
    made: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: made.append([new_message_id_text() for _ in range(5_000)]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({message_id for ids in made for message_id in ids}) == 40_000


def batch(count: int) -> list[UUID]:
    return [UUID(bytes=each) for each in new_message_ids(count)]


def test_ids_of_a_batch_rise_and_are_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    ids = batch(10_000)
    assert before <= milliseconds(ids[0]) <= time.time_ns() // 1_000_000
    assert ids == sorted(set(ids))
    assert {(each.version, each.variant) for each in ids} == {(7, RFC_4122)}
    assert len({each.int >> 64 for each in ids}) == 1  # of one moment
    assert new_message_id() > ids[-1]
    assert (batch(0), len(batch(1))) == ([], 1)


def test_an_id_of_a_batch_does_not_tell_the_next() -> None:
    ids = [each.int & CHANCE for each in batch(10_000)]
    steps = [later - earlier for earlier, later in pairwise(ids)]
    assert len(set(steps)) > 9_900
    seen = 0
    for step in steps:
        seen |= step
    assert 2**32 > seen > 2**32 - 2**24


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_ids_of_a_batch_rise_whatever_chance_brings(
    monkeypatch: pytest.MonkeyPatch, byte: bytes
) -> None:
    """The smallest and the largest steps, and the largest id to start with."""
    monkeypatch.setattr("pgstore._core.ids._urandom", lambda count: byte * count)
    ids = batch(100_000)
    assert ids == sorted(set(ids))
    assert {(each.version, each.variant, each.int >> 64) for each in ids} == {
        (7, RFC_4122, ids[0].int >> 64)
    }


def test_batches_of_one_moment_share_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgstore._core.ids._now", lambda: FROZEN)
    ids = {each for _ in range(1_000) for each in batch(10)}
    assert len(ids) == 10_000


FORKS = """
import os
from pgstore import new_message_id
from pgstore._core import ids
from pgstore._core.ids import new_message_ids, new_message_id_text

ids._now = lambda: 0
new_message_id()  # more random numbers are there now
reading, writing = os.pipe()
child = os.fork()
made = [new_message_id_text() for _ in range(300)] + [new_message_id().hex for _ in range(300)]
made += [each.hex() for each in new_message_ids(300)]
if child == 0:
    os.write(writing, "\\n".join(made).encode())
    os._exit(0)
os.close(writing)
with open(reading) as pipe:
    both = made + pipe.read().splitlines()
os.waitpid(child, 0)
print(len(both), len(set(both)))
"""


def test_a_child_makes_other_ids_than_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["1800", "1800"]
