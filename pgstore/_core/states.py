"""States that are made of streams."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from pgstore._core.messages import E, MessagePosition

S = TypeVar("S")


class Loaded(NamedTuple, Generic[S]):
    """The state of a stream, and the version of the last message in it; 0 if there is none."""

    state: S
    version: int


class Decided(NamedTuple, Generic[S]):
    """The state after a decision, its version, and the place of the last message written.

    `position` is None if the decision was to write nothing.
    """

    state: S
    version: int
    position: MessagePosition | None


class Aggregate(Protocol[E]):
    """What a `Repository` needs of a class; nothing has to be inherited.

    Its methods append new messages to `changes`, after they have applied them by `evolve`. The
    repository sets `version`, and empties `changes` when they are written.
    """

    id: str
    version: int
    changes: list[E]

    def evolve(self, message: E) -> None: ...


class Snapshots(msgspec.Struct, frozen=True):
    """How the states of a decider or repository are kept in the store.

    Attributes:
        name: of the code that makes the states, 1 to 255 bytes.
        code_version: to be raised when that code, or the class of the state, changes: states of
            another version are not read.
        every: after so many messages a new one is saved; or a function that is given the state and
            the number of messages since the last one, and tells whether to save it.
    """

    name: str
    code_version: int = 1
    every: int | Callable[[Any, int], bool] = 100

    def due(self, state: object, messages: int) -> bool:
        """Tell whether to save a state that has so many messages more than the saved one."""
        if isinstance(self.every, int):
            return messages >= self.every
        return messages > 0 and self.every(state, messages)


class Made(msgspec.Struct, Generic[S]):
    """A state on its way: what it is made of."""

    state: S
    version: int
    position: int | None
    changes: int
    saved_version: int
