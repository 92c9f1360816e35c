"""Which writes go together: what is done for each of many, and interruptions at any line."""

import math
import sys
from types import FrameType
from typing import Any

import pytest

from pgstore._core import groups
from pgstore._core.groups import AT_ONCE, Groups, Write


class Turn:
    def __init__(self) -> None:
        self.come = False

    def set(self) -> None:
        self.come = True


class Name(str):
    """A stream's name that counts how often it is looked for."""

    __slots__ = ()
    looks = 0

    def __hash__(self) -> int:
        Name.looks += 1
        return str.__hash__(self)


def write(stream: str, number: int) -> Write:
    return Write((stream, "A", "1", None, None, str(number)))


def waiting(count: int, stream: str = "a-{}") -> tuple[Groups, list[Write]]:
    """Writes that wait for those that are being sent."""
    found = Groups()
    found._sending = dict.fromkeys(range(AT_ONCE), math.inf)
    writes = [write(Name(stream.format(n)), n) for n in range(count)]
    for each in writes:
        found.enter(each, Turn)
    return found, writes


def go_on(found: Groups, writes: list[Write]) -> list[Write]:
    """Send what is to be sent, until nothing happens; the writes that are left."""
    left = writes
    while True:
        ready = [each for each in left if isinstance(each.turn, Turn) and each.turn.come]
        if not ready:
            return left
        for each in ready:
            if each.group is not None:
                group, each.group = each.group, None
                for one in group:
                    one.place = (1, 1)
                found.finish(group)
            found.leave(each)
        left = [each for each in left if not each.ended]


def is_idle(found: Groups) -> bool:
    return not found._streams and found.waiting() == []


@pytest.mark.parametrize("stream", ["a-{}", "a-1"], ids=["many streams", "one stream"])
def test_each_write_is_looked_at_a_few_times_however_many_wait(stream: str) -> None:
    count = 1000
    found, writes = waiting(count, stream)
    Name.looks = 0
    found._sending.clear()
    found.look()
    assert go_on(found, writes) == []
    assert is_idle(found)
    assert Name.looks < 30 * count


class Interruption:
    """Raises KeyboardInterrupt at one of the lines of the module that run, as a signal does."""

    def __init__(self, line: int) -> None:
        self._left = line
        self.done = False

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != groups.__file__:
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                self.done = True
                raise KeyboardInterrupt
        return self._trace


def interrupted(line: int) -> tuple[bool, int]:
    """Interrupt a write there; whether there is such a line, and the writes that nobody sends."""
    found, others = waiting(3)
    mine, interruption = write("a-1", 9), Interruption(line)
    try:
        with interruption:
            try:
                found.enter(mine, Turn)
                found._sending.clear()
                found.look()
                go_on(found, [others[0]])
            finally:
                found.leave(mine)
    except KeyboardInterrupt:
        pass
    found.leave(mine)
    for _ in range(5):  # as each does that has waited for some time
        found._sending.clear()
        found.look()
        others = go_on(found, others)
    for each in others:  # writes by itself, in the end
        found.leave(each)
    assert is_idle(found)
    return interruption.done, len(others)


def test_an_interruption_at_any_line_stops_no_other_write() -> None:
    left: list[int] = []
    while (found := interrupted(len(left) + 1))[0]:
        left.append(found[1])
    assert len(left) > 50
    # One that is between two queues; more at the line before the end of a group is noted.
    assert sorted(left)[-2] <= 1
