"""Which writes travel together, and when."""

from collections.abc import Sequence

import pytest

from pgstore._core import groups
from pgstore._core.groups import Groups, Write


class Turn:
    def __init__(self) -> None:
        self.come = False

    def set(self) -> None:
        self.come = True


def write(stream: str, message_id: str | None = None, data: str = "{}") -> Write:
    return Write((stream, "A", data, None, None, message_id or f"id of {stream}"))


def entered(waiting: Groups, *writes: Write) -> Sequence[Write]:
    for each in writes:
        waiting.enter(each, Turn)
    return writes


def names(group: list[Write] | None) -> list[str]:
    return [each.stream for each in group or ()]


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Groups:
    monkeypatch.setattr(groups, "AT_ONCE", 1)
    return Groups()


def test_the_first_is_alone_and_the_others_follow_together(waiting: Groups) -> None:
    first, second, third = entered(waiting, write("a"), write("b"), write("c"))
    assert names(first.group) == ["a"]
    assert first.turn is None
    assert (second.group, third.group) == (None, None)
    waiting.leave(first)
    assert names(second.group) == ["b", "c"]
    assert isinstance(second.turn, Turn)
    assert second.turn.come
    assert isinstance(third.turn, Turn)
    assert not third.turn.come
    assert second.group is not None
    waiting.finish(second.group)
    assert third.turn.come


def test_so_many_are_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "AT_ONCE", 3)
    writes = entered(Groups(), *(write(each) for each in "abcd"))
    assert [names(each.group) for each in writes] == [["a"], ["b"], ["c"], []]


def test_a_group_has_at_most_so_many_messages(waiting: Groups) -> None:
    first, *others = entered(waiting, *(write(str(n)) for n in range(250)))
    waiting.leave(first)
    sizes = []
    for each in others:
        if each.group is not None:
            sizes.append(len(each.group))
            waiting.finish(each.group)
    assert sizes == [100, 100, 49]


def test_a_group_has_at_most_so_much_text_unless_one_message_has_more(waiting: Groups) -> None:
    half = "x" * 600_000
    first, *others = entered(
        *(waiting, write("a"), write("b", data=half), write("c"), write("d", data=half)),
        *(write("e"), write("f", data=4 * half), write("g")),
    )
    waiting.leave(first)
    found = []
    for each in others:
        if each.group is not None:
            found.append(names(each.group))
            waiting.finish(each.group)
    assert found == [["b", "c"], ["d", "e"], ["f"], ["g"]]


def test_a_stream_that_is_being_written_to_waits(waiting: Groups) -> None:
    first, same, other, again = entered(
        *(waiting, write("a"), write("a", "2"), write("b"), write("a", "3"))
    )
    waiting._sending.clear()  # as if it were late: its stream is not free
    waiting.look()
    assert names(other.group) == ["b"]
    waiting.leave(other)
    assert same.group is None
    waiting.leave(first)
    assert names(same.group) == ["a", "a"]
    assert again.group is None


def test_a_stream_is_free_when_the_last_write_that_goes_singly_has_ended(waiting: Groups) -> None:
    first, one, two = entered(waiting, write("z"), write("a", "1"), write("a", "2"))
    waiting.leave(first)
    (later,) = entered(waiting, write("a", "3"))
    group, one.group = one.group, None
    assert group is not None
    one.place = (1, 1)
    waiting.finish(group)
    waiting.leave(one)
    assert later.group is None  # `two` was not stored: it is written now
    waiting.leave(two)
    assert names(later.group) == ["a"]
    waiting.leave(later)
    assert (waiting._streams, waiting._sending, waiting.waiting()) == ({}, {}, [])


def test_one_id_goes_into_two_groups(waiting: Groups) -> None:
    first, one, two, three = entered(
        *(waiting, write("a"), write("b", "same"), write("c", "same"), write("d"))
    )
    waiting.leave(first)
    assert names(one.group) == ["b", "d"]
    assert one.group is not None
    waiting.finish(one.group)
    assert names(two.group) == ["c"]
    assert three.group is None


def test_a_write_that_leaves_takes_nothing_with_it(waiting: Groups) -> None:
    first, one, two, three = entered(waiting, *(write(each) for each in "abcd"))
    waiting.leave(one)  # cancelled while it waits
    waiting.leave(first)
    assert names(two.group) == ["c", "d"]
    waiting.leave(two)  # cancelled before it could send its group
    assert isinstance(three.turn, Turn)
    assert three.turn.come
    assert (three.place, three.group) == (None, None)  # so it is written singly
    waiting.leave(three)
    assert (waiting._streams, waiting._sending, waiting.waiting()) == ({}, {}, [])


def test_a_late_statement_holds_up_no_other(
    waiting: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = entered(waiting, write("a"), write("b"))
    waiting.look()
    assert second.group is None
    monkeypatch.setattr(groups, "LATE", 0)
    waiting.look()
    assert names(second.group) == ["b"]
    waiting.leave(first)
    waiting.leave(second)
    assert (waiting._streams, waiting._sending, waiting.waiting()) == ({}, {}, [])


def test_lines_have_a_line_for_each_message() -> None:
    group = [
        Write(("a", "A", "1", None, "7", "id")),
        Write(("b", "B", "2", "{}", None, "other")),
    ]
    assert groups.lines(group) == ["a\nb", "A\nB", "1\n2", "\n{}", "7\n", "id\nother"]
