"""The message store."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType, UnionType
from typing import Generic, Literal, Self, overload
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pgstore._async.database import AsyncDatabase, Pool, PoolConnection
from pgstore._async.follower import AsyncFollower
from pgstore._async.runner import AsyncRunner
from pgstore._async.subscription import AsyncSubscription, SubscriptionOptions
from pgstore._async.waker import AsyncWaker, WakeUp
from pgstore._codec import Codec, DecodeHook, Hook, RawCodec, TypedCodec, message_id_of
from pgstore._filters import Filter, categories_of, several
from pgstore._ids import new_message_id
from pgstore._messages import E, MessagePosition, RawMessage, StoredMessage
from pgstore._subscriptions import RunnerHooks
from pgstore.errors import InvalidArgumentError, MessageNotFound

_FIRST_PAGE = 100
_PAGE = 1000

# Longer than this, `close` does not wait for handlers.
_PATIENCE = 30.0

# Columns of read_page.
_POSITION, _REACHED = 3, 8

Metadata = Mapping[str, object]
_encode_json = msgspec.json.Encoder().encode
_decode_metadata = msgspec.json.Decoder(dict[str, object]).decode


class AsyncMessageStore(Generic[E]):
    """Write and read messages of the types `E`, asynchronously."""

    @overload
    def __init__(
        self,
        connection: str | Pool | None = None,
        *,
        messages: type[E] | Mapping[str, type[E]],
        name: str = "pgstore",
        create: bool = True,
        enc_hook: Hook | None = None,
        dec_hook: DecodeHook | None = None,
        wakeup: WakeUp = "listen",
    ) -> None: ...

    @overload
    def __init__(
        self,
        connection: str | Pool | None = None,
        *,
        messages: UnionType,
        name: str = "pgstore",
        create: bool = True,
        enc_hook: Hook | None = None,
        dec_hook: DecodeHook | None = None,
        wakeup: WakeUp = "listen",
    ) -> None: ...

    def __init__(
        self,
        connection: str | Pool | None = None,
        *,
        messages: object,
        name: str = "pgstore",
        create: bool = True,
        enc_hook: Hook | None = None,
        dec_hook: DecodeHook | None = None,
        wakeup: WakeUp = "listen",
    ) -> None:
        """Make a store; it connects when it is first used.

        Args:
            connection: a libpq connection string, a psycopg pool (which stays the caller's to open
                and close), or None for libpq's environment variables.
            messages: the message types: a class, a union of classes, or a mapping of names to
                classes. A class's first name is written, all its names are read. Classes are
                msgspec Structs, dataclasses, attrs classes, pydantic models, and what the hooks
                make of others.
            name: the schema that holds the store, 1 to 63 bytes, quoted as it is.
            create: install or upgrade the store on first use. Otherwise a store that is missing or
                older than this package is an error.
            enc_hook, dec_hook: msgspec's hooks for types that it does not know.
            wakeup: how to learn of new messages: "listen" on a connection of its own, or "poll",
                once a second, where a pooler in transaction mode allows no such connection.

        Raises:
            InvalidArgumentError: the name cannot be a schema's.
            TypeError, ValueError: the message types cannot be used.
        """
        self._database = AsyncDatabase(connection, name, create)
        self._codec: Codec[E] = TypedCodec(messages, enc_hook, dec_hook)
        self._waker = AsyncWaker(self._database.statements, self._database.connection, wakeup)
        self._runners: set[AsyncRunner] = set()

    @property
    def name(self) -> str:
        """The store's name: that of its schema."""
        return self._database.name

    @property
    def raw(self) -> "AsyncMessageStore[RawMessage]":
        """The same store with messages of any type, undecoded, on the same connections."""
        other: AsyncMessageStore[RawMessage] = object.__new__(AsyncMessageStore)
        other._database = self._database
        other._codec = RawCodec()
        other._waker = self._waker
        other._runners = self._runners
        return other

    async def write(
        self,
        stream: str,
        message: E,
        *,
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        conn: AsyncConnection[object] | None = None,
    ) -> MessagePosition:
        """Append a message to a stream, in one round trip.

        The message's id is what its `get_message_id()` returns, if it has one; otherwise a new
        UUIDv7. Writing a message again with the same id, to the same place, stores nothing and
        returns the first answer.

        Args:
            expected_version: None writes in any case, 0 only if the stream is empty, n only if it
                is at version n.
            metadata: a JSON object to keep beside the message.
            conn: join the caller's transaction on this connection; nothing is committed here.

        Raises:
            OptimisticConcurrencyError: the stream is at another version.
            MessageIdInUseError: another message has this id.
            InvalidArgumentError: an argument is not what it should be.
        """
        type_name, data = self._codec.encode(message)
        ((version, position),) = await self._database.rows(
            self._database.statements.write,
            (
                stream,
                type_name,
                data.decode(),
                None if metadata is None else _encode_json(metadata).decode(),
                None if expected_version is None else str(expected_version),
                str(message_id_of(message) or new_message_id()),
            ),
            conn,
        )
        return MessagePosition(stream, version, position)

    async def write_many(
        self,
        stream: str,
        messages: Iterable[E],
        *,
        expected_version: int | None = None,
        metadata: Metadata | Sequence[Metadata | None] | None = None,
        conn: AsyncConnection[object] | None = None,
    ) -> MessagePosition:
        """Append several messages to a stream, all or nothing, in one round trip.

        They get consecutive versions; `expected_version` is that of the stream before the first.
        `metadata` is one object for all, or a sequence with one or None for each. Returns the last
        message's position. Otherwise as `write`.
        """
        batch = _Batch(self._codec, list(messages), metadata)
        ((version, position),) = await self._database.rows(
            self._database.statements.write_many,
            (
                stream,
                *batch.lines,
                None if expected_version is None else str(expected_version),
                batch.message_ids,
            ),
            conn,
        )
        return MessagePosition(stream, version, position)

    async def synchronize(
        self,
        stream: str,
        messages: Sequence[E],
        *,
        expected_version: int,
        metadata: Metadata | None = None,
        conn: AsyncConnection[object] | None = None,
    ) -> MessagePosition:
        """Make a stream hold exactly these messages, of which it has the first ones already.

        For an aggregate that keeps all its messages: the first `expected_version` ones must be
        those stored, by their ids, and the rest is written. Every message needs a
        `get_message_id()`. Returns the last message's position; 0 and 0 if there is none.

        Raises:
            MessageIdMismatchError: the stored messages have other ids.
            OptimisticConcurrencyError: the stream is not at `expected_version`; but if the rest is
                what it already holds after that, the first answer is returned again.
        """
        if not 0 <= expected_version <= len(messages):
            raise InvalidArgumentError(
                f"expected_version must be between 0 and the number of messages, {len(messages)}"
            )
        known_ids = []
        for message in messages:
            message_id = message_id_of(message)
            if message_id is None:
                raise InvalidArgumentError(
                    f"synchronize needs messages with get_message_id(): {type(message).__name__}"
                )
            known_ids.append(str(message_id))
        batch = _Batch(self._codec, messages[expected_version:], metadata)
        ((version, position),) = await self._database.rows(
            self._database.statements.synchronize,
            (stream, "\n".join(known_ids[:expected_version]), *batch.lines, batch.message_ids),
            conn,
        )
        return MessagePosition(stream, version, position)

    async def read(
        self,
        stream: str,
        *,
        from_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
        conn: AsyncConnection[object] | None = None,
    ) -> AsyncIterator[StoredMessage[E]]:
        """Iterate over a stream's messages in the order of their versions.

        Lazy: reads page by page, whatever the stream's length, and holds no transaction or
        connection open between pages.

        Args:
            from_version: the first version to read, inclusive; without it the first one, or the
                last one when backward.
            limit: the most messages to read.
            backward: from high versions to low ones.
            conn: read on this connection, within the caller's transaction.

        Raises:
            UnknownMessageTypeError, MessageDecodeError: after the messages before have been read.
        """
        if limit is not None and limit < 0:
            raise InvalidArgumentError("limit must be 0 or more")
        page = _FIRST_PAGE
        while limit is None or limit > 0:
            size = page if limit is None else min(page, limit)
            rows = await self._database.rows(
                self._database.statements.read,
                (
                    stream,
                    None if from_version is None else str(from_version),
                    str(size),
                    "true" if backward else "false",
                ),
                conn,
            )
            for row in rows:
                yield self._stored(row)
            if len(rows) < size:
                return
            from_version = rows[-1][2] + (-1 if backward else 1)
            limit = None if limit is None else limit - size
            page = _PAGE

    async def last(
        self, stream: str, *, type: str | None = None, conn: AsyncConnection[object] | None = None
    ) -> StoredMessage[E] | None:
        """The stream's last message, or its last one of the type with this name; None if none."""
        rows = await self._database.rows(self._database.statements.last, (stream, type), conn)
        return self._stored(rows[0]) if rows else None

    async def get(
        self, message_id: UUID, *, conn: AsyncConnection[object] | None = None
    ) -> StoredMessage[E]:
        """The message with this id.

        Raises:
            MessageNotFound: there is none.
        """
        found = await self.get_many([message_id], conn=conn)
        if not found:
            raise MessageNotFound(message_id)
        return next(iter(found.values()))

    async def get_many(
        self, message_ids: Iterable[UUID], *, conn: AsyncConnection[object] | None = None
    ) -> dict[UUID, StoredMessage[E]]:
        """The messages with these ids, in that order; ids that do not exist are left out."""
        rows = await self._database.rows(
            self._database.statements.get_many, ("\n".join(map(str, message_ids)),), conn
        )
        return {row[0]: self._stored(row) for row in rows}

    async def stream_version(
        self, stream: str, *, conn: AsyncConnection[object] | None = None
    ) -> int:
        """The version of the stream's last message; 0 if the stream is empty."""
        ((version,),) = await self._database.rows(
            self._database.statements.stream_version, (stream,), conn
        )
        return int(version)

    async def safe_position(self) -> int:
        """The global position up to which nothing is in flight; 0 while the store is empty."""
        ((position, _),) = await self._database.rows(self._database.statements.horizon, ())
        return int(position)

    async def read_all(
        self,
        *,
        after_position: int = 0,
        limit: int | None = None,
        types: Iterable[str | type] | None = None,
        categories: Iterable[str] | None = None,
        stream_pattern: str | None = None,
        partition: tuple[int, int] | None = None,
        partition_by: str = "stream",
        conn: AsyncConnection[object] | None = None,
    ) -> AsyncIterator[StoredMessage[E]]:
        """Iterate over the messages of all streams in global order, up to the safe position.

        Who goes on after the last `global_position` it got sees every message exactly once. Lazy,
        as `read`.

        Args:
            after_position: where to begin, exclusive.
            limit: the most messages to read.
            types: only these types, by name or class.
            categories: only streams of these categories.
            stream_pattern: only streams whose name is LIKE this.
            partition: only one share: its number, from 0, and how many there are.
            partition_by: what decides the share: "stream", "cardinal_id" (the part of the stream's
                id before the first "+"), or "metadata:<key>".
            conn: read on this connection, which must be under READ COMMITTED.

        Raises:
            ReadIsolationError: the connection is under another isolation level.
        """
        if limit is not None and limit < 0:
            raise InvalidArgumentError("limit must be 0 or more")
        chosen = self._filter(types, categories, stream_pattern, partition, partition_by)
        page = _FIRST_PAGE
        while limit is None or limit > 0:
            size = page if limit is None else min(page, limit)
            rows, after_position = await self._page(after_position, size, chosen, conn)
            for row in rows:
                yield self._stored(row)
            if len(rows) < size:
                return
            limit = None if limit is None else limit - size
            page = _PAGE

    def read_category(
        self,
        category: str,
        *,
        after_position: int = 0,
        limit: int | None = None,
        types: Iterable[str | type] | None = None,
        stream_pattern: str | None = None,
        partition: tuple[int, int] | None = None,
        partition_by: str = "stream",
        conn: AsyncConnection[object] | None = None,
    ) -> AsyncIterator[StoredMessage[E]]:
        """Iterate over the messages of a category's streams in global order: see `read_all`."""
        return self.read_all(
            after_position=after_position,
            limit=limit,
            types=types,
            categories=[category],
            stream_pattern=stream_pattern,
            partition=partition,
            partition_by=partition_by,
            conn=conn,
        )

    def follow(
        self,
        *,
        after_position: int = 0,
        types: Iterable[str | type] | None = None,
        category: str | None = None,
        categories: Iterable[str] | None = None,
        stream_pattern: str | None = None,
        partition: tuple[int, int] | None = None,
        partition_by: str = "stream",
        timeout: float | None = None,
    ) -> AsyncFollower[E]:
        """Iterate over messages in global order, those there are and then those to come, for ever.

        For what is new only, begin after `safe_position()`. It ends when `timeout` seconds pass
        without a message, by its `stop()`, and when the store is closed. Filters as `read_all`.
        """
        chosen = self._filter(
            types, categories_of(category, categories), stream_pattern, partition, partition_by
        )

        async def fetch(position: int) -> tuple[list[TupleRow], int]:
            return await self._page(position, _PAGE, chosen, None)

        return AsyncFollower(fetch, self._stored, self._waker, after_position, timeout)

    def subscription(
        self,
        name: str,
        *,
        types: Iterable[str | type] | None = None,
        category: str | None = None,
        categories: Iterable[str] | None = None,
        stream_pattern: str | None = None,
        partitions: int = 1,
        partition_by: str = "stream",
        start: int | datetime | Literal["beginning", "end"] = "beginning",
        on_failure: Literal["stop", "park"] = "stop",
        max_attempts: int = 5,
        retry_delay: float = 1.0,
        unknown_types: Literal["refuse", "skip"] = "refuse",
        batch_size: int = 100,
        acknowledge: Literal["batch", "message"] = "batch",
    ) -> AsyncSubscription[E]:
        """Declare a named, durable reader; it is made, or found again, when it is first used.

        Args:
            name: 1 to 255 bytes.
            types, category, categories, stream_pattern: what it reads, as `read_all`.
            partitions: how many shares can be worked on at once; each is handled in order.
            partition_by: what decides the share, as `read_all`.
            start: where a new one begins: "beginning", "end", after a global position, or with the
                messages added from a time on (aware of its zone).
            on_failure: after the last attempt "stop" the partition, or "park" the message.
            max_attempts: how often a message is tried.
            retry_delay: seconds before the second attempt, doubled each time, an hour at most.
            unknown_types: "refuse" a message of a type this store does not know, as a failure, or
                "skip" it.
            batch_size: the most messages to fetch at once.
            acknowledge: after each "batch" or each "message".
        """
        options = SubscriptionOptions(
            filter=self._filter(
                types, categories_of(category, categories), stream_pattern, None, partition_by
            ),
            partitions=partitions,
            start=start,
            on_failure=on_failure,
            max_attempts=max_attempts,
            retry_delay=retry_delay,
            unknown_types=unknown_types,
            batch_size=batch_size,
            acknowledge=acknowledge,
        )
        made: AsyncSubscription[E] = AsyncSubscription(
            name, self._database, self._codec.types, options
        )
        made.store = self
        return made

    async def run(
        self,
        *subscriptions: AsyncSubscription[E],
        workers: int = 1,
        lease: float = 30.0,
        hooks: RunnerHooks | None = None,
    ) -> None:
        """Handle the subscriptions' messages until SIGTERM or SIGINT, or `stop()`.

        Then finishes the batch in hand, gives its leases back, and returns. Several processes, here
        and elsewhere, share the partitions by running the same. Reconnects by itself.

        Args:
            workers: how many partitions to work on at once.
            lease: seconds after which others take over the partitions of a process that died.
            hooks: gets what happens, for metrics.
        """
        if workers < 1:
            raise InvalidArgumentError("workers must be 1 or more")
        runner = self._runner(subscriptions, lease, hooks)
        self._runners.add(runner)
        try:
            await runner.run(workers)
        finally:
            self._runners.discard(runner)

    async def run_once(
        self,
        *subscriptions: AsyncSubscription[E],
        lease: float = 30.0,
        hooks: RunnerHooks | None = None,
        raise_errors: bool = True,
    ) -> int:
        """Handle what there is to handle now, and return how many messages that were: for tests.

        The first error of a handler is raised, after it was recorded as `run` does.
        """
        return await self._runner(subscriptions, lease, hooks).run_once(raise_errors)

    def stop(self) -> None:
        """End every `run` of this store, as SIGTERM does; from any thread or task."""
        for runner in list(self._runners):
            runner.stop()

    def transaction(self) -> AbstractAsyncContextManager[PoolConnection]:
        """Give a connection in a transaction, to pass as `conn=`: several writes, all or nothing.

        Committed at the end of the block, rolled back if it raises.
        """
        return self._database.transaction()

    async def aclose(self) -> None:
        """Close the connections that the store has opened; a pool that was given stays open.

        Ends its followers and every `run`, and waits for these to finish their batches in hand.
        """
        self.stop()
        for runner in list(self._runners):
            await runner.wait_until_ended(_PATIENCE)
        await self._waker.aclose()
        await self._database.aclose()

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
        subscriptions: Sequence[AsyncSubscription[E]],
        lease: float,
        hooks: RunnerHooks | None,
    ) -> AsyncRunner:
        if not subscriptions:
            raise InvalidArgumentError("there is no subscription to run")
        if len({each.name for each in subscriptions}) < len(subscriptions):
            raise InvalidArgumentError("two subscriptions to run have the same name")
        return AsyncRunner(
            self._database,
            self._waker,
            self._stored,
            subscriptions,
            lease=lease,
            hooks=hooks or RunnerHooks(),
        )

    def _filter(
        self,
        types: Iterable[str | type] | None,
        categories: Iterable[str] | None,
        stream_pattern: str | None,
        partition: tuple[int, int] | None,
        partition_by: str,
    ) -> Filter:
        return Filter(
            types=None if types is None else self._codec.names_of(several("types", types) or ()),
            categories=several("categories", categories),
            stream_pattern=stream_pattern,
            partition=None if partition is None else partition[0],
            partitions=None if partition is None else partition[1],
            partition_by=partition_by,
        )

    async def _page(
        self,
        after_position: int,
        size: int,
        chosen: Filter,
        conn: AsyncConnection[object] | None,
    ) -> tuple[list[TupleRow], int]:
        """A page of messages, and the position up to which it has looked."""
        rows = await self._database.rows(
            self._database.statements.read_page,
            (str(after_position), str(size), *chosen.parameters()),
            conn,
        )
        if rows[-1][0] is None:
            reached = rows.pop()[_REACHED]
            return rows, reached
        return rows, rows[-1][_POSITION]

    def _stored(self, row: TupleRow) -> StoredMessage[E]:
        message_id, stream, version, position, type_name, data, metadata, added_at, *_ = row
        return StoredMessage(
            message_id,
            stream,
            version,
            self._codec.decode(type_name, data, stream, version),
            position,
            added_at,
            None if metadata is None else _decode_metadata(metadata),
        )


class _Batch(Generic[E]):
    """The parameters of a batch: one text each, with a line for each message."""

    def __init__(
        self,
        codec: Codec[E],
        messages: Sequence[E],
        metadata: Metadata | Sequence[Metadata | None] | None,
    ) -> None:
        encoded = [codec.encode(message) for message in messages]
        types = "\n".join([name for name, _ in encoded])
        data = b"\n".join([data for _, data in encoded]).decode()
        self.lines = (types, data, self._metadata_lines(metadata, len(messages)))
        self.message_ids = "\n".join(
            [(message_id_of(message) or new_message_id()).hex for message in messages]
        )

    @staticmethod
    def _metadata_lines(
        metadata: Metadata | Sequence[Metadata | None] | None, count: int
    ) -> str | None:
        if metadata is None:
            return None
        if isinstance(metadata, Mapping):
            return "\n".join([_encode_json(metadata).decode()] * count)
        if len(metadata) != count:
            raise InvalidArgumentError(
                f"metadata has {len(metadata)} elements for {count} messages"
            )
        if not any(each is not None for each in metadata):
            return None  # one empty line would be no line
        return "\n".join(["" if each is None else _encode_json(each).decode() for each in metadata])
