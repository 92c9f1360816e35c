"""Single writes: one event a transaction, by 1, 8 and 32 clients."""

from collections.abc import Callable

from benchmarks.bench import Bench, Database
from benchmarks.flush import reason_against
from benchmarks.server import Server

HOT = 4
WARM = 0.5
"""Seconds."""


def run(bench: Bench) -> None:
    everywhere(bench, bench.server)


def run_slow(bench: Bench) -> None:
    """The same where a flush of the disk takes 1 ms."""
    if reason := reason_against():
        bench.missing[bench.workload] = reason
        return
    everywhere(bench, bench.slow_server)


def everywhere(bench: Bench, server: Server) -> None:
    sizes = bench.sizes
    by_pgbench(bench, sizes.streams, server)
    by_clients(bench, sizes.streams, server)
    if sizes.busy_streams and not is_slow(bench):
        by_clients(bench, HOT, server)


def by_pgbench(bench: Bench, streams: int, server: Server) -> None:
    chosen = [each for each in bench.offered(bench.workload) if each.script(streams)]
    warm = min(WARM, bench.sizes.seconds)
    with bench.databases(chosen, server) as databases:
        bench.each(databases, lambda each: begin(each, streams))
        bench.each(databases, lambda each: each.pgbench(script(each, streams), 1, warm))
        for count in counts_of(bench, bench.sizes.pgbench_clients, streams):

            def one(database: Database, count: int = count) -> Callable[[], float]:
                text = script(database, streams)
                return lambda: database.pgbench(text, count, bench.sizes.seconds)

            measure(bench, "pgbench", "pgbench", streams, count, databases, one)


def by_clients(bench: Bench, streams: int, server: Server) -> None:
    chosen = [each for each in bench.offered(bench.workload) if not each.sql_only]
    warm = min(WARM, bench.sizes.seconds)
    with bench.databases(chosen, server) as databases:
        bench.each(databases, lambda each: begin(each, streams))
        bench.each(databases, lambda each: rate(each, 4, warm, streams))  # warms up
        for count in counts_of(bench, bench.sizes.python_clients, streams):

            def one(database: Database, count: int = count) -> Callable[[], float]:
                return lambda: rate(database, count, bench.sizes.seconds, streams)

            measure(bench, "clients", "the store's client", streams, count, databases, one)


def measure(
    bench: Bench,
    how: str,
    by: str,
    streams: int,
    count: int,
    databases: dict[str, Database],
    one: Callable[[Database], Callable[[], float]],
) -> None:
    where = "hot" if streams == HOT else "spread"
    disk = ", a flush takes 1 ms" if is_slow(bench) else ""
    bench.measure(
        f"{bench.workload}/{how}/{where}/{count}",
        f"Single writes by {by}, {clients_of(count)}, {streams_of(streams)}{disk}",
        "messages/s",
        {name: one(database) for name, database in databases.items()},
        on=databases,
    )


def counts_of(bench: Bench, counts: tuple[int, ...], streams: int) -> tuple[int, ...]:
    """How many clients; on busy streams, where they queue, only the most."""
    if is_slow(bench):
        return bench.sizes.slow_clients
    return counts[-1:] if streams == HOT else counts


def is_slow(bench: Bench) -> bool:
    return bench.workload.endswith("slow-disk")


def begin(database: Database, streams: int) -> None:
    """Have every stream exist: what is measured is a store in use, not the making of streams."""
    (result,) = database.agent.run("begin_streams", streams=streams)
    database.verify(result["stored"], [])
    database.settle()


def rate(database: Database, clients: int, seconds: float, streams: int) -> float:
    """Messages a second of some clients; all of them are verified to be stored."""
    results = database.agent.run("write", clients, seconds=seconds, streams=streams)
    database.verify(
        sum(each["stored"] for each in results), [each["reference"] for each in results[:2]]
    )
    return float(sum(each["written"] / each["seconds"] for each in results))


def script(database: Database, streams: int) -> str:
    text = database.contender.script(streams)
    assert text is not None
    return text


def clients_of(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def streams_of(count: int) -> str:
    return f"{count} busy streams" if count == HOT else f"{count:,} streams"
