"""Reading messages across streams."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

from psycopg.rows import TupleRow
from psycopg_pool import PoolClosed

from pgstore._async.cursor import Parameters
from pgstore._async.follower import AsyncFollower, Page
from pgstore._async.lending import AsyncBorrower
from pgstore._async.opening import AsyncOpening
from pgstore._async.reader import PAGE, AsyncReader, Fetched
from pgstore._compat.joining import AsyncConn
from pgstore._core import statements as s
from pgstore._core.arguments import count, name_of, number, seconds, several, whole
from pgstore._core.deadlines import deadline, left
from pgstore._core.filters import Filter, categories_of
from pgstore._core.messages import POSITION, E, StoredMessage
from pgstore._core.metadata import Metadata, object_text
from pgstore._core.outages import PACE
from pgstore._core.parameters import array
from pgstore._core.tags import Query, TaggedMessages, items_of, named, query_text, texts
from pgstore._core.upcasters import SkippedMessage
from pgstore.errors import StandbyError, StoreNotInstalledError, StoreOutdatedError

# Columns that a page has besides those of messages; the last one only of `read_matching`.
_REACHED, _LOOKED, _MORE = 9, 10, 11
# The column that read_tagged has besides those of messages, in its last row.
_DECIDED_UPON = 9


class AsyncGlobalReader(AsyncReader[E]):
    """The part of a store that reads across streams; see `AsyncMessageStore`."""

    async def safe_position(self) -> int:
        """The global position of the last message with nothing in flight before it; 0 if none."""
        ((position,),) = await self._database.rows(s.SAFE_POSITION, ())
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
        tags: Iterable[str] | None = None,
        partition: int | None = None,
        partitions: int | None = None,
        partition_by: str = "stream",
        conn: AsyncConn | None = None,
    ) -> AsyncIterator[StoredMessage[E]]:
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
            tags: only messages that have all of these, 1 to 32, by the index of the rarest one.
            partition, partitions: only one partition: its number, from 0, and how many there are.
            partition_by: the value whose hash is a message's partition: "stream", "cardinal_id"
                (the part of the stream's id before the first "+"), or "metadata:<key>".
            conn: read on this connection, which must be under READ COMMITTED.

        Raises:
            ReadIsolationError: the connection is under another isolation level.
            PositionBeyondEndError: `after_position` is beyond the last position of the store.
            StandbyBehindError: a standby has not got to `after_position` in 5 seconds.
            StandbyError: it is read from a standby, and no horizon was published.
        """
        if max_count is not None:
            max_count = count("max_count", max_count)
        categories = categories_of(category, categories)
        chosen = self._filter(
            types, categories, stream_pattern, partition, partitions, partition_by, metadata, tags
        )

        async def fetch(after: int, size: int) -> Fetched[int]:
            run = partial(self._read_rows, conn=conn)
            rows, reached, _, more = await self._page(run, after, size, chosen, up_to_position)
            return rows, reached if more or len(rows) == size else None

        return self._messages(fetch, after_position, max_count)

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
        tags: Iterable[str] | None = None,
        partition: int | None = None,
        partitions: int | None = None,
        partition_by: str = "stream",
        conn: AsyncConn | None = None,
    ) -> AsyncIterator[StoredMessage[E]]:
        """Iterate over the messages of a category's streams in global order: see `read_all`."""
        return self.read_all(
            after_position=after_position,
            up_to_position=up_to_position,
            max_count=max_count,
            types=types,
            category=category,
            stream_pattern=stream_pattern,
            metadata=metadata,
            tags=tags,
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
        tags: Iterable[str] | None = None,
        partition: int | None = None,
        partitions: int | None = None,
        partition_by: str = "stream",
        timeout: float | None = None,
    ) -> AsyncFollower[E]:
        """Iterate over messages in global order, those there are and then those to come, for ever.

        For new messages only, begin after `safe_position()`. It ends when `timeout` seconds pass
        without a message, by its `stop()`, and when the store is closed. Filters as `read_all`.
        """
        categories = categories_of(category, categories)
        chosen = self._filter(
            types, categories, stream_pattern, partition, partitions, partition_by, metadata, tags
        )
        after_position = whole("after_position", after_position)
        if timeout is not None:
            timeout = seconds("timeout", timeout)
        waker = self._reading_waker
        opening = AsyncOpening(self._reading.source)
        borrower = AsyncBorrower(waker.lending, opening)

        async def fetch(position: int) -> Page:
            try:
                return await self._page(borrower.rows, position, PAGE, chosen)
            except (StoreNotInstalledError, StoreOutdatedError) as error:
                if error.on_standby:
                    await self._database.ready()  # the standby gets it from the primary
                raise

        return AsyncFollower(fetch, self._stored, waker, opening, borrower, after_position, timeout)

    async def wait_until_readable(self, position: int, *, timeout: float | None = 30.0) -> None:
        """Wait until `read_all` and `follow` read up to a global position: read your writes.

        With `read_conninfo` until the standby can be read up to there. Without it, until nothing is
        in flight before that position.

        Raises:
            TimeoutError: it cannot be read, after so many seconds.
            StandbyError: nothing was published meanwhile.
            psycopg_pool.PoolClosed: the store was closed meanwhile.
        """
        position = whole("position", position)
        if timeout is not None:
            timeout = seconds("timeout", timeout)
        until = deadline(timeout)
        waker = self._reading_waker
        ambient = self._database.source.ambient() is not None
        opening = AsyncOpening((self._database if ambient else self._reading).source)
        horizon = partial(opening.rows, s.HORIZON, ())
        while True:
            seen, remaining = waker.counter.value, left(until)
            if opening.ended:  # in this order: closing does it the other way round
                raise PoolClosed("the store was closed")
            try:
                ((safe, _),) = await self._once_there(horizon)
            except StandbyError:  # nothing was published yet
                if remaining == 0:
                    raise
                await waker.wait(seen, PACE if remaining is None else min(PACE, remaining))
                continue
            if safe >= position:
                return
            if remaining == 0:
                raise TimeoutError(
                    f"position {position} cannot be read in {timeout:g} s, but up to {safe}: a"
                    " writer is in flight before it, the standby is behind, or no program publishes"
                    " the horizon on its primary (pgstore publish)"
                )
            await waker.wait_beyond(safe, seen, remaining)

    def read_correlated(
        self,
        correlation_id: str,
        *,
        max_count: int | None = None,
        conn: AsyncConn | None = None,
    ) -> AsyncIterator[StoredMessage[E]]:
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

        async def fetch(after: int, size: int) -> Fetched[int]:
            parameters = (correlation_id, str(after), str(size))
            rows = await self._read_rows(s.READ_CORRELATED, parameters, conn)
            return rows, rows[-1][POSITION] if len(rows) == size else None

        return self._messages(fetch, 0, max_count)

    async def read_tagged(
        self,
        query: Query,
        *,
        after_position: int = 0,
        conn: AsyncConn | None = None,
    ) -> TaggedMessages[E]:
        """The messages that a query looks for, in global order, to decide upon.

        Reads what is committed, also above the safe position. All are in memory at once. Write with
        `unless=` what this returns, under the condition that no further one has come.

        Args:
            query: a `QueryItem`, or several, 100 at most.
            after_position: where to begin, exclusive.
            conn: read on this connection, which must be under READ COMMITTED.

        Raises:
            ReadIsolationError: the connection is under another isolation level.
            StandbyError: the server is a standby.
            PositionBeyondEndError: `after_position` is beyond the last position of the store.
            UnknownMessageTypeError, MessageDecodeError: one of the messages cannot be decoded.
        """
        items = named(items_of(query), self._codec)
        parameters = (query_text(items), str(whole("after_position", after_position)))
        *rows, last = await self._database.rows(s.READ_TAGGED, parameters, conn)
        messages = []
        for row in rows:
            with suppress(SkippedMessage):
                messages.append(self._stored(row))
        return TaggedMessages(items, last[_DECIDED_UPON], tuple(messages))

    def _filter(
        self,
        types: Iterable[str | type] | None,
        categories: tuple[str, ...] | None,
        stream_pattern: str | None,
        partition: int | None,
        partitions: int | None,
        partition_by: str,
        metadata: Metadata | None,
        tags: Iterable[str] | None,
    ) -> Filter:
        return Filter(
            types=None if types is None else self._codec.names_of(several("types", types) or ()),
            categories=categories,
            stream_pattern=None
            if stream_pattern is None
            else name_of("stream_pattern", stream_pattern),
            partition=partition,
            partitions=partitions,
            partition_by=name_of("partition_by", partition_by),
            metadata=None if metadata is None else object_text(metadata),
            tags=None if tags is None else texts("tags", tags),
        )

    async def _page(
        self,
        run: Callable[[str, Parameters], Awaitable[list[TupleRow]]],
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
        if chosen.metadata is None and chosen.tags is None:
            rows = await run(s.READ_PAGE, parameters)
        else:
            rows = await run(s.READ_MATCHING, (chosen.metadata, *parameters, array(chosen.tags)))
        if rows[-1][0] is None:
            last = rows.pop()
            return rows, last[_REACHED], last[_LOOKED], last[_MORE:] == (True,)
        return rows, rows[-1][POSITION], rows[-1][POSITION], False
