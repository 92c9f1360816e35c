# Generated from tests/client/_async/test_otel.py by `python tools/unasync.py`.

"""Spans and metrics of stores that OpenTelemetry watches."""

from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Any

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from pgstore import (
    InvalidArgumentError,
    MessageStore,
    OptimisticConcurrencyError,
    RawMessage,
    RunnerHooks,
    StoredMessage,
    message_context,
)
from pgstore._sync.opening import Opening
from pgstore.otel import instrument
from tests.client._sync.conftest import OpenStore
from tests.client._sync.running import Notes
from tests.client.messages import EventA, EventB, Signed

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)

Store = MessageStore[Any]
Transaction = psycopg.Connection[Any]


class Watch:
    """What was told to OpenTelemetry."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider([self._metrics], shutdown_on_exit=False)

    def instrument(self, store: Store, *, create_spans: bool = True) -> None:
        instrument(
            store,
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            create_spans=create_spans,
        )

    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended since the last call."""
        found = list(self._spans.get_finished_spans())
        self._spans.clear()
        return found

    def points(self) -> dict[str, list[Any]]:
        data = self._metrics.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.tracer_provider.shutdown()
    watch.meter_provider.shutdown()


@pytest.fixture
def watched(open_store: OpenStore, watch: Watch) -> Store:
    store = open_store(EventA | EventB | Signed)
    watch.instrument(store)
    return store


def context_of(span: ReadableSpan) -> trace.SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def traceparent(span: ReadableSpan) -> str:
    context = context_of(span)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def linked(span: ReadableSpan) -> list[int]:
    """The spans that a span links to."""
    return [link.context.span_id for link in span.links]


def test_a_write_has_a_span_whose_context_is_in_the_metadata(
    watched: Store, watch: Watch, category: str
) -> None:
    tracer = watch.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("request"), message_context(user="ada"):
        position = watched.write(f"{category}-1", EventA(1), metadata={"tenant": "a"})
    span, request = watch.spans()
    assert (span.name, span.kind) == (f"write {category}", SpanKind.PRODUCER)
    assert span.parent == request.context
    assert span.status.status_code == StatusCode.UNSET
    assert span.attributes is not None
    assert {key: span.attributes[key] for key in span.attributes if "server" not in key} == {
        "messaging.system": "pgstore",
        "messaging.operation.name": "write",
        "messaging.operation.type": "send",
        "messaging.destination.name": f"{category}-1",
        "messaging.destination.template": category,
        "messaging.pgstore.version": 1,
        "messaging.pgstore.global_position": position.global_position,
    }
    assert "server.address" in span.attributes
    stored = watched.last(f"{category}-1")
    assert stored is not None
    assert stored.metadata == {"user": "ada", "tenant": "a", "traceparent": traceparent(span)}


def contexts(store: Store, category: str) -> list[Any]:
    """The contexts that the messages of a category carry."""
    return [
        stored.metadata and stored.metadata.get("traceparent")
        for stored in store.read_category(category)
    ]


def test_each_message_of_a_batch_has_a_span_of_its_own(
    watched: Store, watch: Watch, category: str
) -> None:
    tracer = watch.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("request"), message_context(user="ada"):
        watched.write_many(
            f"{category}-1", (EventA(n) for n in range(2)), metadata=[{"tenant": "a"}, None]
        )
    one, other, many, request = watch.spans()
    for created in (one, other):
        assert (created.name, created.kind) == (f"create {category}", SpanKind.PRODUCER)
        assert created.parent == request.context
        assert created.attributes is not None
        assert created.attributes["messaging.operation.name"] == "create"
        assert created.attributes["messaging.operation.type"] == "create"
        assert "messaging.batch.message_count" not in created.attributes
    assert (many.name, many.kind) == (f"write {category}", SpanKind.CLIENT)
    assert many.parent == request.context
    assert linked(many) == [context_of(one).span_id, context_of(other).span_id]
    assert many.attributes is not None
    assert many.attributes["messaging.operation.type"] == "send"
    assert many.attributes["messaging.batch.message_count"] == 2
    assert [stored.metadata for stored in watched.read(f"{category}-1")] == [
        {"user": "ada", "tenant": "a", "traceparent": traceparent(one)},
        {"user": "ada", "traceparent": traceparent(other)},
    ]


