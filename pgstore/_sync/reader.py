# Generated from pgstore/_async/reader.py by `python tools/unasync.py`.

"""Reading messages: of a stream, by id, and across streams."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import Generic
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from pgstore._core import statements as s
from pgstore._core.arguments import (
    count,
    name_of,
    number,
    seconds,
    several,
    uuid_text,
    whole,
)
from pgstore._core.checking import UnreadableMessage, unreadable_lines, unreadable_rows
from pgstore._core.codec import Codec
from pgstore._core.filters import Filter, categories_of, names
from pgstore._core.messages import E, MessagePosition, StoredMessage
from pgstore._core.metadata import Metadata, metadata_text
from pgstore._core.upcasters import SkippedMessage
from pgstore._sync.cursor import Parameters
from pgstore._sync.database import Database
from pgstore._sync.follower import Follower, Page
from pgstore._sync.lending import Borrower
from pgstore._sync.opening import Opening
from pgstore._sync.waker import Waker
from pgstore.errors import MessageNotFoundError

_FIRST_PAGE = 100
_PAGE = 1000
# The highest version there can be.
_LAST = 2**63 - 1

# Columns of messages, those that read_page has besides, and the one that only read_matching has.
_VERSION, _POSITION, _REACHED, _LOOKED, _MORE = 2, 3, 8, 9, 10


class Reader(Generic[E]):
    """The reading half of a store; see `MessageStore`."""

    def __init__(self, database: Database, codec: Codec[E], waker: Waker) -> None:
        self._database = database
        self._codec = codec
        self._waker = waker

    def read(
        self,
        stream: str,
        *,
        from_version: int | None = None,
        to_version: int | None = None,
        max_count: int | None = None,
        backward: bool = False,
        conn: Connection[object] | None = None,
    ) -> Iterator[StoredMessage[E]]:
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
        page = _FIRST_PAGE
        while max_count is None or max_count > 0:
            size = page if max_count is None else min(page, max_count)
            start = number("from_version", from_version)
            rows = self._database.rows(
                s.READ_STREAM,
                (stream, start, str(size), "true" if backward else "false"),
                conn,
            )
            skipped = 0
            for row in rows:
                if to_version is not None and (row[_VERSION] - to_version) * step > 0:
                    return
                try:
                    stored = self._stored(row)
                except SkippedMessage:
                    skipped += 1
                    continue
                yield stored
            if len(rows) < size:
                return
            from_version = rows[-1][_VERSION] + step
            max_count = None if max_count is None else max_count - size + skipped
            page = _PAGE

    def last(
        self, stream: str, *, type: str | None = None, conn: Connection[object] | None = None
    ) -> StoredMessage[E] | None:
        """The stream's last message, or its last one of the type with this name; None if none."""
        if type is not None:
            name_of("type", type)
        rows = self._database.rows(s.LAST_MESSAGE, (name_of("stream", stream), type), conn)
        while rows:
            for row in rows:
                if type is None or row[4] == type:
                    with suppress(SkippedMessage):
                        return self._stored(row)
            before = rows[-1][2] - 1
            parameters = (stream, str(before), str(_FIRST_PAGE), "true")
            rows = self._database.rows(s.READ_STREAM, parameters, conn) if before else []
        return None

    def get(self, message_id: UUID, *, conn: Connection[object] | None = None) -> StoredMessage[E]:
        """The message with this id.

        Raises:
            MessageNotFoundError: there is none.
        """
        found = self.get_many([message_id], conn=conn)
        if not found:
            raise MessageNotFoundError(message_id)
        return next(iter(found.values()))

    def get_many(
        self, message_ids: Iterable[UUID], *, conn: Connection[object] | None = None
    ) -> dict[UUID, StoredMessage[E]]:
        """The messages with these ids, in that order; ids that do not exist are left out."""
        ids = several("message_ids", message_ids) or ()
        rows = self._database.rows(
            s.GET_MESSAGES,
            ("\n".join([uuid_text("message_id", each) for each in ids]),),
            conn,
        )
        found = {}
        for row in rows:
            with suppress(SkippedMessage):
                found[row[0]] = self._stored(row)
        return found

    def stream_version(self, stream: str, *, conn: Connection[object] | None = None) -> int:
        """The version of the stream's last message; 0 if the stream is empty."""
        ((version,),) = self._database.rows(s.STREAM_VERSION, (name_of("stream", stream),), conn)
        return int(version)

    def positions(
        self,
        stream: str,
        *,
        from_version: int | None = None,
        to_version: int | None = None,
        conn: Connection[object] | None = None,
    ) -> list[MessagePosition]:
        """Where the messages of a stream are, from one version to another, both inclusive.

        As of each message of a `write_many`, which returns the last one's. Reads no payloads.
        """
        first = 1 if from_version is None else whole("from_version", from_version)
        last = _LAST if to_version is None else whole("to_version", to_version)
        rows = self._database.rows(
            s.READ_POSITIONS,
            (name_of("stream", stream), str(first), str(min(max(last - first + 1, 0), _LAST))),
            conn,
        )
        # If the first ones were deleted, the server counts from those that are left.
        return [MessagePosition(stream, *row) for row in rows if row[0] <= last]

    def safe_position(self) -> int:
        """The global position of the last message with nothing in flight before it; 0 if none."""
        ((position,),) = self._database.rows(s.SAFE_POSITION, ())
        return int(position)

    def read_all(
        self,
        *,
        after_position: int = 0,
        up_to_position: int | None = None,
        max_count: int | None = None,
        types: Iterable[str | type] | None = None,
        category: str | None = None,
        categories: Iterable[str] | None = None,
        stream_pattern: str | None = None,
        metadata: Metadata | None = None,
        partition: int | None = None,
        partitions: int | None = None,
        partition_by: str = "stream",
        conn: Connection[object] | None = None,
    ) -> Iterator[StoredMessage[E]]:
        """Iterate over the messages of all streams in global order, up to the safe position.

        A reader that passes the last `global_position` it received as `after_position` sees every
        message exactly once. Lazy, as `read`.

        Args:
            after_position: where to begin, exclusive.
            up_to_position: where to end, inclusive, if the safe position is as far.
            max_count: the most messages to read.
            types: only these types, by name or class.
            category, categories: only streams of this category, or of these.
            stream_pattern: only streams whose name is LIKE this.
            metadata: only messages whose metadata contains this object, as jsonb's `@>`. The server
                looks at some ten thousand messages in a statement.
            partition, partitions: only one partition: its number, from 0, and how many there are.
            partition_by: the value whose hash is a message's partition: "stream", "cardinal_id"
                (the part of the stream's id before the first "+"), or "metadata:<key>".
            conn: read on this connection, which must be under READ COMMITTED.

        Raises:
            ReadIsolationError: the connection is under another isolation level.
            PositionBeyondEndError: `after_position` is beyond the last position of the store.
        """
        if max_count is not None:
            max_count = count("max_count", max_count)
        chosen = self._filter(
            types,
            categories_of(category, categories),
            stream_pattern,
            partition,
            partitions,
            partition_by,
            metadata,
        )
        page = _FIRST_PAGE
        while max_count is None or max_count > 0:
            size = page if max_count is None else min(page, max_count)
            rows, after_position, _, more = self._page(
                partial(self._database.rows, conn=conn),
                after_position,
                size,
                chosen,
                up_to_position,
            )
            skipped = 0
            for row in rows:
                try:
                    stored = self._stored(row)
                except SkippedMessage:
                    skipped += 1
                    continue
                yield stored
            if len(rows) < size and not more:
                return
            max_count = None if max_count is None else max_count - len(rows) + skipped
            page = _PAGE

    def read_category(
        self,
        category: str,
        *,
        after_position: int = 0,
        up_to_position: int | None = None,
        max_count: int | None = None,
        types: Iterable[str | type] | None = None,
        stream_pattern: str | None = None,
        metadata: Metadata | None = None,
        partition: int | None = None,
        partitions: int | None = None,
        partition_by: str = "stream",
        conn: Connection[object] | None = None,
    ) -> Iterator[StoredMessage[E]]:
        """Iterate over the messages of a category's streams in global order: see `read_all`."""
        return self.read_all(
            after_position=after_position,
            up_to_position=up_to_position,
            max_count=max_count,
            types=types,
            category=category,
            stream_pattern=stream_pattern,
            metadata=metadata,
            partition=partition,
            partitions=partitions,
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
        metadata: Metadata | None = None,
        partition: int | None = None,
        partitions: int | None = None,
        partition_by: str = "stream",
        timeout: float | None = None,
    ) -> Follower[E]:
        """Iterate over messages in global order, those there are and then those to come, for ever.

        For new messages only, begin after `safe_position()`. It ends when `timeout` seconds pass
        without a message, by its `stop()`, and when the store is closed. Filters as `read_all`.
        """
        chosen = self._filter(
            types,
            categories_of(category, categories),
            stream_pattern,
            partition,
            partitions,
            partition_by,
            metadata,
        )
        after_position = whole("after_position", after_position)
        if timeout is not None:
            timeout = seconds("timeout", timeout)
        opening = Opening(self._database.source)

        borrower = Borrower(self._waker.lending, opening)

        def fetch(position: int) -> Page:
            return self._page(borrower.rows, position, _PAGE, chosen)

        return Follower(
            fetch, self._stored, self._waker, opening, borrower, after_position, timeout
        )

    def read_correlated(
        self,
        correlation_id: str,
        *,
        max_count: int | None = None,
        conn: Connection[object] | None = None,
    ) -> Iterator[StoredMessage[E]]:
        """Iterate over the messages whose metadata has this `correlation_id`, in global order.

        By an index. Reads what is committed, on a standby too, and not only up to the safe
        position: to wait for more use `follow(metadata={"correlation_id": …})`.

        Raises:
            psycopg.errors.ObjectNotInPrerequisiteState: an upgrade of a large store has left the
                index to its owner; the hint says how to build it.
        """
        name_of("correlation_id", correlation_id)
        if max_count is not None:
            max_count = count("max_count", max_count)
        position, page = 0, _FIRST_PAGE
        while max_count is None or max_count > 0:
            size = page if max_count is None else min(page, max_count)
            parameters = (correlation_id, str(position), str(size))
            rows = self._database.rows(s.READ_CORRELATED, parameters, conn)
            skipped = 0
            for row in rows:
                try:
                    stored = self._stored(row)
                except SkippedMessage:
                    skipped += 1
                    continue
                yield stored
            if len(rows) < size:
                return
            position = rows[-1][_POSITION]
            max_count = None if max_count is None else max_count - size + skipped
            page = _PAGE

    def check_messages(
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
        rows = self._database.rows(s.LAST_OF_TYPES, (str(count("last", last, least=1)),))
        return unreadable_rows(self._codec, rows)

    def _filter(
        self,
        types: Iterable[str | type] | None,
        categories: Iterable[str] | None,
        stream_pattern: str | None,
        partition: int | None,
        partitions: int | None,
        partition_by: str,
        metadata: Metadata | None,
    ) -> Filter:
        return Filter(
            types=None if types is None else self._codec.names_of(several("types", types) or ()),
            categories=None if categories is None else names("categories", categories),
            stream_pattern=None
            if stream_pattern is None
            else name_of("stream_pattern", stream_pattern),
            partition=partition,
            partitions=partitions,
            partition_by=name_of("partition_by", partition_by),
            metadata=None if metadata is None else metadata_text(metadata),
        )

    def _page(
        self,
        run: Callable[[str, Parameters], list[TupleRow]],
        after_position: int,
        size: int,
        chosen: Filter,
        up_to_position: int | None = None,
    ) -> Page:
        """Fetch messages, the position to continue after, and how far the page has looked."""
        parameters = (
            number("after_position", after_position),
            str(size),
            *chosen.parameters(),
            number("up_to_position", up_to_position),
        )
        if chosen.metadata is None:
            rows = run(s.READ_PAGE, parameters)
        else:
            rows = run(s.READ_MATCHING, (chosen.metadata, *parameters))
        if rows[-1][0] is None:
            last = rows.pop()
            return rows, last[_REACHED], last[_LOOKED], last[_MORE:] == (True,)
        return rows, rows[-1][_POSITION], rows[-1][_POSITION], False

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
        )
