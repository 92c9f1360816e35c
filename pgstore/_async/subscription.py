"""Subscriptions: their filters and options, and how to steer them."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Generic, Literal, Protocol

import msgspec
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from pgstore._async.database import AsyncDatabase, joined
from pgstore._async.registering import AsyncRegistering, calls_of, handle
from pgstore._compat.joining import AsyncConn
from pgstore._compat.tasks import async_pause
from pgstore._core import statements as s
from pgstore._core.arguments import aware, count, name_of, number, seconds, several, whole, wrong
from pgstore._core.deadlines import deadline, left
from pgstore._core.filters import Filter
from pgstore._core.log import log
from pgstore._core.messages import E, StoredMessage
from pgstore._core.metadata import enter_context, leave_context
from pgstore._core.parameters import DEFAULT_LEASE, array, interval
from pgstore._core.subscriptions import ParkedMessage, PartitionStatus, RunnerHooks, progress
from pgstore.errors import InvalidArgumentError, SubscriptionNotFoundError

_WAIT_POLL = (0.005, 0.1)


class SubscriptionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a subscription; see `MessageStore.subscription`."""

    filter: Filter
    expected: frozenset[type]
    partitions: int
    start: int | datetime | Literal["beginning", "end"]
    on_failure: Literal["stop", "park"]
    max_attempts: int
    retry_delay: float
    unknown_types: Literal["refuse", "skip"]
    batch_size: int
    acknowledge: Literal["batch", "message"]


class AsyncRunning(Protocol[E]):
    """The methods of a store that run a subscription; see `AsyncMessageStore`."""

    async def run(
        self,
        *subscriptions: "AsyncSubscription[E]",
        workers: int = 1,
        lease: float = DEFAULT_LEASE,
        hooks: RunnerHooks | None = None,
        signals: bool = True,
        scheduled: bool = False,
    ) -> None: ...

    async def run_once(
        self,
        *subscriptions: "AsyncSubscription[E]",
        lease: float = DEFAULT_LEASE,
        hooks: RunnerHooks | None = None,
        raise_errors: bool = True,
    ) -> int: ...

    def stop(self) -> int: ...

    async def aclose(self) -> None: ...


