"""Single writes by pgbench, by 1 to 64 writers: what a message costs when more of them write."""

from collections.abc import Callable

from benchmarks.bench import Bench, Database
from benchmarks.workloads.writes import begin, script

CONTENDERS = ("raw", "floor", "pgstore", "message-db", "message-db-categories")


def run(bench: Bench) -> None:
    streams, seconds = bench.sizes.streams, bench.sizes.seconds
    chosen = [each for each in bench.offered("writers") if each.name in CONTENDERS]
    with bench.databases(chosen) as databases:
        bench.each(databases, lambda each: begin(each, streams))
        bench.each(databases, lambda each: each.pgbench(script(each, streams), 1, 0.5))

        def one(database: Database, writers: int) -> Callable[[], float]:
            return lambda: database.pgbench(script(database, streams), writers, seconds)

        bench.measure(
            "writers/pgbench",
            f"Single writes by pgbench, {streams:,} streams, by so many writers",
            "messages/s",
            {
                f"{name}/{writers}": one(database, writers)
                for name, database in databases.items()
                for writers in bench.sizes.writers
            },
            on=databases,
            limit=None,
        )
