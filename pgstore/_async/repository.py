"""Aggregates: objects that are made of a stream and write to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from pgstore._async.decider import AsyncDecider
from pgstore._async.writer import AsyncWriter
from pgstore._compat.joining import AsyncConn
from pgstore._core.arguments import name_of
from pgstore._core.messages import E, MessagePosition
from pgstore._core.metadata import Metadata
from pgstore._core.states import Aggregate, changes_of
from pgstore.errors import InvalidArgumentError, StreamNotFoundError

A = TypeVar("A", bound=Aggregate[Any])


class AsyncRepository(Generic[A, E]):
    """Gets and saves aggregates, each of which is a stream: see `repository` of a store."""

    def __init__(self, store: AsyncWriter[E], decider: AsyncDecider[A, E], category: str) -> None:
        self._store = store
        self._decider = decider
        self._category = category

    def stream_of(self, id: str) -> str:
        """The stream of the aggregate with this id."""
        return f"{self._category}-{name_of('id', id)}"

    async def get(self, id: str, *, conn: AsyncConn | None = None) -> A:
        """The aggregate with this id, as its messages have made it.

        Raises:
            StreamNotFoundError: it has no messages.
            StreamCutOffError: its first messages were deleted, and no snapshot has them.
        """
        stream = self.stream_of(id)
        aggregate, version = await self._decider.load(stream, conn=conn)
        if not version:
            raise StreamNotFoundError(stream)
        aggregate.version = version
        return aggregate

    async def add(
        self,
        aggregate: A,
        *,
        metadata: Metadata | None = None,
        conn: AsyncConn | None = None,
    ) -> MessagePosition:
        """Save a new aggregate; the place of its last message.

        Raises:
            OptimisticConcurrencyError: there is one with this id.
        """
        if not changes_of(aggregate) or aggregate.version:
            raise InvalidArgumentError(f"aggregate {aggregate.id} is not new, or has no changes")
        position = await self.save(aggregate, metadata=metadata, conn=conn)
        assert position is not None  # it has changes
        return position

    async def save(
        self,
        aggregate: A,
        *,
        metadata: Metadata | None = None,
        conn: AsyncConn | None = None,
    ) -> MessagePosition | None:
        """Write the aggregate's changes, if there are any; the place of the last one.

        If this raises, or the transaction of `conn` is rolled back, get the aggregate again: this
        one has changes that are not stored.

        Raises:
            OptimisticConcurrencyError: others have changed it since it was read.
        """
        changes = list(changes_of(aggregate))
        if not changes:
            return None
        stream, version = self.stream_of(aggregate.id), aggregate.version
        position = await self._store.write_many(
            stream, changes, expected_version=version, metadata=metadata, conn=conn
        )
        aggregate.version = position.version
        del aggregate.changes[: len(changes)]
        return position

    @asynccontextmanager
    async def edit(
        self,
        id: str,
        *,
        metadata: Metadata | None = None,
        conn: AsyncConn | None = None,
    ) -> AsyncIterator[A]:
        """Get an aggregate and save it at the end of the block, unless that raises."""
        aggregate = await self.get(id, conn=conn)
        yield aggregate
        await self.save(aggregate, metadata=metadata, conn=conn)
