"""Deciders and repositories of a store."""

from collections.abc import Callable
from types import UnionType
from typing import Any

from pgstore._async.decider import AsyncDecider
from pgstore._async.repository import A, AsyncRepository
from pgstore._async.writer import AsyncWriter
from pgstore._core.arguments import category_of, describe, wrong
from pgstore._core.codec import codec_of
from pgstore._core.coders import DecodeHook, Hook
from pgstore._core.handlers import refuse_other_parameters, takes_as_many
from pgstore._core.messages import E
from pgstore._core.states import (
    S,
    Snapshots,
    StateCodec,
    refuse_no_aggregate_class,
)
from pgstore.errors import InvalidArgumentError


class AsyncDecidingStore(AsyncWriter[E]):
    """A store that makes states of its streams; see `AsyncMessageStore`."""

    _hooks: tuple[Hook | None, DecodeHook | None]

    def decider(
        self,
        evolve: Callable[[S, E], S],
        state: type[Any] | UnionType,
        *,
        initial: Callable[[], Any] | None = None,
        snapshots: Snapshots | None = None,
        cache: int = 0,
    ) -> AsyncDecider[S, E]:
        """Declare how the messages of a stream make a state, to load it and to decide on it.

        Args:
            evolve: gets the state and the next message, and returns the state after it.
            state: the class of the state, or a union of classes.
            initial: makes the state of an empty stream; without it the class does, called without
                arguments.
            snapshots: keep states in the store, so that not every message is read each time. The
                class is then one that can be a message's.
            cache: how many streams' last states to remember in this process. A state that is
                remembered is continued with the messages that came after it.
        """
        make: Any = state if initial is None else initial
        if initial is not None:
            refuse_other_parameters("initial", initial)
        elif not callable(make) or not takes_as_many(make, 0):
            raise InvalidArgumentError(
                f"{describe(state)} cannot be made without arguments: pass initial=, a function"
                " that makes the state of an empty stream"
            )
        return self._decider(evolve, lambda _: make(), state, snapshots, cache)

    def repository(
        self,
        aggregate: Callable[[str], A],
        category: str,
        *,
        snapshots: Snapshots | None = None,
        cache: int = 0,
    ) -> AsyncRepository[A, E]:
        """Declare a class whose objects are made of a stream each and write to it.

        Args:
            aggregate: a class with the members of `Aggregate`, called with the object's id.
            category: that of the streams. The stream of an object is the category, a minus, its id.
            snapshots, cache: as those of `decider`.
        """
        refuse_no_aggregate_class(aggregate)
        if not category_of(category):
            raise InvalidArgumentError("category must not be empty: a stream is called category-id")
        prefix = f"{category}-"

        def evolve(state: A, message: E) -> A:
            state.evolve(message)
            return state

        def initial(stream: str) -> A:
            return aggregate(stream.removeprefix(prefix))

        decider = self._decider(evolve, initial, aggregate, snapshots, cache)
        return AsyncRepository(self, decider, category)

    def _decider(
        self,
        evolve: Callable[[S, E], S],
        initial: Callable[[str], S],
        state: object,
        snapshots: Snapshots | None,
        cache: int,
    ) -> AsyncDecider[S, E]:
        refuse_other_parameters("evolve", evolve, "the state", "a message")
        codec = None
        if snapshots is not None:
            if not isinstance(snapshots, Snapshots):
                raise wrong("snapshots must be Snapshots", snapshots)
            codec = StateCodec(snapshots, codec_of(state, *self._hooks))
        return AsyncDecider(self, evolve, initial, codec, cache)
