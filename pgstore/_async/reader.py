"""Reading messages: of a stream, and by id."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from psycopg.rows import TupleRow

from pgstore._async.cursor import Parameters
from pgstore._async.database import AsyncDatabase
from pgstore._async.standby import AsyncStandby, async_once_there
from pgstore._async.waker import AsyncWaker
from pgstore._compat.joining import AsyncConn
from pgstore._core import statements as s
from pgstore._core.arguments import count, name_of, number, several, uuid_text, whole
from pgstore._core.checking import UnreadableMessage, unreadable_lines, unreadable_rows
from pgstore._core.codec import Codec
from pgstore._core.messages import TYPE, VERSION, E, MessagePosition, StoredMessage
from pgstore._core.upcasters import SkippedMessage
from pgstore.errors import MessageNotFoundError

P = TypeVar("P")
T = TypeVar("T")

# Rows of messages, and the place where the next ones are; None if these are the last.
Fetched = tuple[list[TupleRow], P | None]

_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode

_FIRST_PAGE = 100
PAGE = 1000
# The highest version there can be.
_LAST = 2**63 - 1


class AsyncReader(Generic[E]):
    """The part of a store that reads streams; see `AsyncMessageStore`."""

    def __init__(self, database: AsyncDatabase, codec: Codec[E], waker: AsyncWaker) -> None:
        self._database = database
        self._codec = codec
        self._waker = waker
        self._standby: AsyncStandby | None = None  # for reads that may be stale

    def read(
        self,
        stream: str,
        *,
        from_version: int | None = None,
        to_version: int | None = None,
        max_count: int | None = None,
        backward: bool = False,
        conn: AsyncConn | None = None,
    ) -> AsyncIterator[StoredMessage[E]]:
        """Iterate over a stream's messages in the order of their versions.

        Lazy: reads page by page, whatever the stream's length, and holds no transaction or
        connection open between pages.

        Args:
            from_version: the first version to read, inclusive; without it the first one, or the
                last one when backward.
            to_version: the last version to read, inclusive; when backward the lowest one.
            max_count: the most messages to read.
            backward: from high versions to low ones.
            conn: read on this connection, within the caller's transaction.

        Raises:
            UnknownMessageTypeError, MessageDecodeError: after the messages before have been read.
        """
        name_of("stream", stream)
        if max_count is not None:
            max_count = count("max_count", max_count)
        step = -1 if backward else 1
        if to_version is not None:
            to_version = whole("to_version", to_version)
            if from_version is not None:  # fetch none beyond
                between = max((to_version - whole("from_version", from_version)) * step + 1, 0)
                max_count = between if max_count is None else min(max_count, between)

        async def fetch(start: int | None, size: int) -> Fetched[int | None]:
            rows = await self._read_rows(
                s.READ_STREAM,
                (stream, number("from_version", start), str(size), "true" if backward else "false"),
                conn,
            )
            wanted = rows
            if to_version is not None:
                wanted = [row for row in rows if (row[VERSION] - to_version) * step <= 0]
            return wanted, rows[-1][VERSION] + step if len(wanted) == size else None

        return self._messages(fetch, from_version, max_count)

    async def last(
        self, stream: str, *, type: str | None = None, conn: AsyncConn | None = None
    ) -> StoredMessage[E] | None:
        """The stream's last message, or its last one of the type with this name; None if none."""
        if type is not None:
            name_of("type", type)
        rows = await self._read_rows(s.LAST_MESSAGE, (name_of("stream", stream), type), conn)
        while rows:
            for row in rows:
                if type is None or row[TYPE] == type:
                    with suppress(SkippedMessage):
                        return self._stored(row)
            before = rows[-1][VERSION] - 1
            parameters = (stream, str(before), str(_FIRST_PAGE), "true")
            rows = await self._read_rows(s.READ_STREAM, parameters, conn) if before else []
        return None

    async def get(self, message_id: UUID, *, conn: AsyncConn | None = None) -> StoredMessage[E]:
        """The message with this id.

        Raises:
            MessageNotFoundError: there is none.
        """
        found = await self.get_many([message_id], conn=conn)
        if not found:
            raise MessageNotFoundError(message_id)
        return next(iter(found.values()))

    async def get_many(
        self, message_ids: Iterable[UUID], *, conn: AsyncConn | None = None
    ) -> dict[UUID, StoredMessage[E]]:
        """The messages with these ids, in that order; ids that do not exist are left out."""
        ids = several("message_ids", message_ids) or ()
        rows = await self._read_rows(
            s.GET_MESSAGES,
            ("\n".join([uuid_text("message_id", each) for each in ids]),),
            conn,
        )
        found = {}
        for row in rows:
            with suppress(SkippedMessage):
                found[row[0]] = self._stored(row)
        return found

    async def stream_version(self, stream: str, *, conn: AsyncConn | None = None) -> int:
        """The version of the stream's last message; 0 if the stream is empty."""
        ((version,),) = await self._database.rows(
            s.STREAM_VERSION, (name_of("stream", stream),), conn
        )
        return int(version)

    async def positions(
        self,
        stream: str,
        *,
        from_version: int | None = None,
        to_version: int | None = None,
        conn: AsyncConn | None = None,
    ) -> list[MessagePosition]:
        """Where the messages of a stream are, from one version to another, both inclusive.

        As of each message of a `write_many`, which returns the last one's. Reads no payloads.
        """
        first = 1 if from_version is None else whole("from_version", from_version)
        last = _LAST if to_version is None else whole("to_version", to_version)
        rows = await self._database.rows(
            s.READ_POSITIONS,
            (name_of("stream", stream), str(first), str(min(max(last - first + 1, 0), _LAST))),
            conn,
        )
        # If the first ones were deleted, the server counts from those that are left.
        return [MessagePosition(stream, *row) for row in rows if row[0] <= last]

    async def check_messages(
        self, against: str | PathLike[str] | None = None, *, last: int = 100
    ) -> list[UnreadableMessage]:
        """The stored messages that this object's message types and upcasters cannot read.

        Args:
            against: a file of messages, as `pgstore export` and `pgstore read --json` write it:
                none is read from the server. Without it the store's messages are checked.
            last: of each stored type the last so many messages. The server reads the types and
                positions of all messages to find them.
        """
        if against is not None:
            return unreadable_lines(self._codec, against)
        rows = await self._read_rows(s.LAST_OF_TYPES, (str(count("last", last, least=1)),))
        return unreadable_rows(self._codec, rows)

    @property
    def _reading(self) -> AsyncDatabase:
        """The database of reads that may be stale."""
        return self._database if self._standby is None else self._standby.database

    @property
    def _reading_waker(self) -> AsyncWaker:
        """The waker that tells such reads of new messages."""
        return self._waker if self._standby is None else self._standby.waker

    async def _read_rows(
        self, statement: str, parameters: Parameters, conn: AsyncConn | None = None
    ) -> list[TupleRow]:
        """Run a statement that may be stale; in a transaction on its connection."""
        if conn is None and self._standby is not None:
            conn = self._database.source.ambient()
        if conn is not None:
            return await self._database.rows(statement, parameters, conn)
        return await self._once_there(partial(self._reading.rows, statement, parameters))

    async def _once_there(self, read: Callable[[], Awaitable[T]]) -> T:
        return await async_once_there(read, None if self._standby is None else self._database.ready)

    async def _messages(
        self,
        fetch: Callable[[P, int], Awaitable[Fetched[P]]],
        place: P,
        max_count: int | None,
    ) -> AsyncIterator[StoredMessage[E]]:
        """Iterate over messages, fetched page by page from a place on.

        Messages that an upcaster leaves out do not count.
        """
        page = _FIRST_PAGE
        while max_count is None or max_count > 0:
            rows, following = await fetch(
                place, page if max_count is None else min(page, max_count)
            )
            for row in rows:
                try:
                    stored = self._stored(row)
                except SkippedMessage:
                    continue
                if max_count is not None:
                    max_count -= 1
                yield stored
            if following is None:
                return
            place, page = following, PAGE

    def _stored(self, row: TupleRow) -> StoredMessage[E]:
        # In the order of the fields; for speed, not by names.
        return StoredMessage(
            row[0],
            row[1],
            row[2],
            self._codec.decode(row[4], row[5], row[1], row[2]),
            row[3],
            row[7],
            None if row[6] is None else self._codec.decode_metadata(row[6], row[4], row[1], row[2]),
            () if row[8] is None else _decode_tags(row[8]),
        )
