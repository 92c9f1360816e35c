"""Single writes: one event a transaction, by 1, 8 and 32 clients."""

from collections.abc import Callable

from benchmarks.bench import Bench, Database
from benchmarks.flush import reason_against
from pgstore import embedded

HOT = 4


SHORTER = 0.5
"""Of the usual seconds: on busy streams, and for one client."""
MORE = 2
"""More rounds for one client: it waits for each flush, and how long those take drifts with whatever
else the disk does. Values that are near in time can be compared."""


def run(bench: Bench) -> None:
    everywhere(bench, bench.server)


def run_slow(bench: Bench) -> None:
    """The same where a flush of the disk takes 1 ms."""
    if reason := reason_against():
        bench.missing[bench.workload] = reason
        return
    with bench.slow_server() as server:
        everywhere(bench, server)


def everywhere(bench: Bench, server: embedded.Server) -> None:
    sizes = bench.sizes
    for streams in (sizes.streams, HOT) if sizes.busy_streams else (sizes.streams,):
        by_pgbench(bench, streams, server)
        by_clients(bench, streams, server)


def by_pgbench(bench: Bench, streams: int, server: embedded.Server) -> None:
    chosen = [each for each in bench.offered(bench.workload) if each.script(streams)]
    with bench.databases(chosen, server) as databases:
        bench.each(databases, lambda each: begin(each, streams))
        bench.each(databases, lambda each: each.pgbench(script(each, streams), 1, 0.5))
        counts = bench.sizes.pgbench_clients
        for count in counts:

            def one(database: Database, count: int = count) -> Callable[[], float]:
                text = script(database, streams)
                return lambda: database.pgbench(text, count, seconds(bench, streams, count))

            measure(bench, "pgbench", "pgbench", streams, count, counts, databases, one)


def by_clients(bench: Bench, streams: int, server: embedded.Server) -> None:
    with bench.databases(bench.offered(bench.workload), server) as databases:
        bench.each(databases, lambda each: begin(each, streams))
        bench.each(databases, lambda each: rate(each, 4, 0.5, streams))  # warms up
        counts = bench.sizes.python_clients
        for count in counts:

            def one(database: Database, count: int = count) -> Callable[[], float]:
                return lambda: rate(database, count, seconds(bench, streams, count), streams)

            measure(bench, "clients", "the store's client", streams, count, counts, databases, one)


def measure(
    bench: Bench,
    how: str,
    by: str,
    streams: int,
    count: int,
    counts: tuple[int, ...],
    databases: dict[str, Database],
    one: Callable[[Database], Callable[[], float]],
) -> None:
    where = "hot" if streams == HOT else "spread"
    disk = ", a flush takes 1 ms" if bench.workload.endswith("slow-disk") else ""
    bench.measure(
        f"{bench.workload}/{how}/{where}/{count}",
        f"Single writes by {by}, {clients_of(count)}, {streams_of(streams)}{disk}",
        "messages/s",
        {name: one(database) for name, database in databases.items()},
        on=databases,
        rounds=rounds_of(bench, streams, count, max(counts)),
    )


def rounds_of(bench: Bench, streams: int, count: int, most: int) -> int:
    """All of them where there is a target; elsewhere it is the order of things that counts."""
    if streams == HOT:
        return 1
    if count == 1 and bench.sizes.rounds > 1:
        return bench.sizes.rounds + MORE
    return bench.sizes.rounds if count in (1, most) else min(2, bench.sizes.rounds)


def seconds(bench: Bench, streams: int, count: int) -> float:
    return bench.sizes.seconds * (SHORTER if streams == HOT or count == 1 else 1)


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
