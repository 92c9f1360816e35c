"""Catching up: a durable subscription works off what is there."""

import time
from collections.abc import Callable
from itertools import count
from typing import Any

from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench, Database
from benchmarks.contenders.contract import Contender
from benchmarks.sizes import Sizes

WORKERS = (2,)
PARTITIONS = 8
RARE = 1_000
BATCH = 1_000
LONG_READY = 100_000
"""Messages a second: whoever is made ready faster needs no word about it."""

names = (f"catch-up-{n}" for n in count())


def run(bench: Bench) -> None:
    with bench.databases(bench.offered("catch-up")) as databases:
        backlog = {each.name: backlog_of(each, bench.sizes) for each in bench.contenders}
        bench.each(databases, lambda each: filled(each, backlog[each.contender.name]))
        plain(bench, databases, backlog)
        with_defaults(bench, databases, backlog)
        exactly_once(bench, databases, backlog)
        partitioned(bench, databases, backlog)
    rare(bench)


def backlog_of(contender: Contender, sizes: Sizes) -> int:
    """As many as it handles in a few seconds: rates are compared."""
    if not contender.is_peer:
        return sizes.catch_up
    slow = contender.checkpoints_each_message
    return sizes.slow_catch_up if slow else sizes.peers_catch_up


def plain(bench: Bench, databases: dict[str, Database], backlog: dict[str, int]) -> None:
    ready = {name: made_ready(database) for name, database in databases.items()}
    figure = bench.measure(
        "catch-up/plain",
        "Catch-up of a subscription, empty handler, 1,000 messages fetched at once",
        "messages/s",
        {
            name: caught_up(database, backlog[name], clients=1)
            for name, database in databases.items()
        },
        on=databases,
    )
    for name in figure.rounds:
        figure.notes[name] = f"{backlog[name]:,} messages to catch up with"
        if (rate := backlog[name] / ready[name]) < LONG_READY:
            figure.notes[name] += f", made ready before at {rate:,.0f} messages/s"


def made_ready(database: Database) -> float:
    """Seconds until a first subscription can begin: some stores have to build its stream."""
    start = time.monotonic()
    database.agent.run("create_consumer", name=next(names))
    return time.monotonic() - start


def with_defaults(bench: Bench, databases: dict[str, Database], backlog: dict[str, int]) -> None:
    """Of peers the first messages only: some take long for each."""
    expected = {
        name: bench.sizes.defaults_catch_up if database.contender.is_peer else backlog[name]
        for name, database in databases.items()
    }
    bench.measure(
        "catch-up/defaults",
        "The same with each store's default settings",
        "messages/s",
        {
            name: caught_up(database, expected[name], clients=1, defaults=True)
            for name, database in databases.items()
        },
        on=databases,
    )


def exactly_once(bench: Bench, databases: dict[str, Database], backlog: dict[str, int]) -> None:
    bench.measure(
        "catch-up/once",
        "Catch-up with a row for each message, exactly once",
        "messages/s",
        {
            name: caught_up(database, backlog[name], clients=1, once=True)
            for name, database in databases.items()
            if "catch-up/once" not in database.contender.lacks
        },
    )


def partitioned(bench: Bench, databases: dict[str, Database], backlog: dict[str, int]) -> None:
    """Workers are processes; the plain read of one process is what it is compared with."""
    for workers in WORKERS:
        chosen = {
            name: caught_up(
                database,
                backlog[name],
                clients=1 if name == "raw" else workers,
                partitions=1 if name == "raw" else PARTITIONS,
            )
            for name, database in databases.items()
            if "catch-up/partitions" not in database.contender.lacks
        }
        bench.measure(
            f"catch-up/partitions/{workers}",
            f"Catch-up of {PARTITIONS} partitions by {workers} worker processes",
            "messages/s",
            chosen,
        )


def rare(bench: Bench) -> None:
    """A category that is 1 in 1,000 messages: what it costs to find the next batch."""
    total = bench.sizes.rare_messages
    chosen = [each for each in bench.offered("catch-up") if not each.is_peer]
    with bench.databases(chosen) as databases:
        for database in databases.values():
            database.agent.run("fill_rare", count=total, every=RARE)
            database.verify(total, [f"rare-{total // RARE}"])
            database.settle()
        bench.measure(
            "catch-up/rare",
            f"Catch-up of a category that is 1 in {RARE:,} of {total:,} messages",
            "ms",
            {name: milliseconds(database, total // RARE) for name, database in databases.items()},
            better="lower",
        )


def milliseconds(database: Database, expected: int) -> Callable[[], float]:
    each = caught_up(database, expected, clients=1, category="rare")
    return lambda: expected / each() * 1000


def filled(database: Database, count: int) -> None:
    """Store messages, one transaction after the other: no reader of a peer's may miss one here."""
    database.agent.run("fill", count=count, each=100)
    database.verify(count, [f"filled-{count}"])
    database.settle()


def caught_up(
    database: Database,
    expected: int,
    *,
    clients: int,
    partitions: int = 1,
    category: str | None = None,
    once: bool = False,
    defaults: bool = False,
) -> Callable[[], float]:
    """Messages a second; each was handled once, by the sum of amounts."""

    def run_once() -> float:
        options: dict[str, Any] = {"name": next(names), "category": category}
        options["partitions"] = partitions
        if once:
            database.execute("TRUNCATE seen")
        database.agent.run("create_consumer", **options)
        results = database.agent.run(
            "catch_up",
            clients,
            expected=expected,
            once=once,
            batch=None if defaults else BATCH,
            **options,
        )
        handled = sum(each["count"] for each in results)
        amount = sum(each["amount"] for each in results)
        all_once = amount == handled * (handled + 1) // 2
        if handled < expected or not all_once or (handled > expected and not defaults):
            raise TaskFailed(f"{database.contender.name}: handled {handled} of {expected}")
        if once and database.value("SELECT count(*) FROM seen") != expected:
            raise TaskFailed(f"{database.contender.name}: rows are missing")
        return float(handled / max(each["seconds"] for each in results))

    return run_once
