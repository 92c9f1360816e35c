"""What readers cost the writers: 32 of them, with 0, 1 and 10 consumers attached."""

import time
from collections.abc import Callable
from itertools import count

from benchmarks.bench import Bench, Database
from benchmarks.workloads.writes import script

SETTLING = 0.7
"""Seconds for consumers to connect, to find their partitions and to fall asleep: starting is not
what is measured. The writers without any wait as long."""

CONTENDERS = ("raw", "notified", "pgstore", "message-db")

names = (f"consumers-{n}" for n in count())


def run(bench: Bench) -> None:
    clients = max(bench.sizes.pgbench_clients)
    streams = bench.sizes.streams
    chosen = [each for each in bench.offered("consumers") if each.name in CONTENDERS]
    with bench.databases(chosen) as databases:
        bench.each(
            databases, lambda database: database.pgbench(script(database, streams), clients, 0.5)
        )
        for kind, category in (("quiet", "elsewhere"), ("following", None)):

            def one(
                database: Database, consumers: int, category: str | None = category
            ) -> Callable[[], float]:
                return lambda: rate(bench, database, clients, streams, consumers, category)

            what = "of another category" if category else "of these messages"
            bench.measure(
                f"consumers/{kind}",
                f"Writes by pgbench, {clients} clients, with so many consumers {what}",
                "messages/s",
                {
                    f"{name}/{consumers}": one(database, consumers)
                    for name, database in databases.items()
                    for consumers in bench.sizes.consumers
                },
                on=databases,
                limit=None,
            )


def rate(
    bench: Bench,
    database: Database,
    clients: int,
    streams: int,
    consumers: int,
    category: str | None,
) -> float:
    text = script(database, streams)
    settling = min(SETTLING, bench.sizes.seconds)
    if consumers == 0:
        time.sleep(settling)
        return database.pgbench(text, clients, bench.sizes.seconds)
    name = next(names)
    with database.another_agent() as agent:
        for n in range(consumers):
            agent.run("create_consumer", name=f"{name}-{n}", category=category, at_end=True)
        agent.start("consume", consumers, name=name, category=category)
        time.sleep(settling)
        found = database.pgbench(text, clients, bench.sizes.seconds)
        agent.finish()
    return found