def test_the_handler_of_a_message_of_a_batch_is_linked_to_that_message(
    watched: Store, watch: Watch, category: str
) -> None:
    subscription = watched.subscription(category, category=category)

    @subscription.handler
    def note(message: EventA) -> None: ...

    watched.write_many(f"{category}-1", [EventA(1), EventA(2)], metadata={"a": 1})
    created = [context_of(span).span_id for span in watch.spans()[:2]]
    watched.run_once(subscription)
    claimed, *handled = watch.spans()
    assert linked(claimed) == created
    assert [linked(span) for span in handled] == [[each] for each in created]


def test_without_create_spans_a_batch_has_one(
    open_store: OpenStore, watch: Watch, category: str
) -> None:
    store = open_store()
    watch.instrument(store, create_spans=False)
    metadata = [None, {"traceparent": GIVEN}]
    store.write_many(f"{category}-1", [EventA(1), EventA(2)], metadata=metadata)
    (many,) = watch.spans()
    assert many.kind == SpanKind.PRODUCER
    assert linked(many) == [0xB7AD6B7169203331]
    assert contexts(store, category) == [traceparent(many), GIVEN]


def test_one_message_has_the_context_of_its_write(
    watched: Store, watch: Watch, category: str
) -> None:
    """A batch of one, the rest of a list, a raw message."""
    watched.write_many(f"{category}-1", [EventA(1)])
    signed = [Signed(text="x"), Signed(text="y")]
    watched.synchronize(f"{category}-2", signed[:1], expected_version=0)
    watched.synchronize(f"{category}-2", signed, expected_version=1)
    watched.raw.write(f"{category}-3", RawMessage("EventA", b'{"num": 1}'))
    spans = watch.spans()
    assert {(span.name, span.kind) for span in spans} == {(f"write {category}", SpanKind.PRODUCER)}
    counts = [dict(span.attributes or {}).get("messaging.batch.message_count") for span in spans]
    assert counts == [1, 1, 1, None]
    assert contexts(watched, category) == list(map(traceparent, spans))


def test_synchronize_has_a_span_for_each_new_message(
    watched: Store, watch: Watch, category: str
) -> None:
    signed = [Signed(text=text) for text in "xyz"]
    watched.synchronize(f"{category}-1", signed[:1], expected_version=0)
    watched.synchronize(f"{category}-1", signed, expected_version=1, metadata={"a": 1})
    first, one, other, synchronized = watch.spans()
    assert contexts(watched, category) == list(map(traceparent, (first, one, other)))
    assert linked(synchronized) == [context_of(one).span_id, context_of(other).span_id]


def test_synchronize_takes_what_answers_for_a_number(
    watched: Store, watch: Watch, category: str
) -> None:
    class One:
        def __index__(self) -> int:
            return 1

    signed, one = [Signed(text=text) for text in "xyz"], One()
    watched.synchronize(f"{category}-1", signed[:1], expected_version=0)
    watched.synchronize(f"{category}-1", signed, expected_version=one)  # type: ignore[arg-type]
    assert contexts(watched, category) == list(map(traceparent, watch.spans()[:3]))


def test_a_context_of_the_caller_stays(watched: Store, watch: Watch, category: str) -> None:
    """Its message has no span of its own, and that of the write is linked to it."""
    state = trace.TraceState([("a", "1")])
    request = trace.SpanContext(1, 2, is_remote=True, trace_flags=SAMPLED, trace_state=state)
    given = {"traceparent": GIVEN}
    with trace.use_span(trace.NonRecordingSpan(request)):
        watched.write(f"{category}-1", EventA(1), metadata=given)
        watched.write_many(f"{category}-1", [EventA(1)] * 2, metadata=given)
        watched.schedule(f"{category}-2", EventA(1), timedelta(days=1), metadata=given)
    spans = watch.spans()
    assert {span.kind for span in spans} == {SpanKind.CLIENT}
    assert [linked(span) for span in spans] == [[0xB7AD6B7169203331] * n for n in (1, 2, 1)]
    assert [stored.metadata for stored in watched.read(f"{category}-1")] == [given] * 3


