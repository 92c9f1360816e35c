"""From the call that writes to the handler's first line, while idle and under load."""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import count

from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench, Database
from benchmarks.figures import percentile

PAUSE = 0.015
LOAD = 400
POLLING = ("depeche", "message-db", "emmett")
"""Not measured under load: they take as long as they wait between two looks."""
LOADERS = 4
FILLED = 2_000

names = (f"latency-{n}" for n in count())


def run(bench: Bench) -> None:
    with bench.databases(bench.offered("latency")) as databases:
        bench.each(databases, fill)
        for load in (0, LOAD):
            rounds: dict[str, list[list[float]]] = {name: [] for name in databases}

            def one(
                name: str, rounds: dict[str, list[list[float]]] = rounds, load: int = load
            ) -> Callable[[], float]:
                def measured() -> float:
                    found = delays(databases[name], bench.sizes.probes, load)
                    rounds[name].append(found)
                    return percentile(found, 0.5) * 1000

                return measured

            where = "idle" if load == 0 else "load"
            title = "From write to handler"
            about = "idle" if load == 0 else f"while {load} messages/s are written"
            figure = bench.measure(
                f"latency/{where}/p50",
                f"{title}, {about}, median",
                "ms",
                {name: one(name) for name in databases if load == 0 or name not in POLLING},
                on=databases,
                better="lower",
                limit="echo",
            )
            for name, found in rounds.items():
                if lost := bench.sizes.probes * len(found) - sum(map(len, found)):
                    figure.notes[name] = f"{lost} messages were never handled"
            bench.measure(
                f"latency/{where}/p99",
                f"{title}, {about}, 99th percentile",
                "ms",
                {name: taken(found) for name, found in rounds.items()},
                better="lower",
                limit="echo",
            )


def fill(database: Database) -> None:
    """Have statistics as they are in a store that is in use."""
    database.agent.run("fill", count=FILLED, each=10)
    database.verify(FILLED, [])
    database.settle()


def taken(found: list[list[float]]) -> Callable[[], float | None]:
    """The second percentile of the same rounds."""
    left = iter(found)

    def one() -> float | None:
        delays = next(left, None)
        return None if delays is None else percentile(delays, 0.99) * 1000

    return one


def delays(database: Database, probes: int, load: int) -> list[float]:
    """The delay of each probe, in seconds; the consumer gets the load's messages too."""
    name = next(names)
    with database.another_agent() as consumer, ExitStack() as opened:
        loader = opened.enter_context(database.another_agent()) if load else None
        consumer.run("create_consumer", name=f"{name}-0", at_end=True)
        consumer.start("consume", name=name)
        if loader:
            loader.start("write", LOADERS, seconds=600, streams=1_000, per_second=load / LOADERS)
        results = database.agent.run("probe", count=probes, pause=PAUSE)
        results += loader.finish() if loader else []
        stored = sum(each["stored"] for each in results)
        consumer.wait_for(stored, timeout=30, quiet=2)
        (handled,) = consumer.finish()
    database.verify(stored, [])
    found: list[float] = handled["delays"]
    if len(found) < probes / 2:
        raise TaskFailed(f"{database.contender.name}: {len(found)} of {probes} handled")
    return found
