"""What is measured, one module each; `run` fills the figures of a bench."""

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.workloads import (
    batches,
    catch_up,
    consumers,
    growth,
    latency,
    order,
    reads,
    snapshot,
    writes,
)

WORKLOADS: dict[str, Callable[[Bench], None]] = {
    "writes": writes.run,
    "writes-slow-disk": writes.run_slow,
    "batches": batches.run,
    "reads": reads.run,
    "catch-up": catch_up.run,
    "latency": latency.run,
    "consumers": consumers.run,
    "order": order.run,
    "growth": growth.run,
    "snapshot": snapshot.run,
}
