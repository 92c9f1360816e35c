"""Growth: the same work on ten thousand messages and on ten million."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench, Database
from benchmarks.workloads.batches import rate as batch_rate
from benchmarks.workloads.bytes import log_position
from benchmarks.workloads.latency import delays
from benchmarks.workloads.writes import begin, script
from benchmarks.workloads.writes import rate as write_rate

SHORT = 100
BATCH = 1_000
NEW = 10_000
"""Messages to catch up with, by a subscription that had seen all others."""

CONTENDERS = ("raw", "pgstore", "message-db")

names = (f"growth-{n}" for n in count())

Work = Callable[[], float]


def run(bench: Bench) -> None:
    sizes = bench.sizes.growth
    filled = [each for each in bench.offered("growth") if each.name in CONTENDERS]
    with bench.several(filled, len(sizes)) as databases:
        stores: dict[str, Database] = {}
        for contender in filled:
            # The largest takes minutes to fill.
            for size in sizes[:-1] if contender.is_peer else sizes:
                database = databases[contender.name][sizes.index(size)]
                bulk_fill(database, size)
                begin(database, bench.sizes.streams)
                stores[f"{contender.name}/{size}"] = database
        bytes_by_size(bench, stores)
        work_by_size(bench, stores)


def work_by_size(bench: Bench, stores: dict[str, Database]) -> None:
    own = {name: each for name, each in stores.items() if not each.contender.is_peer}
    clients = max(bench.sizes.pgbench_clients)
    seconds, streams = bench.sizes.seconds, bench.sizes.streams
    probes = max(2, bench.sizes.probes // 4)

    def measure(
        key: str,
        title: str,
        work: Callable[[str, Database], Work],
        chosen: dict[str, Database],
        unit: str = "messages/s",
    ) -> None:
        bench.measure(
            f"growth/{key}",
            f"{title}, on so many messages",
            unit,
            {name: work(name, database) for name, database in chosen.items()},
            on=chosen,
            better="lower" if unit == "ms" else "higher",
            limit=None,
        )

    def by_pgbench(_: str, database: Database) -> Work:
        text = script(database, streams)
        database.pgbench(text, clients, 0.5)  # warms up
        return lambda: database.pgbench(text, clients, seconds)

    def by_client(_: str, database: Database) -> Work:
        return lambda: write_rate(database, 1, seconds / 2, streams)

    def by_batches(_: str, database: Database) -> Work:
        task = "copies" if database.contender.name == "raw" else "batches"
        return lambda: batch_rate(database, task, BATCH, bench.sizes.batch_seconds)

    def from_write_to_handler(_: str, database: Database) -> Work:
        return lambda: 1000 * sorted(found := delays(database, probes, 0))[len(found) // 2]

    measure("writes", f"Writes by pgbench, {clients} clients", by_pgbench, stores)
    measure("client", "Writes by the store's client, 1 client", by_client, stores)
    measure("reads", f"Read {SHORT} streams of 10", short_reads, stores)
    measure("batches", f"Batches of {BATCH:,}", by_batches, own)
    measure("catch-up", f"Catch-up of the last {NEW:,}", catch_up, own)
    waking = {name: each for name, each in own.items() if each.contender.name != "raw"}
    measure("latency", "From write to handler, idle, median", from_write_to_handler, waking, "ms")


def bulk_fill(database: Database, size: int) -> None:
    *parts, end = database.contender.fill(size)
    with ThreadPoolExecutor() as pool:
        list(pool.map(database.execute, parts))
    database.execute(end)
    database.verify(size, [])
    database.settle()


def short_reads(name: str, database: Database) -> Work:
    most = int(name.partition("/")[2]) // 10  # more was written meanwhile, to other streams
    streams = [f"account-filled{n}" for n in range(1, most + 1, max(1, most // SHORT))][:SHORT]

    def once() -> float:
        (result,) = database.agent.run("read", streams=streams)
        if result["count"] != SHORT * 10:
            raise TaskFailed(f"{database.contender.name}: read {result['count']} of {SHORT * 10}")
        return float(result["count"] / result["seconds"])

    return once


def catch_up(_: str, database: Database) -> Work:
    def once() -> float:
        name = next(names)
        database.agent.run("create_consumer", name=name, at_end=True)
        database.agent.run("fill", count=NEW, each=100, name=f"{name}-")
        database.verify(NEW, [f"{name}--{NEW}"])
        (result,) = database.agent.run("catch_up", name=name, expected=NEW)
        return float(result["count"] / result["seconds"])

    return once


def bytes_by_size(bench: Bench, stores: dict[str, Database]) -> None:
    """What a message takes in the table and its indexes, and in the log of more writes."""
    clients = max(bench.sizes.pgbench_clients)

    def of(database: Database, size: str) -> Work:
        query = f"SELECT {size}('{database.contender.table}')"
        return lambda: database.value(query) / database.written

    def log_of(database: Database) -> Work:
        def once() -> float:
            database.settle()
            before, written = log_position(database), database.written
            database.pgbench(script(database, bench.sizes.streams), clients, bench.sizes.seconds)
            return (log_position(database) - before) / (database.written - written)

        return once

    for key, title, work in (
        ("table", "Table", lambda each: of(each, "pg_table_size")),
        ("index", "Indexes", lambda each: of(each, "pg_indexes_size")),
        ("log", "Write-ahead log of single writes", log_of),
    ):
        bench.measure(
            f"growth/{key}",
            f"{title} for a message, in so many",
            "bytes/message",
            {name: work(database) for name, database in stores.items()},
            better="lower",
            rounds=1,
            limit=None,
        )