class AsyncSubscription(AsyncRegistering, Generic[E]):
    """A named, durable reader and its handlers. Made by `AsyncMessageStore.subscription`.

    `store` is the store that made it, whose `run` handles its messages.
    """

    def __init__(
        self,
        name: str,
        store: "AsyncRunning[E]",
        database: AsyncDatabase,
        known_types: frozenset[type],
        options: SubscriptionOptions,
    ) -> None:
        start = options.start
        if isinstance(start, datetime):
            aware(start)
        elif start not in ("beginning", "end") and type(start) is not int:
            raise wrong('start must be "beginning", "end", a global position or a time', start)
        super().__init__(name, known_types)
        self.store = store
        self.options = options
        self._database = database
        self._created: int | None = None  # after so many resets of the store
        self._told = False

    def refuse_to_run(self, database: AsyncDatabase, types: frozenset[type]) -> None:
        """Refuse if the store that is to run it would acknowledge what nobody has handled."""
        if self._database.source is not database.source or self._known_types != types:
            raise InvalidArgumentError(
                f"subscription {self.name!r} was made by another store, which can run it:"
                " subscription.store.run(subscription)"
            )
        if self.batch is None and not self.handlers:
            raise InvalidArgumentError(
                f"subscription {self.name!r} has no handler, and its messages would be passed over:"
                " register a function with @subscription.handler"
            )

    def tell_unhandled(self) -> None:
        """Log, once, the types that it reads and has no handler for."""
        handled = self.handlers.keys() if self.batch is None else self.batch.types
        unhandled = sorted(cls.__name__ for cls in self.options.expected - handled)
        if unhandled and not self._told:
            log.warning(
                "subscription %s has no handler for %s, and passes over such messages: ignore="
                " says that this is right",
                *(self.name, ", ".join(unhandled)),
            )
        self._told = True

    async def confirm(self) -> None:
        """Compare the filters of this object with those in the database again.

        Raises:
            SubscriptionExistsError: they differ.
            SubscriptionNotFoundError: the subscription was dropped; it is not created again.
        """
        await self.position()
        await self.create()

    async def ensure(self) -> None:
        """Create it, unless this object has done that: one that was dropped since stays away."""
        if self._created != self._database.source.resets:
            await self.create()

    async def create(self) -> None:
        """Create it if it is not there; otherwise make sure that it reads the same.

        Everything that needs it there does this first, once.

        Raises:
            SubscriptionExistsError: it is there and reads something else.
        """
        options = self.options
        start = options.start
        position = start if isinstance(start, int) else None if start == "end" else 0
        ((new,),) = await self._database.rows(
            s.CREATE_SUBSCRIPTION,
            (
                self.name,
                array(options.filter.categories),
                array(options.filter.types),
                options.filter.stream_pattern,
                str(options.partitions),
                options.filter.partition_by,
                number("start", position),
                start.isoformat() if isinstance(start, datetime) else None,
                options.on_failure,
                str(options.max_attempts),
                interval(options.retry_delay),
                options.filter.metadata,
                array(options.filter.tags),
            ),
        )
        if not new:
            await self._compare_partitions()
        # Not in a transaction of the caller's, which may be rolled back.
        source = self._database.source
        self._created = source.resets if source.ambient() is None else None

    async def _compare_partitions(self) -> None:
        # No error: a program that still says the old number must not fail for it.
        for (partitions,) in await self._read(s.PARTITIONS_OF):
            if partitions != self.options.partitions:
                log.warning(
                    "subscription %s has %s partitions, not %s: repartition() changes that",
                    *(self.name, partitions, self.options.partitions),
                )

    async def drop(self) -> None:
        """Delete its checkpoints and its parked messages; its workers lose their leases."""
        await self._call(s.DROP_SUBSCRIPTION)
        self._created = None

    async def pause(self) -> None:
        """Hand out no more batches; workers finish those that have begun."""
        await self._call(s.PAUSE_SUBSCRIPTION)

    async def resume(self, *, partition: int | None = None) -> None:
        """End a `pause`, and resume all stopped partitions; or resume one stopped partition."""
        await self._call(s.RESUME_SUBSCRIPTION, number("partition", partition))

    async def rewind(self, to: int | datetime) -> int:
        """Continue after another global position, or with the messages added from a time on.

        Back or forward; its workers lose their leases. Returns the position.
        """
        if isinstance(to, datetime):
            ((position,),) = await self._call(s.REWIND_SUBSCRIPTION, None, aware(to).isoformat())
        else:
            ((position,),) = await self._call(s.REWIND_SUBSCRIPTION, str(whole("to", to)), None)
        return int(position)

    async def repartition(self, partitions: int) -> None:
        """Change the number of partitions, when those it has have caught up with each other."""
        partitions = count("partitions", partitions, least=1)
        await self._call(s.REPARTITION_SUBSCRIPTION, str(partitions))
        self.options = msgspec.structs.replace(self.options, partitions=partitions)

    async def refilter(self, *, from_position: int | None = None) -> int:
        """Have the subscription of this name read what this one declares, by its filters.

        Its workers lose their leases, and handle their batches again by the new filters. Messages
        that it gains come from its partitions' checkpoints on; or after `from_position`, up to
        which it must have handled everything, and not more. Returns the position after which it
        gains them.

        Raises:
            InvalidArgumentError: `from_position` is no such position: a second subscription can
                read the past.
            SubscriptionNotFoundError: there is none.
        """
        chosen = self.options.filter
        ((position,),) = await self._read(
            s.REFILTER_SUBSCRIPTION,
            array(chosen.categories),
            array(chosen.types),
            chosen.stream_pattern,
            chosen.metadata,
            array(chosen.tags),
            number("from_position", from_position),
        )
        return int(position)

    async def partitions(self) -> list[PartitionStatus]:
        """Return each partition's progress and worker. Raises SubscriptionNotFoundError."""
        rows = await self._read(s.LIST_PARTITIONS)
        if not rows:
            await self.position()  # raises: there is none
        return [PartitionStatus(*row) for row in rows]

    async def parked(self) -> list[ParkedMessage]:
        """The messages that were put aside. Raises SubscriptionNotFoundError."""
        return [ParkedMessage(*row) for row in await self._read(s.LIST_PARKED)]

    async def replay(self, global_position: int | None = None) -> int:
        """Have one parked message, or all, handed out again; how many."""
        ((found,),) = await self._call(s.REPLAY_PARKED, number("global_position", global_position))
        return int(found)

    async def drop_parked(self, global_position: int | None = None) -> int:
        """Forget one parked message, or all, as dealt with; how many."""
        ((found,),) = await self._call(s.DROP_PARKED, number("global_position", global_position))
        return int(found)

    async def position(self) -> int:
        """The global position up to which all partitions have dealt with everything.

        On a standby, what it was there. Raises SubscriptionNotFoundError.
        """
        ((position,),) = await self._read(s.SUBSCRIPTION_POSITION)
        return int(position)

    async def wait_until(self, position: int, *, timeout: float | None = 30.0) -> None:
        """Wait until it has dealt with everything up to a global position: read your writes.

        On a standby, until it has that there. One that is not there yet is waited for.

        Raises:
            TimeoutError: it has not, after so many seconds.
        """
        position = whole("position", position)
        if timeout is not None:
            timeout = seconds("timeout", timeout)
        until = deadline(timeout)
        delay = _WAIT_POLL[0]
        while not await self._has_reached(position):
            if left(until) == 0:
                raise TimeoutError(
                    f"subscription {self.name!r} has not reached position {position}"
                    f" in {timeout:g} s: {await self._whereabouts()}"
                )
            await async_pause(delay)
            delay = min(delay * 2, _WAIT_POLL[1])

    async def apply(self, messages: Iterable[StoredMessage[E]], conn: AsyncConn) -> None:
        """Call the handlers for these messages here, in the caller's transaction on `conn`.

        For a projection that is changed by the transaction that writes. The checkpoint stays, and
        messages without a handler are passed over. An error of a handler is raised. A handler that
        takes the transaction gets psycopg's connection, also if `conn` is a framework's.
        """
        async with joined(conn) as raw:
            if raw.autocommit and raw.info.transaction_status == TransactionStatus.IDLE:
                raise InvalidArgumentError(
                    "apply needs a transaction, and this connection commits each statement by"
                    " itself: take store.transaction(), or conn.transaction()"
                )
            stored = several("messages", messages) or ()
            for each in stored:
                if not isinstance(each, StoredMessage):
                    raise wrong("apply takes stored messages", each)
            for call in calls_of(self, stored):
                token = enter_context(call[-1])
                try:
                    await handle(self, call, raw)
                finally:
                    leave_context(token)

    @asynccontextmanager
    async def replacing(
        self, old: "AsyncSubscription[Any] | str", *, timeout: float = 30.0
    ) -> AsyncIterator[AsyncConnection[Any]]:
        """Give a transaction in which readers change over from another subscription's tables.

        It begins when this subscription has handled all that the other one has, in each partition.
        The other one's workers cannot acknowledge until it ends. So a reader of its tables before
        the commit, and of this one's tables after it, misses no message that it has seen.

        Args:
            old: the subscription whose tables are read until now, or its name.
            timeout: seconds to wait for this one, first with the other one at work, then without.

        Raises:
            TimeoutError: this one is too far behind; nothing is changed.
            SubscriptionNotFoundError: there is no other one.
        """
        name = (name_of("old", old.name if isinstance(old, AsyncSubscription) else old),)
        if name == (self.name,):
            raise InvalidArgumentError("replacing takes another subscription, not this one")
        ((position,),) = await self._database.rows(s.SUBSCRIPTION_POSITION, name)
        await self.wait_until(position, timeout=timeout)
        async with self._database.transaction() as conn:
            ((reached,),) = await self._database.rows(s.HOLD_SUBSCRIPTION, name, conn)
            await self.wait_until(reached, timeout=timeout)
            yield conn

    async def _has_reached(self, position: int) -> bool:
        try:
            return await self.position() >= position
        except SubscriptionNotFoundError:
            return False

    async def _whereabouts(self) -> str:
        try:
            return progress(await self.position(), await self.partitions())
        except SubscriptionNotFoundError:
            return "there is no such subscription yet; run it with store.run(subscription)"

    async def _call(self, statement: str, *parameters: str | None) -> list[TupleRow]:
        await self.ensure()
        return await self._read(statement, *parameters)

    async def _read(self, statement: str, *parameters: str | None) -> list[TupleRow]:
        return await self._database.rows(statement, (self.name, *parameters))
