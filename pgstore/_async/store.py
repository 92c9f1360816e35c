"""The message store."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType, UnionType
from typing import Generic, Self, overload
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pgstore._async.database import AsyncDatabase, Pool, PoolConnection
from pgstore._codec import Codec, DecodeHook, Hook, RawCodec, TypedCodec, message_id_of
from pgstore._ids import new_message_id
from pgstore._messages import E, MessagePosition, RawMessage, StoredMessage
from pgstore.errors import InvalidArgumentError, MessageNotFound

_FIRST_PAGE = 100
_PAGE = 1000

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

        Raises:
            InvalidArgumentError: the name cannot be a schema's.
            TypeError, ValueError: the message types cannot be used.
        """
        self._database = AsyncDatabase(connection, name, create)
        self._codec: Codec[E] = TypedCodec(messages, enc_hook, dec_hook)

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

    def transaction(self) -> AbstractAsyncContextManager[PoolConnection]:
        """Give a connection in a transaction, to pass as `conn=`: several writes, all or nothing.

        Committed at the end of the block, rolled back if it raises.
        """
        return self._database.transaction()

    async def aclose(self) -> None:
        """Close the connections that the store has opened; a pool that was given stays open."""
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

    def _stored(self, row: TupleRow) -> StoredMessage[E]:
        message_id, stream, version, position, type_name, data, metadata, added_at = row
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
