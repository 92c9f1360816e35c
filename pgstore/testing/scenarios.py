"""Given these messages, when this is called, then these messages come of it."""

import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from pgstore._async.decider import AsyncDecider
from pgstore._async.repository import AsyncRepository
from pgstore._async.subscription import AsyncSubscription
from pgstore._core.arguments import describe, name_of, refuse_no_function
from pgstore._core.handlers import refuse_no_plain_function
from pgstore._core.messages import E, RawMessage, StoredMessage
from pgstore._core.states import Aggregate, S, changes_of
from pgstore._core.upcasters import SkippedMessage
from pgstore._sync.decider import Decider
from pgstore._sync.repository import Repository
from pgstore._sync.subscription import Subscription
from pgstore.errors import InvalidArgumentError
from pgstore.testing._async.handling import AsyncHandling
from pgstore.testing._sync.handling import Handling
from pgstore.testing.messages import STREAM, as_written, read_back
from pgstore.testing.outcomes import Outcome

A = TypeVar("A", bound=Aggregate[Any])
P = ParamSpec("P")


class Deciding(Generic[S, E]):
    """A decider and the messages of a stream."""

    def __init__(
        self, decider: Decider[S, E] | AsyncDecider[S, E], messages: Iterable[E | RawMessage]
    ) -> None:
        self._decider = decider
        self.state: S = _replayed(decider, STREAM, messages)

    def when(
        self,
        decision: Callable[Concatenate[S, P], E | Iterable[E] | None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Outcome[S, E]:
        """Call a decision with the state, and with more arguments if there are some."""
        refuse_no_plain_function("decision", decision)
        try:
            decided = self._decider._several(decision(self.state, *args, **kwargs))
        except InvalidArgumentError:
            raise
        except Exception as error:
            return Outcome(_name(decision), self.state, error=error)
        state = self.state
        for each in decided:
            as_written(self._decider._store._codec, each)
            state = self._decider._evolve(state, each)
        return Outcome(_name(decision), state, decided)


class Editing(Generic[A, E]):
    """An aggregate, as its messages have made it."""

    def __init__(
        self,
        repository: Repository[A, E] | AsyncRepository[A, E],
        messages: tuple[E | RawMessage, ...],
        id: str,
    ) -> None:
        self._codec = repository._store._codec
        self.state: A = _replayed(repository._decider, repository.stream_of(id), messages)
        self.state.version = len(messages)

    def when(
        self, change: Callable[Concatenate[A, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> Outcome[A, E]:
        """Call a function or a method with the aggregate, and with more arguments."""
        refuse_no_function("change", change)
        try:
            result = change(self.state, *args, **kwargs)
        except Exception as error:
            return Outcome(_name(change), self.state, error=error)
        if inspect.iscoroutine(result):
            result.close()
            raise InvalidArgumentError(f"{_name(change)} is async: give a function that is not")
        changes = list(changes_of(self.state))
        for each in changes:
            as_written(self._codec, each)
        return Outcome(_name(change), self.state, changes)


@overload
def given(
    subject: Decider[S, E] | AsyncDecider[S, E], *messages: E | RawMessage
) -> Deciding[S, E]: ...


@overload
def given(
    subject: Repository[A, E] | AsyncRepository[A, E], *messages: E | RawMessage, id: str = "1"
) -> Editing[A, E]: ...


@overload
def given(subject: Subscription[E], *messages: E | StoredMessage[Any]) -> Handling[E]: ...


@overload
def given(subject: AsyncSubscription[E], *messages: E | StoredMessage[Any]) -> AsyncHandling[E]: ...


def given(subject: Any, *messages: Any, id: str = "1") -> Any:
    """Begin a test: `given(accounts, Opened("Ada")).when(withdraw, 5).then(Withdrawn(5))`.

    For a decider or a repository nothing connects to a server. A message takes the way through its
    JSON, as in a store, so a message that could not be written is an error here too. RawMessage
    stands for one that older code has written.

    For a subscription the messages are written to its store, whose handlers then run: that needs a
    server, and a store of the test's own. `stored(message, stream=…)` gives a message its stream
    and metadata.

    Args:
        subject: a decider, a repository, or a subscription.
        messages: those of the stream, or those that the subscription has handled before.
        id: the aggregate's.
    """
    match subject:
        case Decider() | AsyncDecider():
            return Deciding(subject, messages)
        case Repository() | AsyncRepository():
            return Editing(subject, messages, name_of("id", id))
        case Subscription():
            return Handling(subject, messages)
        case AsyncSubscription():
            return AsyncHandling(subject, messages)
        case _:
            raise InvalidArgumentError(
                f"given takes a decider, a repository or a subscription, not {describe(subject)}"
            )


def _replayed(
    decider: Decider[S, E] | AsyncDecider[S, E], stream: str, messages: Iterable[E | RawMessage]
) -> S:
    """The state that these messages make, as if a store had them."""
    state = decider._initial(stream)
    for version, message in enumerate(messages, 1):
        with suppress(SkippedMessage):  # as a reader passes over it
            present = read_back(decider._store._codec, message, stream, version)
            state = decider._evolve(state, present)
    return state


def _name(function: Callable[..., object]) -> str:
    name = getattr(function, "__qualname__", type(function).__name__)
    return name.rpartition("<locals>.")[2]
