"""OpenTelemetry: spans and metrics of stores; installed by `pgstore[otel]`."""

from typing import Any

try:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
except ImportError as error:
    raise ImportError(
        f"pgstore.otel needs OpenTelemetry: pip install 'pgstore[otel]'. Python says: {error}"
    ) from error

from pgstore._async.store import AsyncMessageStore
from pgstore._core.arguments import describe
from pgstore._sync.store import MessageStore
from pgstore.errors import InvalidArgumentError
from pgstore.otel._async.tracing import async_trace
from pgstore.otel._sync.tracing import trace
from pgstore.otel._telemetry import Telemetry

__all__ = ["instrument"]


def instrument(
    store: AsyncMessageStore[Any] | MessageStore[Any],
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    create_spans: bool = True,
) -> None:
    """Have a store make spans and metrics from now on, and write its trace context into metadata.

    This store and its `raw`; another store made of it is instrumented by a call of its own. To
    instrument a store again does nothing.

    Args:
        tracer_provider, meter_provider: whose spans and metrics they are; by default the global
            ones.
        create_spans: make a span for each message of a `write_many`, beside that of the call.

    Raises:
        InvalidArgumentError: it is no store, or a provider is none.
    """
    if not isinstance(store, AsyncMessageStore | MessageStore):
        raise InvalidArgumentError(f"instrument takes a store, not {describe(store)}")
    for name, provider, wanted in (
        ("tracer_provider", tracer_provider, TracerProvider),
        ("meter_provider", meter_provider, MeterProvider),
    ):
        if provider is not None and not isinstance(provider, wanted):
            raise InvalidArgumentError(
                f"{name} must be OpenTelemetry's {wanted.__name__}, or None for the global one,"
                f" not {describe(provider)}"
            )
    if not isinstance(create_spans, bool):
        raise InvalidArgumentError(
            f"create_spans must be True or False, not {describe(create_spans)}"
        )
    source = store._database.source
    telemetry = Telemetry(
        source.name, source.conninfo, tracer_provider, meter_provider, create_spans
    )
    if isinstance(store, AsyncMessageStore):
        async_trace(store, telemetry)
    else:
        trace(store, telemetry)
