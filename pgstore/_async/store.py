"""The message store."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType, UnionType
from typing import Any, Literal, Self

from pgstore._async.choosing import reading_source, source_of
from pgstore._async.database import AsyncDatabase
from pgstore._async.deciding import AsyncDecidingStore
from pgstore._async.entry import AsyncEntry
from pgstore._async.grouping import AsyncGrouping
from pgstore._async.opening import AsyncOpening
from pgstore._async.publisher import AsyncPublisher
from pgstore._async.runner import AsyncRunner, Beside
from pgstore._async.scheduler import AsyncScheduler
from pgstore._async.source import PoolConnection
from pgstore._async.standby import AsyncStandby
from pgstore._async.subscription import AsyncSubscription, SubscriptionOptions
from pgstore._async.waker import AsyncWaker, WakeUp
from pgstore._compat.joining import AsyncConnections
from pgstore._core.arguments import count, name_of, one_of, refuse_settings, seconds, several, wrong
from pgstore._core.codec import Codec, codec_of
from pgstore._core.coders import DecodeHook, Hook
from pgstore._core.filters import categories_of
from pgstore._core.frameworks import refuse_to_run_in_a_block
from pgstore._core.messages import E, RawMessage
from pgstore._core.metadata import Metadata
from pgstore._core.parameters import DEFAULT_LEASE
from pgstore._core.subscriptions import GuardedHooks, RunnerHooks
from pgstore._core.upcasters import Upcaster
from pgstore.errors import InvalidArgumentError

# Longer than this, `close` does not wait for handlers.
_PATIENCE = 30.0

# Each has connections and a task or a thread: more than a server has room for.
_MOST_WORKERS = 1000


class AsyncMessageStore(AsyncDecidingStore[E]):
    """Write and read messages of the types `E`."""

    def __init__(
        self,
        conninfo: "AsyncConnections | AsyncMessageStore[Any] | AsyncEntry | None" = None,
        *,
        messages: type[E] | Mapping[str, type[E]] | UnionType,
        store: str = "pgstore",
        create: bool = True,
        enc_hook: Hook | None = None,
        dec_hook: DecodeHook | None = None,
        upcasters: Iterable[Upcaster] = (),
        wakeup: WakeUp = "listen",
        prepare_threshold: int | None = 5,
        group_writes: bool = False,
        read_conninfo: AsyncConnections | None = None,
    ) -> None:
        """Make a store; it connects when it is first used.

        Args:
            conninfo: a connection string of libpq, or of SQLAlchemy for psycopg. None stands for
                libpq's environment variables. A psycopg pool, a SQLAlchemy engine or, without
                asyncio, a connection of Django stays the caller's to open and close. But with
                asyncio a psycopg pool is closed at the end of the event loop if the store was not:
                a worker of it could keep the program from ending. Another store gives the same one,
                on the same connections, with other message types. Closing either closes both.
            messages: the message types: a class, a union of classes, or a mapping of names to
                classes. A class's first name is written, all its names are read. Classes are
                msgspec Structs, dataclasses, attrs classes, pydantic models, and others that the
                hooks translate. RawMessage alone: messages of any type, undecoded.
            store: the store's name: that of its schema, 1 to 63 bytes, quoted as it is.
            create: install or upgrade the store on first use. Otherwise a store that is missing or
                older than this package is an error.
            enc_hook, dec_hook: msgspec's hooks for types that it does not know.
            upcasters: for stored types that are no longer written, functions that make messages of
                the message types of them. Every reader gets these.
            wakeup: how to learn of new messages: "listen" on a connection of its own, or "poll",
                once a second. A store that listens finds out whether a pooler keeps notifications
                from it, and polls then.
            prepare_threshold: after how many runs on a connection a statement is prepared; None for
                never, where a pooler gives a session to each transaction. A pool of the caller's
                has its own, in its `kwargs`.
            group_writes: send the `write` calls of concurrent tasks together, one transaction for
                several messages; each with its own expected version and error. A write that finds
                no other on its way is sent at once, and alone. Not those with `conn`.
            read_conninfo: of a standby, as `conninfo`, for reads that may be some tenths of a
                second behind. `run` then publishes the horizon, up to which these read.

        Raises:
            InvalidArgumentError: the name cannot be a schema's, or `conninfo` is none of these.
            TypeError, ValueError: the message types cannot be used.
        """
        codec: Codec[E] = codec_of(messages, enc_hook, dec_hook, upcasters)
        if isinstance(conninfo, AsyncMessageStore):
            refuse_settings(
                store=store != "pgstore",
                create=create is not True,
                wakeup=wakeup != "listen",
                prepare_threshold=prepare_threshold != 5,
                group_writes=group_writes is not False,
                read_conninfo=read_conninfo is not None,
            )
            database = AsyncDatabase(conninfo._database.source)
            super().__init__(database, codec, conninfo._waker, conninfo._grouping)
            runners, self._standby = conninfo._runners, conninfo._standby
        else:
            source = source_of(conninfo, store, create, wakeup, prepare_threshold, group_writes)
            waker = AsyncWaker(source, wakeup)
            database = AsyncDatabase(source)
            grouping = AsyncGrouping(database) if group_writes else None
            super().__init__(database, codec, waker, grouping)
            runners = set()
            if read_conninfo is not None:
                there = reading_source(read_conninfo, store, create, wakeup, prepare_threshold)
                self._standby = AsyncStandby(there, wakeup)
        self._runners: set[AsyncRunner] = runners
        self._hooks = (enc_hook, dec_hook)

    def __repr__(self) -> str:
        types = ", ".join(sorted(cls.__name__ for cls in self._codec.types))
        return f"{type(self).__name__}(store={self.name!r}, messages=[{types}])"

    @property
    def name(self) -> str:
        """The store's name: that of its schema."""
        return self._database.source.name

    @property
    def skipped(self) -> dict[str, int]:
        """How many messages of each stored type this object's upcasters have left out.

        Every reading counts: a message that is read twice, twice.
        """
        return dict(self._codec.skipped)

    @property
    def raw(self) -> "AsyncMessageStore[RawMessage]":
        """The same store with messages of any type, undecoded, on the same connections."""
        return AsyncMessageStore(self, messages=RawMessage)

    def subscription(
        self,
        name: str,
        *,
        types: Iterable[str | type] | None = None,
        category: str | None = None,
        categories: Iterable[str] | None = None,
        stream_pattern: str | None = None,
        metadata: Metadata | None = None,
        tags: Iterable[str] | None = None,
        partitions: int = 1,
        partition_by: str = "stream",
        start: int | datetime | Literal["beginning", "end"] = "beginning",
        on_failure: Literal["stop", "park"] = "stop",
        max_attempts: int = 5,
        retry_delay: float = 1.0,
        unknown_types: Literal["refuse", "skip"] = "refuse",
        ignore: Iterable[str | type] = (),
        batch_size: int = 100,
        acknowledge: Literal["batch", "message"] = "batch",
    ) -> AsyncSubscription[E]:
        """Declare a named, durable reader; it is made, or found again, when it is first used.

        Args:
            name: 1 to 255 bytes.
            types, category, categories, stream_pattern, metadata, tags: its filters, as in
                `read_all`.
            partitions: how many partitions a new one has; each is handled in order, by one worker
                at a time. `repartition` changes the number of one that is there.
            partition_by: the value whose hash is a message's partition, as in `read_all`.
            start: where a new one begins: "beginning", "end", after a global position, or with the
                messages added from a time on (aware of its zone).
            on_failure: after the last attempt "stop" the partition, or "park" the message.
            max_attempts: how often a message is tried.
            retry_delay: seconds before the second attempt, doubled each time, an hour at most.
            unknown_types: "refuse" a message of a type this store does not know, as a failure, or
                "skip" it.
            ignore: types, by name or class, that it reads and needs no handler for. Without them
                the first run of it logs a warning that names them.
            batch_size: the most messages to fetch at once.
            acknowledge: after each "batch" or each "message".
        """
        one_of("unknown_types", unknown_types, "refuse", "skip")
        one_of("acknowledge", acknowledge, "batch", "message")
        name_of("on_failure", on_failure)
        categories = categories_of(category, categories)
        chosen = self._filter(
            types, categories, stream_pattern, None, None, partition_by, metadata, tags
        )
        known = self._codec.types
        expected = known if chosen.types is None else self._codec.classes_of(chosen.types)
        options = SubscriptionOptions(
            filter=chosen,
            expected=expected - self._codec.classes_of(several("ignore", ignore) or ()),
            partitions=count("partitions", partitions, least=1),
            start=start,
            on_failure=on_failure,
            max_attempts=count("max_attempts", max_attempts, least=1),
            retry_delay=seconds("retry_delay", retry_delay),
            unknown_types=unknown_types,
            batch_size=count("batch_size", batch_size, least=1),
            acknowledge=acknowledge,
        )
        return AsyncSubscription(name_of("name", name), self, self._database, known, options)

    async def run(
        self,
        *subscriptions: AsyncSubscription[E],
        workers: int = 1,
        lease: float = DEFAULT_LEASE,
        hooks: RunnerHooks | None = None,
        signals: bool = True,
        scheduled: bool = False,
        publish: bool | None = None,
    ) -> None:
        """Handle the subscriptions' messages until SIGTERM or SIGINT, or `stop()`.

        Then finishes the batches that have begun, gives its leases back, and returns. Several
        processes, here and elsewhere, share the partitions by running the same. Reconnects by
        itself. Refused in a block of Django's `atomic()`, as `run_once` is.

        Args:
            workers: how many partitions to work on at once, 1000 at most.
            lease: seconds after which others take over the partitions of a process that died.
            hooks: gets what happens, for metrics.
            signals: whether SIGTERM and SIGINT end it, in the main thread. Handlers that were there
                before are called too. With False they are left alone.
            scheduled: write scheduled messages to their streams when they are due, too, or, without
                subscriptions, do only that.
            publish: publish the horizon for standbys, too, or only that; if not given, where the
                store has a `read_conninfo`.
        """
        workers = count("workers", workers, least=1, most=_MOST_WORKERS)
        opening = AsyncOpening(self._database.source)
        besides: list[Beside] = [AsyncScheduler] if scheduled is True else []
        if publish is True or (publish is None and self._standby is not None):
            besides.append(AsyncPublisher)
        runner = self._runner(opening, subscriptions, lease, hooks, besides)
        self._runners.add(runner)
        if opening.ended:  # `close` may not have seen this one
            runner.stop()
        try:
            await runner.run(workers if subscriptions else 0, signals=signals)
        finally:
            self._runners.discard(runner)

    async def run_once(
        self,
        *subscriptions: AsyncSubscription[E],
        lease: float = DEFAULT_LEASE,
        hooks: RunnerHooks | None = None,
        raise_errors: bool = True,
    ) -> int:
        """Handle what there is to handle now, and return how many messages that were: for tests.

        The first error of a handler is raised, after it was recorded as `run` does.

        Raises:
            InvalidArgumentError: the store runs on Django's connections, and a block of `atomic()`
                is open, as in each `TestCase`: only what is committed is handled.
        """
        opening = AsyncOpening(self._database.source)
        return await self._runner(opening, subscriptions, lease, hooks).run_once(raise_errors)

    def stop(self) -> int:
        """End every `run` of this store that has begun, as SIGTERM does; from any thread or task.

        Returns how many those are. A `run` that another thread or task is about to call is not
        among them: where it returns 0 too early, call it again.
        """
        runners = list(self._runners)
        for runner in runners:
            runner.stop()
        return len(runners)

    def transaction(self) -> AbstractAsyncContextManager[PoolConnection]:
        """Give a connection in a transaction, to pass as `conn=`: several writes, all or nothing.

        Committed at the end of the block, rolled back if it raises.

        Raises:
            TransactionFailedError: the block ended normally, but an error of the database was
                caught inside it, or it ran COMMIT or ROLLBACK.
        """
        return self._database.transaction()

    async def aclose(self) -> None:
        """Close the connections that the store has opened; a pool that was given stays open.

        With asyncio call it before the event loop ends, which closes a psycopg pool otherwise. Ends
        its followers and every `run`, and waits for these to finish their batches. Operations
        begun later open new connections.
        """
        for source in {self._database.source, self._reading.source}:
            source.closings += 1
        self.stop()
        if self._grouping is not None:
            await self._grouping.finish(_PATIENCE)
        self._waker.ring()
        self._reading_waker.ring()
        for runner in list(self._runners):
            await runner.ended.wait(_PATIENCE)
        if self._standby is not None:
            await self._standby.aclose()
        await self._waker.aclose()
        await self._database.source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _runner(
        self,
        opening: AsyncOpening,
        subscriptions: Sequence[AsyncSubscription[E]],
        lease: float,
        hooks: RunnerHooks | None,
        besides: Sequence[Beside] = (),
    ) -> AsyncRunner:
        if not subscriptions and not besides:
            raise InvalidArgumentError("pass what to run: run(store.subscription(…))")
        for each in subscriptions:
            if not isinstance(each, AsyncSubscription):
                raise wrong("run takes subscriptions, as store.subscription(…) makes them", each)
            each.refuse_to_run(self._database, self._codec.types)
        if len({each.name for each in subscriptions}) < len(subscriptions):
            raise InvalidArgumentError(
                "two subscriptions to run have the same name: make one, with all the handlers"
            )
        if self._database.source.ambient() is not None:
            refuse_to_run_in_a_block()
        return AsyncRunner(
            opening,
            self._waker,
            self._stored,
            subscriptions,
            lease=seconds("lease", lease),
            hooks=GuardedHooks(hooks),
            besides=besides,
        )
