"""States that are made of streams."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from pgstore._core.arguments import count, describe, text_of, whole, wrong
from pgstore._core.codec import Codec
from pgstore._core.handlers import refuse_other_parameters
from pgstore._core.messages import E, MessagePosition
from pgstore.errors import InvalidArgumentError, MessageDecodeError, UnknownMessageTypeError

S = TypeVar("S")


class Loaded(NamedTuple, Generic[S]):
    """The state of a stream, and the version of the last message in it; 0 if there is none."""

    state: S
    version: int


class Decided(NamedTuple, Generic[S]):
    """The state after a decision, its version, and the place of the last message, if any."""

    state: S
    version: int
    position: MessagePosition | None


class Aggregate(Protocol[E]):
    """The members that a `Repository` needs in a class; nothing has to be inherited.

    Its methods append new messages to `changes`, after they have applied them by `evolve`. The
    repository sets `version`, and empties `changes` when they are written.
    """

    id: str
    version: int
    changes: list[E]

    def evolve(self, message: E) -> None: ...


def refuse_no_aggregate_class(aggregate: Callable[[str], Any]) -> None:
    """Refuse what cannot be called with an id, or a class that cannot apply messages."""
    refuse_other_parameters("aggregate", aggregate, "the id")
    if isinstance(aggregate, type):
        evolve: Any = getattr(aggregate, "evolve", None)
        refuse_other_parameters("evolve of the aggregate", evolve, "self", "a message")


def changes_of(aggregate: Aggregate[E]) -> list[E]:
    """The changes of an aggregate, which must have the members of one."""
    for name in ("id", "version", "changes", "evolve"):
        if not hasattr(aggregate, name):
            raise InvalidArgumentError(
                f"an aggregate has id, version, changes and evolve: {describe(aggregate)} has no"
                f" {name}"
            )
    if not isinstance(aggregate.changes, list):
        raise wrong("changes of an aggregate must be a list", aggregate.changes)
    return aggregate.changes


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

    def __post_init__(self) -> None:
        if not 1 <= len(text_of("name", self.name).encode()) <= 255:
            raise wrong("name must have 1 to 255 bytes", self.name)
        whole("code_version", self.code_version)
        if callable(self.every):
            refuse_other_parameters("every", self.every, "the state", "the number of messages")
        else:
            count("every", self.every, least=1)


class StateCodec(msgspec.Struct):
    """How states become snapshots."""

    snapshots: Snapshots
    codec: Codec[Any]

    @property
    def code(self) -> tuple[str, str]:
        """The name and the version of the code, as the statements take them."""
        return self.snapshots.name, str(self.snapshots.code_version)

    def is_due(self, made: "Made[Any]") -> bool:
        """Tell whether to save a state."""
        messages, every = made.version - made.saved_version, self.snapshots.every
        if callable(every):
            return messages > 0 and every(made.state, messages)
        return messages >= every

    def encode(self, state: object) -> str:
        """The JSON of a state: an object of one key, the name of its class."""
        name, data = self.codec.encode(state)
        return msgspec.json.encode({name: msgspec.Raw(data)}).decode()

    def decode(self, data: str, stream: str, version: int) -> Any:
        """The state; the place is for the error."""
        ((name, state),) = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items()
        try:
            return self.codec.decode(name, bytes(state).decode(), stream, version)
        except (MessageDecodeError, UnknownMessageTypeError) as error:
            error.add_note(
                "It is a snapshot of another class: raise code_version of its Snapshots."
            )
            raise


class Made(msgspec.Struct, Generic[S]):
    """A state, its last message, and the version of the snapshot that it was made of."""

    state: S
    version: int
    message_id: UUID | None
    changes: int
    saved_version: int

    @property
    def known(self) -> tuple[str | None, str]:
        """The last message, and how often messages were changed, as the statements take them."""
        return None if self.message_id is None else str(self.message_id), str(self.changes)