@pytest.mark.parametrize(
    ("messages", "metadata"),
    [("ab", None), (7, None), ([], None), ([EventA(1)] * 2, [{}]), ([EventA(1)] * 2, "x")],
)
def test_a_wrong_batch_is_refused_as_without_spans(
    watched: Store, watch: Watch, category: str, messages: Any, metadata: Any
) -> None:
    with pytest.raises(InvalidArgumentError):
        watched.write_many(f"{category}-1", messages, metadata=metadata)
    assert [span.status.status_code for span in watch.spans()] == [StatusCode.ERROR]


def test_a_failed_write_says_why(watched: Store, watch: Watch, category: str) -> None:
    with pytest.raises(OptimisticConcurrencyError):
        watched.write(f"{category}-1", EventA(1), expected_version=7)
    with pytest.raises(InvalidArgumentError):
        watched.write(None, EventA(1))  # type: ignore[arg-type]
    for span, error in zip(watch.spans(), ("MS001", "22023"), strict=True):
        assert span.status.status_code == StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] == error
        assert [event.name for event in span.events] == ["exception"]


def test_reads_are_calls_of_the_database(watched: Store, watch: Watch, category: str) -> None:
    stream = f"{category}-1"
    list(watched.read(stream))
    list(watched.read_category(category))
    watched.last(stream)
    watched.get_many([])
    watched.stream_version(stream)
    watched.safe_position()
    watched.decider(lambda state, _: state, dict).load(stream)
    spans = watch.spans()
    functions = "read_stream read_page last_message get_messages stream_version safe_position"
    functions += " load_stream"
    assert [span.name for span in spans] == [
        f"SELECT {watched.name}.{function}" for function in functions.split()
    ]
    assert {span.kind for span in spans} == {SpanKind.CLIENT}
    for span in spans:
        assert span.attributes is not None
        assert span.attributes["db.system.name"] == "postgresql"
        assert str(span.attributes["db.namespace"]).endswith(f"|{watched.name}")
    with pytest.raises(InvalidArgumentError):
        list(watched.read_all(partition=1, partitions=1))
    (span,) = watch.spans()
    assert span.attributes is not None
    assert span.attributes["db.response.status_code"] == span.attributes["error.type"]


def test_a_handler_is_linked_to_the_writer_and_its_writes_are_within(
    watched: Store, watch: Watch, category: str
) -> None:
    subscription = watched.subscription(category, category=category)

    @subscription.handler
    def copy(message: EventA, tx: Transaction) -> None:
        watched.write(f"copy{category}-1", EventB("x"), conn=tx)

    watched.write(f"{category}-1", EventA(1), metadata={"correlation_id": "c"})
    (written,) = watch.spans()
    assert watched.run_once(subscription) == 1
    claimed, copied, handled = watch.spans()
    assert (claimed.name, claimed.kind) == (f"claim {category}", SpanKind.CLIENT)
    assert (handled.name, handled.kind) == (f"handle {category}", SpanKind.CONSUMER)
    assert handled.parent is None
    assert linked(claimed) == linked(handled) == [context_of(written).span_id]
    assert copied.parent == handled.context
    (stored,) = list(watched.read(f"{category}-1"))
    assert handled.attributes is not None
    assert {key: handled.attributes[key] for key in handled.attributes if "server" not in key} == {
        "messaging.system": "pgstore",
        "messaging.operation.name": "handle",
        "messaging.operation.type": "process",
        "messaging.destination.name": f"{category}-1",
        "messaging.destination.template": category,
        "messaging.destination.subscription.name": category,
        "messaging.destination.partition.id": "0",
        "messaging.message.id": str(stored.message_id),
        "messaging.message.conversation_id": "c",
        "messaging.pgstore.version": 1,
        "messaging.pgstore.global_position": stored.global_position,
    }
    (effect,) = list(watched.read(f"copy{category}-1"))
    assert effect.metadata == {
        "correlation_id": "c",
        "causation_id": str(stored.message_id),
        "traceparent": traceparent(copied),
    }


def test_the_state_of_a_trace_goes_from_the_request_to_the_handler(
    watched: Store, watch: Watch, category: str
) -> None:
    state = trace.TraceState([("a", "1")])
    request = trace.SpanContext(1, 2, is_remote=True, trace_flags=SAMPLED, trace_state=state)
    subscription = watched.subscription(category, category=category)

    @subscription.handler
    def note(message: EventA) -> None: ...

    with trace.use_span(trace.NonRecordingSpan(request)):
        watched.write(f"{category}-1", EventA(1))
    stored = watched.last(f"{category}-1")
    assert stored is not None
    assert stored.metadata is not None
    assert stored.metadata["tracestate"] == "a=1"
    watched.run_once(subscription)
    (link,) = watch.spans()[-1].links
    assert (link.context.trace_id, link.context.trace_state) == (1, state)


