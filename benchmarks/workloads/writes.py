"""Single writes: one event a transaction, by 1, 8 and 32 clients."""

from collections.abc import Callable

from benchmarks.bench import Bench, Database
from benchmarks.flush import reason_against
from pgstore import embedded

HOT = 4


def run(bench: Bench) -> None:
    sizes = bench.sizes
    by_pgbench(bench, sizes.streams, "spread", sizes.pgbench_clients)
    by_python(bench, sizes.streams, "spread", sizes.python_clients)
    if sizes.busy_streams:
        by_pgbench(bench, HOT, "hot", (max(sizes.pgbench_clients),))
        by_python(bench, HOT, "hot", (max(sizes.python_clients),))


def run_slow(bench: Bench) -> None:
    """The same where a flush of the disk takes 1 ms."""
    if reason := reason_against():
        print(f"  not measured: {reason}")
        return
    most = max(bench.sizes.pgbench_clients)
    with bench.slow_server() as server:
        by_pgbench(bench, bench.sizes.streams, "spread", (most,), server)
        if bench.sizes.slow_clients:
            by_python(bench, bench.sizes.streams, "spread", bench.sizes.slow_clients, server)


def by_pgbench(
    bench: Bench,
    streams: int,
    where: str,
    clients: tuple[int, ...],
    server: embedded.Server | None = None,
) -> None:
    chosen = [each for each in bench.offered("writes") if each.script(streams)]
    with bench.databases(chosen, server) as databases:
        bench.each(databases, lambda database: begin(database, streams))
        bench.each(databases, lambda database: database.pgbench(script(database, streams), 1, 1))
        for count in clients:

            def one(database: Database, count: int = count) -> Callable[[], float]:
                return lambda: database.pgbench(
                    script(database, streams), count, bench.sizes.seconds
                )

            bench.measure(
                f"{bench.workload}/pgbench/{where}/{count}",
                f"Single writes by pgbench, {clients_of(count)}, {streams_of(streams)}",
                "messages/s",
                {name: one(database) for name, database in databases.items()},
            )


def by_python(
    bench: Bench,
    streams: int,
    where: str,
    clients: tuple[int, ...],
    server: embedded.Server | None = None,
) -> None:
    with bench.databases(bench.offered("writes"), server) as databases:
        bench.each(databases, lambda database: begin(database, streams))
        bench.each(databases, lambda database: rate(database, 4, 1, streams))  # warms up
        for count in clients:

            def one(database: Database, count: int = count) -> Callable[[], float]:
                return lambda: rate(database, count, bench.sizes.seconds, streams)

            bench.measure(
                f"{bench.workload}/clients/{where}/{count}",
                f"Single writes by the store's client, {clients_of(count)}, {streams_of(streams)}",
                "messages/s",
                {name: one(database) for name, database in databases.items()},
            )


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
