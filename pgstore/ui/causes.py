"""Messages as a tree: each below the message that caused it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from pgstore.ui.stored import Stored

# A chain that is longer has no more room on a page.
_DEEPEST = 24


class Step(msgspec.Struct, frozen=True):
    """A message in the tree. `rails` are the lines before it: line, branch, end or none."""

    message: Stored
    rails: tuple[str, ...]
    depth: int
    seconds: float | None


def steps_of(messages: Sequence[Stored]) -> list[Step]:
    """The messages in the order of the tree, with the seconds since the cause of each."""
    known = {each.message_id: each for each in messages}
    effects: dict[UUID | None, list[Stored]] = {}
    for each in sorted(messages, key=lambda each: each.position):
        cause = known.get(each.causation_id) if each.causation_id else None
        # A cause is stored before its effects. Anything else that metadata says could be a circle.
        if cause is not None and cause.position >= each.position:
            cause = None
        effects.setdefault(None if cause is None else cause.message_id, []).append(each)
    steps: list[Step] = []
    waiting: list[tuple[Stored, tuple[str, ...], tuple[str, ...], Stored | None]] = [
        (each, (), (), None) for each in reversed(effects.get(None, []))
    ]
    while waiting:
        message, before, below, cause = waiting.pop()
        seconds = None if cause is None else (message.added_at - cause.added_at).total_seconds()
        steps.append(Step(message, before[-_DEEPEST:], len(before), seconds))
        found = effects.get(message.message_id, [])[::-1]
        ends = [("end", "none"), *[("branch", "line")] * len(found)]
        waiting += [
            (effect, (*below, branch), (*below, line), message)
            for effect, (branch, line) in zip(found, ends, strict=False)
        ]
    return steps
