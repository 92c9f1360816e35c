"""Batches: 10 to 10,000 events in one transaction, each batch to a new stream, one client."""

import statistics
from collections.abc import Callable

from benchmarks.bench import Bench, Database
from benchmarks.kinds import KINDS

KIND_SIZE = 1_000


def run(bench: Bench) -> None:
    by_size(bench)
    by_kind(bench)


def by_size(bench: Bench) -> None:
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


def by_kind(bench: Bench) -> None:
    """What the class of the events costs a batch."""
    chosen = [each for each in bench.offered("batches") if each.name in ("raw", "pgstore")]
    seconds = bench.sizes.batch_seconds
    with bench.databases(chosen) as databases:
        raw, ours = databases["raw"], databases["pgstore"]

        def of_kind(kind: str) -> Callable[[], float]:
            return lambda: rate(ours, "batches_of_kind", KIND_SIZE, seconds, kind=kind)

        bench.measure(
            "batches/kinds",
            f"Batches of {KIND_SIZE:,}, one client, by the class of the events",
            "messages/s",
            {
                "raw": lambda: rate(raw, "copies", KIND_SIZE, seconds),
                **{f"pgstore/{kind}": of_kind(kind) for kind in KINDS},
            },
            on=databases,
        )


def rate(database: Database, task: str, size: int, seconds: float, **options: str) -> float:
    """Messages a second by the median batch."""
    (result,) = database.agent.run(task, 1, size=size, seconds=seconds, **options)
    database.verify(result["stored"], [result["reference"]])
    return float(size / statistics.median(result["times"]))
