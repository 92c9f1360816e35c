"""A store whose writes, reads and handlers make spans."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID

from opentelemetry.trace import Span
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from pgstore._async.cursor import Parameters
from pgstore._async.database import AsyncDatabase
from pgstore._async.delivery import AsyncDelivery, Lease
from pgstore._async.lending import AsyncBorrower
from pgstore._async.opening import AsyncOpening
from pgstore._async.registering import Call
from pgstore._async.runner import AsyncRunner, Beside
from pgstore._async.source import AsyncSource
from pgstore._async.store import AsyncMessageStore
from pgstore._async.subscription import AsyncSubscription
from pgstore._compat.joining import AsyncConn
from pgstore._core.messages import MessagePosition, RawMessage
from pgstore._core.subscriptions import Batch, GuardedHooks, RunnerHooks
from pgstore.otel._contexts import metadata_of_each
from pgstore.otel._telemetry import READS, Metrics, Telemetry, place


def async_trace(store: AsyncMessageStore[Any], telemetry: Telemetry) -> None:
    """Give a store a class that makes spans, unless it has one; other stores stay as they are."""
    if isinstance(store, AsyncTracedStore):
        return
    store.__class__ = _traced(type(store))  # type: ignore[arg-type] # a class is hashable
    assert isinstance(store, AsyncTracedStore)
    store._telemetry = telemetry
    store._database = AsyncTracedDatabase(store._database.source, telemetry)
    if store._standby is not None:
        store._standby.database = AsyncTracedDatabase(store._standby.database.source, telemetry)


@cache
def _traced(cls: type[AsyncMessageStore[Any]]) -> type[AsyncMessageStore[Any]]:
    return type(cls.__name__, (AsyncTracedStore, cls), {"__module__": cls.__module__})


class AsyncTracedStore(AsyncMessageStore[Any]):
    """The methods that make spans, over those of the store's own class."""

    _telemetry: Telemetry

    async def write(self, stream: str, message: Any, **options: Any) -> MessagePosition:
        with self._telemetry.writing(stream, options.get("metadata")) as span:
            position = await super().write(stream, message, **options)
            place(span, position)
            return position

    async def write_many(
        self, stream: str, messages: Iterable[Any], **options: Any
    ) -> MessagePosition:
        batch = _batch(messages)
        with self._writing_batch(stream, batch, options) as span:
            position = await super().write_many(stream, batch, **options)
            place(span, position)
            return position

    async def synchronize(
        self, stream: str, messages: Sequence[Any], **options: Any
    ) -> MessagePosition:
        known, batch = options.get("expected_version"), _batch(messages)
        sliceable = isinstance(batch, tuple) and hasattr(type(known), "__index__")
        new = batch[known:] if sliceable else None
        with self._writing_batch(stream, new, options) as span:
            position = await super().synchronize(stream, batch, **options)
            place(span, position)
            return position

    @contextmanager
    def _writing_batch(
        self, stream: object, messages: object, options: dict[str, Any]
    ) -> Iterator[Span]:
        """The span of a write of several messages, whose metadata get their contexts."""
        metadata = options.get("metadata")
        each = metadata_of_each(messages, metadata)
        if each is None:
            with self._telemetry.writing(stream, metadata) as span:
                yield span
        else:
            with self._telemetry.writing_batch(stream, each) as (span, options["metadata"]):
                yield span

    async def schedule(self, stream: str, message: Any, *args: Any, **options: Any) -> UUID:
        with self._telemetry.writing(stream, options.get("metadata"), "schedule"):
            return await super().schedule(stream, message, *args, **options)

    @property
    def raw(self) -> AsyncMessageStore[RawMessage]:
        store = super().raw
        async_trace(store, self._telemetry)
        return store

    def _runner(
        self,
        opening: AsyncOpening,
        subscriptions: Sequence[AsyncSubscription[Any]],
        lease: float,
        hooks: RunnerHooks | None,
        besides: Sequence[Beside] = (),
    ) -> AsyncRunner:
        metrics = Metrics(self._telemetry, GuardedHooks(hooks))
        runner = super()._runner(opening, subscriptions, lease, metrics, besides)
        runner.__class__ = AsyncTracedRunner
        assert isinstance(runner, AsyncTracedRunner)
        runner._telemetry = self._telemetry
        runner._delivery = AsyncTracedDelivery(runner._database, runner._hooks, self._telemetry)
        return runner


class AsyncTracedDatabase(AsyncDatabase):
    """A database whose statements that read make spans."""

    def __init__(self, source: AsyncSource, telemetry: Telemetry) -> None:
        super().__init__(source)
        self._telemetry = telemetry

    async def rows(
        self,
        statement: str,
        parameters: Parameters,
        conn: AsyncConn | None = None,
        *,
        repeatable: bool = True,
    ) -> list[TupleRow]:
        function = READS.get(statement)
        if function is None:
            return await super().rows(statement, parameters, conn, repeatable=repeatable)
        with self._telemetry.reading(function):
            return await super().rows(statement, parameters, conn, repeatable=repeatable)


class AsyncTracedRunner(AsyncRunner):
    """A runner whose claims and handler calls make spans."""

    _telemetry: Telemetry

    async def _claim(
        self, database: AsyncBorrower | AsyncOpening, looks: bool = False
    ) -> tuple[Lease, Batch] | None:
        began = time.time_ns()
        claimed = await super()._claim(database, looks)
        if claimed is not None:
            self._note("claim", began, *claimed)
        return claimed

    async def _fetch(self, lease: Lease) -> Batch:
        began = time.time_ns()
        batch = await super()._fetch(lease)
        if batch.messages:
            self._note("fetch", began, lease, batch)
        return batch

    def _note(self, operation: str, began: int, lease: Lease, batch: Batch) -> None:
        name = lease.subscription.name
        self._telemetry.received(operation, began, name, lease.partition, batch.messages)


class AsyncTracedDelivery(AsyncDelivery):
    """A delivery whose handler calls make spans."""

    def __init__(self, database: AsyncDatabase, hooks: RunnerHooks, telemetry: Telemetry) -> None:
        super().__init__(database, hooks)
        self._telemetry = telemetry

    async def _handle(self, lease: Lease, call: Call, conn: AsyncConnection[Any] | None) -> None:
        name, partition = lease.subscription.name, lease.partition
        with self._telemetry.handling(name, partition, call[-1].causes):
            await super()._handle(lease, call, conn)


def _batch(messages: Any) -> Any:
    """Messages that can be read twice; anything else is refused by the store."""
    several = isinstance(messages, Iterable) and not isinstance(messages, str | bytes)
    return tuple(messages) if several else messages
