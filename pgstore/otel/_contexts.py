"""The contexts of spans, in the metadata of messages."""

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# The W3C's names of the context, whatever the program uses for its requests: messages stay for
# years, and other programs read them.
_PROPAGATOR = TraceContextTextMapPropagator()


def carrier_of(span: Span) -> dict[str, str]:
    """The keys of metadata that have the context of a span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span))
    return carrier


def has_context(metadata: object) -> bool:
    """Tell whether metadata have the context of a span, or what is meant as one."""
    return isinstance(metadata, Mapping) and "traceparent" in metadata


def context_in(metadata: object) -> SpanContext:
    """The context of the span that is in metadata; an invalid one if there is none."""
    found = metadata if isinstance(metadata, Mapping) else {}
    carrier = {key: str(found[key]) for key in _PROPAGATOR.fields if key in found}
    return get_current_span(_PROPAGATOR.extract(carrier, Context())).get_span_context()


def with_context(metadata: object, carrier: dict[str, str]) -> object:
    """Metadata with a context, unless they have one or are none."""
    if not carrier or has_context(metadata):
        return metadata
    if isinstance(metadata, Mapping):
        return {**metadata, **carrier}
    return carrier if metadata is None else metadata


def metadata_of_each(messages: object, metadata: object) -> list[object] | None:
    """The metadata of each message of a batch; None if an argument is wrong, which is refused."""
    if not isinstance(messages, tuple):
        return None
    if metadata is None or isinstance(metadata, Mapping):
        return [metadata] * len(messages)
    if isinstance(metadata, list | tuple) and len(metadata) == len(messages):
        return [*metadata]
    return None