def test_a_batch_is_linked_to_all_its_writers(watched: Store, watch: Watch, category: str) -> None:
    subscription = watched.subscription(category, categories=[category, f"{category}x"])

    @subscription.batch_handler
    def note(batch: list[StoredMessage[EventA | EventB]]) -> None: ...

    watched.write(f"{category}-1", EventA(1))
    watched.write(f"{category}x-1", EventB("x"))
    watched.raw.write(f"{category}-2", RawMessage("EventA", b'{"num": 1}'), metadata={"a": 1})
    watched.write(f"{category}-1", EventA(1), metadata={"traceparent": "broken"})
    written = [context_of(span).span_id for span in watch.spans()]
    watched.run_once(subscription)
    claimed, handled = watch.spans()
    assert (claimed.name, handled.name) == ("claim", "handle")
    assert linked(claimed) == linked(handled) == written[:3]
    assert handled.attributes is not None
    assert handled.attributes["messaging.batch.message_count"] == 4
    assert "messaging.destination.name" not in handled.attributes


def test_a_failed_handler_says_why_in_its_span_and_in_the_metrics(
    watched: Store, watch: Watch, category: str
) -> None:
    subscription = watched.subscription(category, category=category, retry_delay=0)
    broken = [ZeroDivisionError("first")]

    @subscription.handler
    def fail(message: EventA) -> None:
        if broken:
            raise broken.pop()

    watched.write_many(f"{category}-1", [EventA(1), EventA(2)])
    notes = Notes()
    assert watched.run_once(subscription, raise_errors=False, hooks=notes) == 2
    (failed, *_) = [span for span in watch.spans() if span.name.startswith("handle")]
    assert failed.status.status_code == StatusCode.ERROR
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "ZeroDivisionError"
    assert notes.failures == [("ZeroDivisionError", "retry")]
    points = watch.points()
    assert points.keys() == {
        "messaging.client.consumed.messages",
        "messaging.process.duration",
        "pgstore.subscription.failures",
    }
    (consumed,) = points["messaging.client.consumed.messages"]
    (duration,) = points["messaging.process.duration"]
    (failures,) = points["pgstore.subscription.failures"]
    assert consumed.value == sum(notes.counted) == 2
    assert dict(consumed.attributes) == {
        "messaging.system": "pgstore",
        "messaging.operation.name": "handle",
        "messaging.destination.subscription.name": category,
    }
    assert duration.count == len(notes.counted)
    assert duration.explicit_bounds[0] == 0.005
    assert failures.value == 1
    assert failures.attributes["pgstore.action"] == "retry"
    assert failures.attributes["error.type"] == "ZeroDivisionError"


def test_the_lag_is_a_gauge(watched: Store, watch: Watch, category: str) -> None:
    subscription = watched.subscription(category, category=category)

    @subscription.handler
    def note(message: EventA) -> None: ...

    subscription.create()
    watched.write(f"{category}-1", EventA(1))
    notes = Notes()
    opening = Opening(watched._database.source)
    runner = watched._runner(opening, [subscription], 30, notes)
    runner._tell_how_far_behind()
    ((name, behind),) = notes.lags
    (point,) = watch.points()["pgstore.subscription.behind"]
    assert (name, point.value) == (category, behind)
    assert behind > 0
    assert point.attributes["messaging.destination.subscription.name"] == category


def test_other_stores_stay_as_they_are(open_store: OpenStore, watch: Watch, category: str) -> None:
    store, other = open_store(), open_store()
    subscription = store.subscription(category, category=category)

    @subscription.handler
    def note(message: EventA) -> None: ...

    before = repr(store)
    watch.instrument(store)
    watch.instrument(store)
    assert repr(store) == before
    assert isinstance(store, MessageStore)
    assert "write" not in {**vars(MessageStore), **vars(type(other)), **vars(other)}
    other.write(f"{category}-1", EventA(1))
    assert watch.spans() == []
    assert [stored.metadata for stored in other.read(f"{category}-1")] == [None]
    assert store.run_once(subscription) == 1  # declared before
    assert [span.name.partition(" ")[0] for span in watch.spans()] == ["claim", "handle"]


