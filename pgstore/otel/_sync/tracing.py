# Generated from pgstore/otel/_async/tracing.py by `python tools/unasync.py`.

"""A store whose writes, reads and handlers make spans."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID

from opentelemetry.trace import Span
from psycopg import Connection
from psycopg.rows import TupleRow

from pgstore._compat.joining import Conn
from pgstore._core.messages import MessagePosition, RawMessage
from pgstore._core.subscriptions import Batch, GuardedHooks, RunnerHooks
from pgstore._sync.cursor import Parameters
from pgstore._sync.database import Database
from pgstore._sync.delivery import Delivery, Lease
from pgstore._sync.lending import Borrower
from pgstore._sync.opening import Opening
from pgstore._sync.registering import Call
from pgstore._sync.runner import Beside, Runner
from pgstore._sync.source import Source
from pgstore._sync.store import MessageStore
from pgstore._sync.subscription import Subscription
from pgstore.otel._contexts import metadata_of_each
from pgstore.otel._telemetry import READS, Metrics, Telemetry, place


def trace(store: MessageStore[Any], telemetry: Telemetry) -> None:
    """Give a store a class that makes spans, unless it has one; other stores stay as they are."""
    if isinstance(store, TracedStore):
        return
    store.__class__ = _traced(type(store))  # type: ignore[arg-type] # a class is hashable
    assert isinstance(store, TracedStore)
    store._telemetry = telemetry
    store._database = TracedDatabase(store._database.source, telemetry)
    if store._standby is not None:
        store._standby.database = TracedDatabase(store._standby.database.source, telemetry)


@cache
def _traced(cls: type[MessageStore[Any]]) -> type[MessageStore[Any]]:
    return type(cls.__name__, (TracedStore, cls), {"__module__": cls.__module__})


class TracedStore(MessageStore[Any]):
    """The methods that make spans, over those of the store's own class."""

    _telemetry: Telemetry

    def write(self, stream: str, message: Any, **options: Any) -> MessagePosition:
        with self._telemetry.writing(stream, options.get("metadata")) as span:
            position = super().write(stream, message, **options)
            place(span, position)
            return position

    def write_many(self, stream: str, messages: Iterable[Any], **options: Any) -> MessagePosition:
        batch = _batch(messages)
        with self._writing_batch(stream, batch, options) as span:
            position = super().write_many(stream, batch, **options)
            place(span, position)
            return position

    def synchronize(self, stream: str, messages: Sequence[Any], **options: Any) -> MessagePosition:
        known, batch = options.get("expected_version"), _batch(messages)
        sliceable = isinstance(batch, tuple) and hasattr(type(known), "__index__")
        new = batch[known:] if sliceable else None
        with self._writing_batch(stream, new, options) as span:
            position = super().synchronize(stream, batch, **options)
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

    def schedule(self, stream: str, message: Any, *args: Any, **options: Any) -> UUID:
        with self._telemetry.writing(stream, options.get("metadata"), "schedule"):
            return super().schedule(stream, message, *args, **options)

    @property
    def raw(self) -> MessageStore[RawMessage]:
        store = super().raw
        trace(store, self._telemetry)
        return store

    def _runner(
        self,
        opening: Opening,
        subscriptions: Sequence[Subscription[Any]],
        lease: float,
        hooks: RunnerHooks | None,
        besides: Sequence[Beside] = (),
    ) -> Runner:
        metrics = Metrics(self._telemetry, GuardedHooks(hooks))
        runner = super()._runner(opening, subscriptions, lease, metrics, besides)
        runner.__class__ = TracedRunner
        assert isinstance(runner, TracedRunner)
        runner._telemetry = self._telemetry
        runner._delivery = TracedDelivery(runner._database, runner._hooks, self._telemetry)
        return runner


class TracedDatabase(Database):
    """A database whose statements that read make spans."""

    def __init__(self, source: Source, telemetry: Telemetry) -> None:
        super().__init__(source)
        self._telemetry = telemetry

    def rows(
        self,
        statement: str,
        parameters: Parameters,
        conn: Conn | None = None,
        *,
        repeatable: bool = True,
    ) -> list[TupleRow]:
        function = READS.get(statement)
        if function is None:
            return super().rows(statement, parameters, conn, repeatable=repeatable)
        with self._telemetry.reading(function):
            return super().rows(statement, parameters, conn, repeatable=repeatable)


class TracedRunner(Runner):
    """A runner whose claims and handler calls make spans."""

    _telemetry: Telemetry

    def _claim(
        self, database: Borrower | Opening, looks: bool = False
    ) -> tuple[Lease, Batch] | None:
        began = time.time_ns()
        claimed = super()._claim(database, looks)
        if claimed is not None:
            self._note("claim", began, *claimed)
        return claimed

    def _fetch(self, lease: Lease) -> Batch:
        began = time.time_ns()
        batch = super()._fetch(lease)
        if batch.messages:
            self._note("fetch", began, lease, batch)
        return batch

    def _note(self, operation: str, began: int, lease: Lease, batch: Batch) -> None:
        name = lease.subscription.name
        self._telemetry.received(operation, began, name, lease.partition, batch.messages)


class TracedDelivery(Delivery):
    """A delivery whose handler calls make spans."""

    def __init__(self, database: Database, hooks: RunnerHooks, telemetry: Telemetry) -> None:
        super().__init__(database, hooks)
        self._telemetry = telemetry

    def _handle(self, lease: Lease, call: Call, conn: Connection[Any] | None) -> None:
        name, partition = lease.subscription.name, lease.partition
        with self._telemetry.handling(name, partition, call[-1].causes):
            super()._handle(lease, call, conn)


def _batch(messages: Any) -> Any:
    """Messages that can be read twice; anything else is refused by the store."""
    several = isinstance(messages, Iterable) and not isinstance(messages, str | bytes)
    return tuple(messages) if several else messages
