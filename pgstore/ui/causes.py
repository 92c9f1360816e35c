"""Messages as a tree: each below the message that caused it."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from pgstore._core.causes import in_tree
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
    return [
        Step(
            each,
            rails[-_DEEPEST:],
            len(rails),
            None if cause is None else (each.added_at - cause.added_at).total_seconds(),
        )
        for each, cause, rails in in_tree(messages, _facts)
    ]


def _facts(message: Stored) -> tuple[UUID, int, UUID | None]:
    return message.message_id, message.position, message.causation_id
