"""Messages as a tree: each below the message that caused it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar
from uuid import UUID

M = TypeVar("M")
Rail = Literal["line", "branch", "end", "none"]


def in_tree(
    messages: Iterable[M], facts: Callable[[M], tuple[UUID, int, UUID | None]]
) -> Iterator[tuple[M, M | None, tuple[Rail, ...]]]:
    """The messages in the order of the tree, each with its cause and the lines before it.

    `facts` gives a message's id, position, and the id of its cause as its metadata says it.
    """
    found = {facts(each)[0]: each for each in messages}
    effects: dict[UUID | None, list[M]] = {}
    for message_id in sorted(found, key=lambda each: facts(found[each])[1]):
        _, position, cause_id = facts(found[message_id])
        cause = None if cause_id is None else found.get(cause_id)
        # A cause is stored before its effects. Anything else that metadata says could be a circle.
        if cause is None or facts(cause)[1] >= position:
            cause_id = None
        effects.setdefault(cause_id, []).append(found[message_id])
    none: tuple[Rail, ...] = ()
    first: M | None = None
    waiting = [(each, first, none, none) for each in reversed(effects.get(None, []))]
    while waiting:
        message, cause, before, below = waiting.pop()
        yield message, cause, before
        last: tuple[Rail, Rail] = ("end", "none")
        for effect in reversed(effects.get(facts(message)[0], [])):
            branch, line = last
            waiting.append((effect, message, (*below, branch), (*below, line)))
            last = ("branch", "line")
