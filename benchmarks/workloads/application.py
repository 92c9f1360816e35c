"""Single writes as applications do them: over TCP, by processes with threads or asyncio tasks."""

from functools import partial

from benchmarks.bench import Bench, Database
from benchmarks.figures import percentile
from benchmarks.flush import reason_against
from benchmarks.server import Server
from benchmarks.workloads.latency import taken
from benchmarks.workloads.writes import begin, is_slow

ALONE = ("raw", "pgstore", "pgstore-grouped")
CONTENDERS = ("raw", "pgstore", "pgstore-grouped", "message-db", "eventsourcing-aggregates")
WITH_TASKS = ("raw", "pgstore", "pgstore-grouped", "message-db")


def run(bench: Bench) -> None:
    measured(bench, bench.server)


def run_slow(bench: Bench) -> None:
    if reason := reason_against():
        bench.missing[bench.workload] = reason
        return
    measured(bench, bench.slow_server)


def measured(bench: Bench, server: Server) -> None:
    sizes = bench.sizes
    chosen = [each for each in bench.offered(bench.workload) if each.name in CONTENDERS]
    with bench.databases(chosen, server, tcp=True) as databases:
        bench.each(databases, lambda each: begin(each, sizes.streams))
        if not is_slow(bench):
            compare(bench, "processes/1", "one process, one thread", databases, "write", 1)
            lone(bench, {name: each for name, each in databases.items() if name in ALONE})
        compare(
            bench,
            f"threads/{sizes.processes * sizes.threads}",
            f"{sizes.processes} processes of {sizes.threads} threads",
            databases,
            "threads",
            sizes.processes,
            threads=sizes.threads,
        )
        with_tasks = {name: each for name, each in databases.items() if name in WITH_TASKS}
        for tasks in sizes.tasks[:1] if is_slow(bench) else sizes.tasks:
            what = f"one process of {tasks} asyncio tasks"
            compare(bench, f"tasks/{tasks}", what, with_tasks, "tasks", 1, tasks=tasks)


def lone(bench: Bench, databases: dict[str, Database]) -> None:
    """How long a write takes while no other client writes."""
    found: dict[str, list[list[float]]] = {name: [] for name in databases}

    def median(name: str) -> float:
        sizes, database = bench.sizes, databases[name]
        (result,) = database.agent.run("lone", count=sizes.lone_writes, streams=sizes.streams)
        database.verify(result["stored"], [result["reference"]])
        found[name].append(result["times"])
        return percentile(result["times"], 0.5) * 1000

    title = "A lone write over TCP"
    bench.measure(
        f"{bench.workload}/lone/p50",
        f"{title}, median",
        "ms",
        {name: partial(median, name) for name in databases},
        on=databases,
        better="lower",
    )
    bench.measure(
        f"{bench.workload}/lone/p99",
        f"{title}, 99th percentile",
        "ms",
        {name: taken(times) for name, times in found.items()},
        better="lower",
    )


def compare(
    bench: Bench,
    key: str,
    what: str,
    databases: dict[str, Database],
    task: str,
    processes: int,
    **options: int,
) -> None:
    disk = ", a flush takes 1 ms" if is_slow(bench) else ""
    bench.measure(
        f"{bench.workload}/{key}",
        f"Single writes over TCP, {what}{disk}",
        "messages/s",
        {
            name: partial(rate, bench, database, task, processes, **options)
            for name, database in databases.items()
        },
        on=databases,
    )


def rate(bench: Bench, database: Database, task: str, clients: int, **options: int) -> float:
    """Messages a second of all processes; all are verified to be stored."""
    seconds, streams = bench.sizes.seconds, bench.sizes.streams
    results = database.agent.run(task, clients, seconds=seconds, streams=streams, **options)
    stored = sum(each["stored"] for each in results)
    database.verify(stored, [each["reference"] for each in results[:2]])
    return float(sum(each["written"] / each["seconds"] for each in results))
