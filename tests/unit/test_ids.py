"""new_message_id: UUIDs of version 7, as RFC 9562 lays them out."""

import threading
import time
from uuid import RFC_4122, UUID

import pytest

from pgstore import new_message_id


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
    monkeypatch.setattr(time, "time_ns", lambda: now)
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
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    ids = {new_message_id() for _ in range(100_000)}
    assert len(ids) == 100_000
    seen = 0
    for message_id in ids:
        seen |= message_id.int
    assert seen & (2**62 - 1) == 2**62 - 1  # every random bit is used


def test_ids_of_many_threads_are_unique() -> None:
    made: list[list[UUID]] = []
    threads = [
        threading.Thread(target=lambda: made.append([new_message_id() for _ in range(5_000)]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({message_id for ids in made for message_id in ids}) == 40_000
