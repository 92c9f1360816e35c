"""What is measured, one module each; `run` fills the figures of a bench."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.workloads import (
    application,
    batches,
    bytes,
    catch_up,
    consumers,
    growth,
    history,
    horizon,
    jobs,
    latency,
    order,
    reads,
    snapshot,
    ways,
    writers,
    writes,
)

WORKLOADS: dict[str, Callable[[Bench], None]] = {
    "writes": writes.run,
    "writes-slow-disk": writes.run_slow,
    "application": application.run,
    "application-slow-disk": application.run_slow,
    "ways": ways.run,
    "batches": batches.run,
    "reads": reads.run,
    "catch-up": catch_up.run,
    "jobs": jobs.run,
    "latency": latency.run,
    "consumers": consumers.run,
    "horizon": horizon.run,
    "order": order.run,
    "bytes": bytes.run,
    "snapshot": snapshot.run,
    "growth": growth.run,
    "writers": writers.run,
    "history": history.run,
}

BY_SIZE = ("growth", "writers")
"""The workloads of the charts by size, which have a run of their own: filling takes minutes."""

ON_REQUEST = ("history",)
"""Workloads that take an hour, and tens of gigabytes of disk."""