def test_a_subclass_of_the_store_keeps_its_methods(
    conninfo: str, shared: str, watch: Watch, category: str
) -> None:
    class Own(MessageStore[Any]):
        def write(self, stream: str, message: Any, **options: Any) -> Any:
            return super().write(f"{category}-{stream}", message, **options)

    with Own(conninfo, store=shared, messages=EventA) as store:
        watch.instrument(store)
        assert store.write("1", EventA(1)).stream == f"{category}-1"
        assert type(store).__name__ == "Own"
    (span,) = watch.spans()
    assert span.name == "write 1"


def test_a_scheduled_message_links_to_the_call_that_scheduled_it(
    watched: Store, watch: Watch, category: str
) -> None:
    subscription = watched.subscription(category, category=category)

    @subscription.handler
    def note(message: Signed) -> None: ...

    message = Signed(text="x")
    for _ in range(2):  # the second one is a retry
        watched.schedule(f"{category}-1", message, timedelta(0))
    scheduled, _ = watch.spans()
    assert (scheduled.name, scheduled.kind) == (f"schedule {category}", SpanKind.PRODUCER)
    assert watched.deliver_scheduled() == 1
    watched.run_once(subscription)
    assert linked(watch.spans()[-1]) == [context_of(scheduled).span_id]


def test_a_store_that_shares_its_connections_has_a_call_of_its_own(
    watched: Store, watch: Watch, category: str
) -> None:
    other = MessageStore[Any](watched, messages=EventA)
    other.write(f"{category}-1", EventA(1))
    assert other.stream_version(f"{category}-1") == 1
    assert watch.spans() == []
    watch.instrument(other)
    assert other.stream_version(f"{category}-1") == 1
    assert len(watch.spans()) == 1


def test_a_raw_store_that_a_subclass_keeps_is_instrumented_once(
    conninfo: str, shared: str, watch: Watch, category: str
) -> None:
    class Own(MessageStore[Any]):
        @cached_property
        def raw(self) -> MessageStore[RawMessage]:
            return super().raw

    with Own(conninfo, store=shared, messages=EventA) as store:
        watch.instrument(store)
        assert store.raw is store.raw
        store.raw.write(f"{category}-1", RawMessage("EventA", b'{"num": 1}'))
    assert len(watch.spans()) == 1


def test_a_write_that_is_repeated_in_another_span_is_a_retry(
    open_store: OpenStore, watch: Watch, category: str
) -> None:
    store = open_store(Signed)
    messages = [Signed(text="x"), Signed(text="y")]
    untraced = store.write(f"{category}-1", messages[0])
    watch.instrument(store)
    assert store.write(f"{category}-1", messages[0]) == untraced
    traced = store.write(f"{category}-1", messages[1])
    assert store.write(f"{category}-1", messages[1], expected_version=1) == traced
    assert store.write_many(f"{category}-1", messages) == traced
    first, second = [stored.metadata for stored in store.read(f"{category}-1")]
    assert first is None
    assert second == {"traceparent": traceparent(watch.spans()[1])}


def test_without_a_provider_nothing_is_written(open_store: OpenStore, category: str) -> None:
    store = open_store()
    instrument(store)
    store.write(f"{category}-1", EventA(1))
    assert [stored.metadata for stored in store.read(f"{category}-1")] == [None]


@pytest.mark.parametrize("provider", ["tracer_provider", "meter_provider", "create_spans"])
def test_what_is_no_provider_is_refused(
    open_store: OpenStore, category: str, provider: str
) -> None:
    store = open_store()
    with pytest.raises(InvalidArgumentError, match=f"{provider} must be"):
        instrument(store, **{provider: "global"})  # type: ignore[arg-type]
    store.write(f"{category}-1", EventA(1))
    assert [stored.metadata for stored in store.read(f"{category}-1")] == [None]


@pytest.mark.parametrize("given", [None, "store", MessageStore, RunnerHooks()])
def test_what_is_no_store_is_refused(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="instrument takes a store"):
        instrument(given)
