"""Batches: 10 to 10,000 events in one transaction, each batch to a new stream, one client."""

import statistics
from collections.abc import Callable

from benchmarks.bench import Bench, Database


def run(bench: Bench) -> None:
    with bench.databases(bench.offered("batches")) as databases:
        for size in bench.sizes.batches:

            def one(database: Database, size: int = size) -> Callable[[], float]:
                # The limit sends bytes that were encoded before.
                task = "copies" if database.contender.name == "raw" else "batches"
                return lambda: rate(database, task, size, bench.sizes.batch_seconds)

            key = f"batches/{size}"
            figure = bench.measure(
                key,
                f"Batches of {size:,}, one client",
                "messages/s",
                {
                    name: one(database)
                    for name, database in databases.items()
                    if key not in database.contender.lacks
                },
                on=databases,
            )
            for name, database in databases.items():
                if reason := database.contender.lacks.get(key):
                    figure.notes[name] = reason


def rate(database: Database, task: str, size: int, seconds: float) -> float:
    """Messages a second by the median batch."""
    (result,) = database.agent.run(task, size=size, seconds=seconds)
    database.verify(result["stored"], [result["reference"]])
    return float(size / statistics.median(result["times"]))
