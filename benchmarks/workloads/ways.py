"""What each way to write costs: a message alone, in a caller's transaction, in a batch, grouped."""

from collections.abc import Callable

from benchmarks.bench import Bench, Database
from benchmarks.flush import reason_against
from benchmarks.server import Server
from benchmarks.workloads.application import rate as rate_of
from benchmarks.workloads.batches import rate as batch_rate
from benchmarks.workloads.writes import begin

SIZES = (10, 100, 1_000)
"""Of batches."""
TRANSACTION = 10
CONTENDERS = ("raw", "pgstore", "pgstore-grouped")


def run(bench: Bench) -> None:
    measured(bench, bench.server, "ways/fast", "")
    if reason := reason_against():
        bench.missing["ways/slow"] = reason
        return
    measured(bench, bench.slow_server, "ways/slow", ", a flush takes 1 ms")


def measured(bench: Bench, server: Server, key: str, disk: str) -> None:
    chosen = [each for each in bench.offered("ways") if each.name in CONTENDERS]
    with bench.databases(chosen, server) as databases:
        bench.each(databases, lambda each: begin(each, bench.sizes.streams))
        bench.measure(
            key,
            f"Cost of a message, one process{disk}",
            "µs/message",
            {
                f"{name}/{way}": cost
                for name, database in databases.items()
                for way, cost in ways(bench, database).items()
            },
            on=databases,
            better="lower",
            limit="raw/INSERT",
        )


def ways(bench: Bench, database: Database) -> dict[str, Callable[[], float]]:
    """Microseconds a message, by each way that the contender has."""
    tasks = bench.sizes.tasks[0]

    def microseconds(task: str, **options: int) -> Callable[[], float]:
        return lambda: 1e6 / rate_of(bench, database, task, 1, **options)

    def of_batches(size: int) -> Callable[[], float]:
        return lambda: 1e6 / batch_rate(database, "batches", size, bench.sizes.batch_seconds)

    by_tasks = {f"write, {tasks} tasks": microseconds("tasks", tasks=tasks)}
    if database.contender.name == "raw":
        return {"INSERT": microseconds("write")}
    if database.contender.name == "pgstore-grouped":
        return by_tasks
    return {
        "write": microseconds("write"),
        f"write(conn=), {TRANSACTION} in a transaction": microseconds(
            "transactions", size=TRANSACTION
        ),
        **{f"write_many of {size:,}": of_batches(size) for size in SIZES},
        **by_tasks,
    }
