"""Reading: one long stream, many short ones, and everything in order with its peak memory."""

from collections.abc import Callable
from typing import Any

from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench, Database

SHORT = 10


def run(bench: Bench) -> None:
    sizes = bench.sizes
    with bench.databases(bench.offered("reads")) as databases:
        bench.each(databases, lambda each: fill(each, sizes.long_stream, sizes.long_stream, "long"))
        bench.each(databases, lambda each: fill(each, sizes.short_streams * SHORT, SHORT, "short"))
        work: dict[str, Callable[[], float]] = {
            name: rate(database, ["account-long1"], sizes.long_stream)
            for name, database in databases.items()
        }
        work["raw/undecoded"] = rate(
            databases["raw"], ["account-long1"], sizes.long_stream, bare=True
        )
        bench.measure(
            "reads/stream",
            f"Read and decode a stream of {sizes.long_stream:,}",
            "messages/s",
            work,
            rounds=sizes.rounds * 3,
        )
        streams = [f"account-short{n}" for n in range(1, sizes.short_streams + 1)]
        bench.measure(
            "reads/short",
            f"Read and decode {sizes.short_streams:,} streams of {SHORT}, one after the other",
            "messages/s",
            {
                name: rate(database, streams, sizes.short_streams * SHORT)
                for name, database in databases.items()
            },
        )
    for count in (sizes.everything // 10, sizes.everything):
        everything(bench, count)


def everything(bench: Bench, count: int) -> None:
    chosen = [
        each
        for each in bench.offered("reads")
        if (not each.is_peer or count <= bench.sizes.peers_everything)
        and "reads/everything" not in each.lacks
    ]
    peaks: dict[str, list[float]] = {}
    with bench.databases(chosen) as databases:
        bench.each(databases, lambda each: fill(each, count, min(1_000, count), "filled"))
        bench.measure(
            f"reads/everything/{count}",
            f"Read and decode everything in order, {count:,} messages",
            "messages/s",
            {name: all_of(database, count, peaks) for name, database in databases.items()},
            on=databases,
        )
    bench.measure(
        f"reads/memory/{count}",
        f"Peak memory of reading everything, {count:,} messages",
        "MB",
        {name: iter(found).__next__ for name, found in peaks.items()},
        better="lower",
    )


def fill(database: Database, count: int, each: int, name: str) -> None:
    database.agent.run("fill", count=count, each=each, name=name)
    database.verify(count, [f"{name}-{count}"])
    database.settle()


def rate(
    database: Database, streams: list[str], expected: int, *, bare: bool = False
) -> Callable[[], float]:
    options: dict[str, Any] = {"bare": True} if bare else {}

    def once() -> float:
        (result,) = database.agent.run("read", streams=streams, **options)
        if result["count"] != expected:
            raise TaskFailed(f"{database.contender.name}: read {result['count']} of {expected}")
        return float(expected / result["seconds"])

    return once


def all_of(database: Database, count: int, peaks: dict[str, list[float]]) -> Callable[[], float]:
    def once() -> float:
        (result,) = database.agent.run("read_all")
        if (result["count"], result["amount"]) != (count, count * (count + 1) // 2):
            raise TaskFailed(f"{database.contender.name}: read {result['count']} of {count}")
        peaks.setdefault(database.contender.name, []).append(result["peak"] / 2**20)
        return float(count / result["seconds"])

    return once
