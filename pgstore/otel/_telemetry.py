"""The spans and metrics of a store, by the semantic conventions of OpenTelemetry.

Writes, claims and handler calls are operations of a messaging system, whose destinations are the
streams. Reads are calls of a database.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import Link, Span, SpanKind, TracerProvider, get_tracer
from psycopg.conninfo import conninfo_to_dict

from pgstore._core import statements as s
from pgstore._core.messages import MessagePosition, StoredMessage
from pgstore._core.metadata import message_context
from pgstore._core.subscriptions import RunnerHooks, Skipped, Undecoded
from pgstore._core.version import package_version
from pgstore.otel._contexts import carrier_of, context_in, has_context, with_context

Attributes = dict[str, str | int]

_SYSTEM = "pgstore"
# The version of the conventions that these names are of.
_CONVENTIONS = "https://opentelemetry.io/schemas/1.40.0"

# As the conventions have them, in seconds.
_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

# The statements that a span is made for, and the functions that they call.
READS = {
    s.READ_STREAM: "read_stream",
    s.LOAD_STREAM: "load_stream",
    s.READ_PAGE: "read_page",
    s.READ_MATCHING: "read_matching",
    s.READ_TAGGED: "read_tagged",
    s.READ_CORRELATED: "read_correlated",
    s.READ_POSITIONS: "read_stream",
    s.LAST_MESSAGE: "last_message",
    s.GET_MESSAGES: "get_messages",
    s.STREAM_VERSION: "stream_version",
    s.SAFE_POSITION: "safe_position",
}


class Telemetry:
    """Makes the spans of a store, and has the instruments of its metrics."""

    def __init__(
        self,
        store: str,
        conninfo: str,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        create_spans: bool,
    ) -> None:
        self._store = store
        self._create_spans = create_spans
        about = ("pgstore", package_version())
        self._tracer = get_tracer(*about, tracer_provider, _CONVENTIONS)
        meter = get_meter(*about, meter_provider, _CONVENTIONS)
        self.consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Messages that were handled."
        )
        self.duration = meter.create_histogram(
            "messaging.process.duration",
            "s",
            "How long a batch took, with its acknowledgement.",
            explicit_bucket_boundaries_advisory=_BOUNDARIES,
        )
        self.failures = meter.create_counter(
            "pgstore.subscription.failures", "{failure}", "Failed attempts of handlers."
        )
        self.behind = meter.create_gauge(
            "pgstore.subscription.behind",
            "{position}",
            "Positions that the partition furthest behind has to go.",
        )
        server = conninfo_to_dict(conninfo)
        self._server: Attributes = {}
        host, port, database = (str(server.get(key) or "") for key in ("host", "port", "dbname"))
        if host and "," not in host:
            self._server["server.address"] = host
            if port.isdecimal():
                self._server["server.port"] = int(port)
        self._namespace = f"{database}|{store}" if database else store

    @contextmanager
    def writing(self, stream: object, metadata: object, operation: str = "write") -> Iterator[Span]:
        """The span of a write of one message; its context goes into the message's metadata."""
        attributes = _messaging(operation, "send") | _destination([stream])
        with self._sending(attributes, [metadata]) as span:
            carrier = {} if has_context(metadata) else carrier_of(span)
            with message_context(**carrier):
                yield span

    @contextmanager
    def writing_batch(
        self, stream: object, metadata: Sequence[object]
    ) -> Iterator[tuple[Span, Sequence[object]]]:
        """The span of a write of several messages, and the metadata of each with a context.

        That is the context of a span of the message alone, to which the span of the write is
        linked; or that of the write, without such spans.
        """
        attributes = _messaging("write", "send") | _destination([stream])
        attributes["messaging.batch.message_count"] = len(metadata)
        if self._create_spans and len(metadata) > 1:
            creating = _messaging("create", "create") | _destination([stream]) | self._server
            metadata = [self._created(each, creating) for each in metadata]
        with self._sending(attributes, metadata) as span:
            carrier = carrier_of(span)
            yield span, [with_context(each, carrier) for each in metadata]

    def _created(self, metadata: object, attributes: Attributes) -> object:
        """The metadata of a message with the context of a span that stands for it."""
        if has_context(metadata):
            return metadata
        name = _name(attributes)
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        span.end()
        return with_context(metadata, carrier_of(span))

    def _sending(
        self, attributes: Attributes, metadata: Sequence[object]
    ) -> AbstractContextManager[Span]:
        """The span of a write, linked to the contexts that its messages have already."""
        links = [Link(context) for each in metadata if (context := context_in(each)).is_valid]
        # A span whose context is in messages is a PRODUCER.
        given = len(metadata) > 0 and all(map(has_context, metadata))
        return self._span(SpanKind.CLIENT if given else SpanKind.PRODUCER, attributes, links)

    def reading(self, function: str) -> AbstractContextManager[Span]:
        """The span of a statement that reads."""
        attributes: Attributes = {
            "db.system.name": "postgresql",
            "db.namespace": self._namespace,
            "db.operation.name": "SELECT",
            "db.stored_procedure.name": f"{self._store}.{function}",
        }
        return self._span(SpanKind.CLIENT, attributes)

    def handling(
        self, subscription: str, partition: int, messages: Sequence[StoredMessage[Any]]
    ) -> AbstractContextManager[Span]:
        """The span of a handler call, linked to those that wrote its messages."""
        attributes = _consumed("handle", "process", subscription, partition, messages)
        if len(messages) == 1:
            attributes |= _message(messages[0])
        return self._span(SpanKind.CONSUMER, attributes, list(_links(messages)))

    def received(
        self,
        operation: str,
        began: int,
        subscription: str,
        partition: int,
        messages: Sequence[StoredMessage[Any] | Undecoded | Skipped],
    ) -> None:
        """Note the span of a statement that has fetched messages; `began` in nanoseconds.

        Made when it has ended: a worker that finds nothing, again and again, makes none.
        """
        decoded = [each for each in messages if isinstance(each, StoredMessage)]
        attributes = _consumed(operation, "receive", subscription, partition, decoded)
        attributes["messaging.batch.message_count"] = len(messages)
        self._tracer.start_span(
            _name(attributes),
            kind=SpanKind.CLIENT,
            attributes=attributes | self._server,
            links=list(_links(decoded)),
            start_time=began,
        ).end()

    @contextmanager
    def _span(
        self, kind: SpanKind, attributes: Attributes, links: Sequence[Link] = ()
    ) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            _name(attributes), kind=kind, attributes=attributes | self._server, links=links
        ) as span:
            try:
                yield span
            except Exception as error:
                sqlstate = getattr(error, "sqlstate", None)
                if sqlstate is not None and "db.system.name" in attributes:
                    span.set_attribute("db.response.status_code", sqlstate)
                span.set_attribute("error.type", error_type(error))
                raise


