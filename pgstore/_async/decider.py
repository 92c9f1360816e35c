"""Decisions: state from messages, new messages from state."""

import random
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Generic

from psycopg import AsyncConnection

from pgstore._async.loader import AsyncLoader
from pgstore._async.writer import AsyncWriter
from pgstore._compat.tasks import async_pause
from pgstore._core.arguments import count, describe, refuse_no_function, several
from pgstore._core.encoding import Metadata
from pgstore._core.messages import E
from pgstore._core.states import Decided, Loaded, Made, S
from pgstore.errors import InvalidArgumentError, OptimisticConcurrencyError

# Seconds before a conflict is tried again, for the first time; then twice as long each time.
_PAUSE, _LONGEST_PAUSE = 0.005, 0.2


class AsyncDecider(Generic[S, E]):
    """Makes the states of streams, and writes what is decided on them: see `decider` of a store."""

    def __init__(self, store: AsyncWriter[E], loader: AsyncLoader[S, E]) -> None:
        self._store = store
        self._loader = loader

    async def load(
        self,
        stream: str,
        *,
        at_version: int | None = None,
        at: datetime | None = None,
        conn: AsyncConnection[object] | None = None,
    ) -> Loaded[S]:
        """The state of a stream and its version.

        Args:
            at_version: the state when the stream was at this version.
            at: the state of the messages that were added until this time, aware of its zone. Reads
                the stream from its beginning.
            conn: read on this connection, within the caller's transaction.

        Raises:
            StreamCutOffError: the beginning of the stream was deleted, and no snapshot has it.
            InvalidArgumentError: the stream has not reached `at_version`.
        """
        made = await self._loader.load(stream, at_version, at, conn)
        if at_version is None and at is None and conn is None:
            await self._loader.keep(stream, made)
        return Loaded(made.state, made.version)

    async def decide(
        self,
        stream: str,
        decision: Callable[[S], E | Iterable[E] | None],
        *,
        metadata: Metadata | None = None,
        attempts: int = 10,
        conn: AsyncConnection[object] | None = None,
    ) -> Decided[S]:
        """Write what a function decides on the state of a stream.

        If another writer comes first, the function decides again, on the new state.

        Args:
            decision: gets the state and returns a message, several, or None. It leaves the state as
                it is. What it raises is raised here, and nothing is written.
            metadata: a JSON object to keep beside each message.
            attempts: how often to decide before the conflict is raised. With `conn` once: after an
                error the transaction is over.
            conn: read and write in the caller's transaction.

        Raises:
            OptimisticConcurrencyError: other writers came first each time.
            StreamCutOffError: the beginning of the stream was deleted, and no snapshot has it.
        """
        refuse_no_function("decision", decision)
        attempts = count("attempts", attempts, least=1) if conn is None else 1
        longest = _PAUSE
        while True:
            made = await self._loader.load(stream, conn=conn)
            messages = self._several(decision(made.state))
            attempts -= 1
            try:
                return await self._written(stream, made, messages, metadata, conn)
            except OptimisticConcurrencyError:
                if not attempts:
                    raise
            await async_pause(random.uniform(0, longest))
            longest = min(longest * 2, _LONGEST_PAUSE)

    async def _written(
        self,
        stream: str,
        made: Made[S],
        messages: tuple[E, ...],
        metadata: Metadata | None,
        conn: AsyncConnection[object] | None,
    ) -> Decided[S]:
        position = None
        if messages:
            position = await self._store.write_many(
                stream, messages, expected_version=made.version, metadata=metadata, conn=conn
            )
            self._loader.advance(made, messages, position)
        if conn is None:
            await self._loader.keep(stream, made)
        return Decided(made.state, made.version, position)

    def _several(self, decided: E | Iterable[E] | None) -> tuple[E, ...]:
        if decided is None:
            return ()
        if self._loader.is_message(decided):
            return (decided,)
        if not isinstance(decided, Iterable):
            raise InvalidArgumentError(
                f"a decision must return a message of the store, several or None, not"
                f" {describe(decided)}"
            )
        return several("decision", decided) or ()
