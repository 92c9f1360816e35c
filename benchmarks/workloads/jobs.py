"""Jobs: one worker takes them, does nothing, and acknowledges each, or many at once."""

from collections.abc import Callable
from itertools import count

from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench, Database

MANY = 100
MORE = 10
"""Times the jobs, where a worker takes many at once."""

CONTENDERS = ("skip-locked", "pgstore", "pgmq", "procrastinate")

names = (f"jobs-{n}" for n in count())


def run(bench: Bench) -> None:
    chosen = [each for each in bench.offered("jobs") if each.name in CONTENDERS]
    with bench.databases(chosen) as databases:
        for batch, title in (
            (1, "Jobs of one worker, one at a time, each acknowledged"),
            (MANY, f"Jobs of one worker, up to {MANY} at once"),
        ):
            jobs = bench.sizes.jobs * (1 if batch == 1 else MORE)
            bench.measure(
                f"jobs/{batch}",
                title,
                "jobs/s",
                {name: worked_off(database, jobs, batch) for name, database in databases.items()},
                on=databases,
                limit="skip-locked",
            )


def worked_off(database: Database, jobs: int, batch: int) -> Callable[[], float]:
    """Jobs a second; each was handled once, by the sum of amounts."""
    contender = database.contender

    def once() -> float:
        name = next(names)
        expected = jobs // MORE if batch > 1 and contender.checkpoints_each_message else jobs
        database.agent.run("create_consumer", name=name, at_end=True)
        database.agent.run("fill", count=expected, each=MANY, name=f"{name}-")
        database.verify(expected, [])
        database.settle()
        (result,) = database.agent.run("catch_up", name=name, expected=expected, batch=batch)
        if (result["count"], result["amount"]) != (expected, expected * (expected + 1) // 2):
            raise TaskFailed(f"{contender.name}: {result['count']} of {expected} jobs")
        return float(expected / result["seconds"])

    return once