class Metrics(RunnerHooks):
    """Records each call of a runner's hooks, and calls those of the caller."""

    def __init__(self, telemetry: Telemetry, hooks: RunnerHooks) -> None:
        self._telemetry = telemetry
        self._hooks = hooks

    def handled(self, subscription: str, partition: int, count: int, seconds: float) -> None:
        attributes = _of_subscription(subscription)
        self._telemetry.consumed.add(count, attributes)
        self._telemetry.duration.record(seconds, attributes)
        self._hooks.handled(subscription, partition, count, seconds)

    def failed(self, subscription: str, partition: int, error: BaseException, action: str) -> None:
        attributes = _of_subscription(subscription)
        attributes |= {"error.type": error_type(error), "pgstore.action": action}
        self._telemetry.failures.add(1, attributes)
        self._hooks.failed(subscription, partition, error, action)

    def behind(self, subscription: str, behind: int) -> None:
        self._telemetry.behind.set(behind, _of_subscription(subscription))
        self._hooks.behind(subscription, behind)


def place(span: Span, position: MessagePosition) -> None:
    """Note the place of the last message of a write."""
    span.set_attribute("messaging.pgstore.version", position.version)
    span.set_attribute("messaging.pgstore.global_position", position.global_position)


def error_type(error: BaseException) -> str:
    """The SQLSTATE, or else the class, of an error."""
    sqlstate = getattr(error, "sqlstate", None)
    cls = type(error)
    name = cls.__qualname__
    return sqlstate or (name if cls.__module__ == "builtins" else f"{cls.__module__}.{name}")


def _messaging(name: str, kind: str) -> Attributes:
    return {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }


def _of_subscription(subscription: str) -> Attributes:
    return {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": "handle",
        "messaging.destination.subscription.name": subscription,
    }


def _consumed(
    name: str,
    kind: str,
    subscription: str,
    partition: int,
    messages: Sequence[StoredMessage[Any]],
) -> Attributes:
    attributes = _messaging(name, kind) | _destination([each.stream for each in messages])
    attributes["messaging.destination.subscription.name"] = subscription
    attributes["messaging.destination.partition.id"] = str(partition)
    if len(messages) > 1:
        attributes["messaging.batch.message_count"] = len(messages)
    return attributes


def _destination(streams: Sequence[object]) -> Attributes:
    """The stream and the category, each if it is the same for all messages."""
    names = {str(each) for each in streams}
    categories = {each.partition("-")[0] for each in names}
    found: Attributes = {}
    if len(names) == 1:
        found["messaging.destination.name"] = names.pop()
    if len(categories) == 1:
        found["messaging.destination.template"] = categories.pop()
    return found


def _name(attributes: Mapping[str, str | int]) -> str:
    if "db.system.name" in attributes:
        return f"SELECT {attributes['db.stored_procedure.name']}"
    category = attributes.get("messaging.destination.template")
    operation = str(attributes["messaging.operation.name"])
    return operation if category is None else f"{operation} {category}"


def _message(stored: StoredMessage[Any]) -> Attributes:
    attributes: Attributes = {
        "messaging.message.id": str(stored.message_id),
        "messaging.pgstore.version": stored.version,
        "messaging.pgstore.global_position": stored.global_position,
    }
    if stored.correlation_id is not None:
        attributes["messaging.message.conversation_id"] = stored.correlation_id
    return attributes


def _links(messages: Sequence[StoredMessage[Any]]) -> Iterator[Link]:
    """A link to the span that wrote each message, if its metadata say."""
    for stored in messages:
        context = context_in(stored.metadata)
        if context.is_valid:
            yield Link(context, {"messaging.destination.name": stored.stream, **_message(stored)})
