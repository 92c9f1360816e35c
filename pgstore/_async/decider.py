"""States of streams, made of a snapshot and the messages after it, and decisions on them."""

import copy
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import datetime
from functools import partial
from typing import Any, Generic

import psycopg
from psycopg import AsyncConnection

from pgstore._async.writer import AsyncWriter
from pgstore._compat.joining import AsyncConn
from pgstore._compat.tasks import async_pause
from pgstore._core import statements as s
from pgstore._core.arguments import aware, count, name_of
from pgstore._core.handlers import refuse_no_plain_function
from pgstore._core.log import log
from pgstore._core.messages import E, MessagePosition
from pgstore._core.metadata import Metadata
from pgstore._core.states import Decided, Loaded, Made, S, StateCodec
from pgstore._core.tags import Query, TaggedMessages, given_tags, items_of
from pgstore._core.upcasters import SkippedMessage
from pgstore.errors import (
    AppendConditionError,
    InvalidArgumentError,
    OptimisticConcurrencyError,
)

_PAGE = 1000

# Seconds before a conflict is tried again, for the first time; then twice as long each time.
_PAUSE, _LONGEST_PAUSE = 0.005, 0.2


class AsyncDecider(Generic[S, E]):
    """Makes the states of streams, and writes what is decided on them: see `decider` of a store."""

    def __init__(
        self,
        store: AsyncWriter[E],
        evolve: Callable[[S, E], S],
        initial: Callable[[str], S],
        snapshots: StateCodec | None,
        cache: int,
    ) -> None:
        self._store = store
        self._evolve = evolve
        self._initial = initial
        self._snapshots = snapshots
        self._most = count("cache", cache)
        self._cache: OrderedDict[str, Made[S]] = OrderedDict()

    async def load(
        self,
        stream: str,
        *,
        at_version: int | None = None,
        at: datetime | None = None,
        conn: AsyncConn | None = None,
    ) -> Loaded[S]:
        """The state of a stream and its version.

        Args:
            at_version: the state when the stream was at this version.
            at: the state before the first message that was added after this time, which is aware of
                its zone.
            conn: read on this connection, within the caller's transaction.

        Raises:
            StreamCutOffError: the beginning of the stream was deleted, and no snapshot has it.
            InvalidArgumentError: the stream has not reached `at_version`.
        """
        async with self._store._database.joined(conn) as raw:
            made = await self._made(stream, self._remembered(stream), raw, at_version, at)
        if at is None and at_version is None and raw is None:
            await self._keep(stream, made)
        if at is None and at_version is not None and made.version < at_version:
            raise InvalidArgumentError(
                f"stream {stream} is at version {made.version}: it has no state at {at_version}"
            )
        return Loaded(made.state, made.version)

    async def decide(
        self,
        stream: str,
        decision: Callable[[S], E | Iterable[E] | None],
        *,
        query: Query | None = None,
        metadata: Metadata | None = None,
        tags: Iterable[str] | None = None,
        attempts: int = 10,
        conn: AsyncConn | None = None,
    ) -> Decided[S]:
        """Write what a function decides on the state of a stream, or of the messages of a query.

        If another writer comes first, the function decides again, on the new state.

        With a query the state is made of all messages that match it, in global order, and the
        decision is written unless a further message matches. Such a state is made anew each time,
        without snapshots and cache, and has no version: that of `Decided` is 0.

        Args:
            decision: gets the state and returns a message, several, or None. It leaves the state as
                it is. If it raises, or `evolve` does, nothing is written.
            query: as in `read_tagged`.
            metadata: a JSON object to keep beside each message.
            tags: of each message, beside its own ones.
            attempts: how often to decide before the conflict is raised.
            conn: read and write in the caller's transaction, which a conflict does not end.

        Raises:
            OptimisticConcurrencyError: other writers came first each time.
            AppendConditionError: the same, with a query.
            StreamCutOffError: the beginning of the stream was deleted, and no snapshot has it.
        """
        refuse_no_plain_function("decision", decision)
        attempts = count("attempts", attempts, least=1)
        if query is not None:
            name_of("stream", stream)
            query = items_of(query)
        write = partial(self._store.write_many, tags=given_tags(tags), metadata=metadata)
        async with self._store._database.joined(conn) as raw:
            return await self._decide(stream, decision, query, write, attempts, raw)

    async def _decide(
        self,
        stream: str,
        decision: Callable[[S], E | Iterable[E] | None],
        query: Query | None,
        write: Callable[..., Awaitable[MessagePosition]],
        attempts: int,
        conn: AsyncConnection[Any] | None,
    ) -> Decided[S]:
        longest = _PAUSE
        while True:
            made, found = await self._ground(stream, query, conn)
            new = self._several(decision(made.state))
            if not new:
                return Decided(made.state, made.version, None)
            # Before the write: an error of `evolve` leaves nothing that no state can be made of.
            for message in new:
                made.state = self._evolve(made.state, message)
            savepoint: AbstractAsyncContextManager[object] = nullcontext()
            if conn is not None:
                savepoint = conn.transaction()
            try:
                async with savepoint:
                    position = await write(
                        stream,
                        new,
                        expected_version=made.version if found is None else None,
                        unless=found,
                        conn=conn,
                    )
                break
            except (OptimisticConcurrencyError, AppendConditionError):
                attempts -= 1
                if not attempts:
                    raise
            await async_pause(random.uniform(0, longest))
            longest = min(longest * 2, _LONGEST_PAUSE)
        return Decided(made.state, position.version if found is None else 0, position)

    async def _ground(
        self,
        stream: str,
        query: Query | None,
        conn: AsyncConnection[Any] | None,
    ) -> tuple[Made[S], TaggedMessages[E] | None]:
        """The state to decide on, and the messages of the query that it is made of, if any."""
        if query is None:
            made = await self._made(stream, self._remembered(stream), conn)
            if conn is None:
                await self._keep(stream, made)
            return made, None
        found = await self._store.read_tagged(query, conn=conn)
        state = self._initial(stream)
        for stored in found:
            state = self._evolve(state, stored.message)
        return Made(state, 0, None, 0, 0), found

    def _several(self, decided: Any) -> tuple[E, ...]:
        if decided is None:
            return ()
        # Anything that is no list of messages is one message: a wrong one is refused by its class.
        is_one = isinstance(decided, str | bytes | Mapping) or not isinstance(decided, Iterable)
        types = self._store._codec.types
        messages = (decided,) if is_one or type(decided) in types else tuple(decided)
        for each in messages:
            if type(each) not in types:
                self._store._codec.encode(each)  # raises
        return messages

    async def _made(
        self,
        stream: str,
        made: Made[S] | None,
        conn: AsyncConnection[Any] | None,
        at_version: int | None = None,
        at: datetime | None = None,
    ) -> Made[S]:
        """Make a state, or continue one if the server says that it still can be continued."""
        to_version = None if at_version is None else str(count("at_version", at_version))
        to_time = None if at is None else aware(at).isoformat()
        code = (None, None) if self._snapshots is None else self._snapshots.code
        while True:
            known = (None, None) if made is None else made.known
            parameters = (stream, *code, to_version, to_time, str(_PAGE), *known)
            first, *rows = await self._store._database.rows(s.LOAD_STREAM, parameters, conn)
            known_id, version, _, data, changes = first
            if made is None or known_id is None:
                if data is None or self._snapshots is None:
                    state = self._initial(stream)
                else:
                    state = self._snapshots.decode(data, stream, version)
                made = Made(state, version, None, changes, version)
            for message_id, version, type_name, data, _ in rows:
                try:
                    message = self._store._codec.decode(type_name, data, stream, version)
                except SkippedMessage:
                    pass
                else:
                    made.state = self._evolve(made.state, message)
                made.version, made.message_id = version, message_id
            if len(rows) < _PAGE:
                return made

    def _remembered(self, stream: str) -> Made[S] | None:
        return copy.deepcopy(self._cache.get(name_of("stream", stream)))

    async def _keep(self, stream: str, made: Made[S]) -> None:
        """Save a snapshot of a state that was read, if one is due, and remember the state."""
        if self._snapshots is not None and self._snapshots.is_due(made):
            made.saved_version = made.version
            try:
                state = self._snapshots.encode(made.state)
                parameters = (*self._snapshots.code, str(made.version), state, str(made.changes))
                await self._store._database.rows(s.SAVE_SNAPSHOT, (stream, *parameters))
            except (psycopg.Error, InvalidArgumentError) as error:
                # The state is right without it, and a decision on it can still be written.
                log.warning("no snapshot of stream %s was saved: %s", stream, error)
        if self._most and made.message_id is not None:
            self._cache.pop(stream, None)
            self._cache[stream] = copy.deepcopy(made)
            with suppress(KeyError):  # other threads forget some too
                while len(self._cache) > self._most:
                    self._cache.popitem(last=False)
