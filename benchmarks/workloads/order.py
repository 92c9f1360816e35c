"""Does a reader of the global order see every message once, while many transactions commit?"""

from collections import Counter

from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench, Database
from benchmarks.figures import Figure

STREAMS = 1_000
PER_SECOND = 12
"""Transactions of each writer, so that every reader can keep up."""

VARIANTS: dict[str, dict[str, str | None]] = {
    "raw": {"raw/position > last": None},
    "pgstore": {"pgstore/follow": None, "pgstore/subscription": "order"},
}


def run(bench: Bench) -> None:
    writers = bench.sizes.order_writers
    figures = {
        kind: Figure(
            key=f"order/{kind}",
            workload=bench.workload,
            title=f"Messages {kind} by a reader of the global order, {writers} writers",
            unit="% of messages",
            better="lower",
            limit=None,
        )
        for kind in ("missed", "doubled")
    }
    chosen = [each for each in bench.offered("order") if each.global_order]
    for contender in chosen:
        for variant, subscription in VARIANTS.get(contender.name, {contender.name: None}).items():
            with bench.databases([contender]) as databases:
                for database in databases.values():
                    try:
                        compare(bench, database, variant, subscription, figures)
                    except TaskFailed as error:
                        if not contender.is_peer:
                            raise
                        figures["missed"].notes[variant] = f"failed: {error}"
    for figure in figures.values():
        bench.add(figure)


def compare(
    bench: Bench,
    database: Database,
    label: str,
    subscription: str | None,
    figures: dict[str, Figure],
) -> None:
    written, seen = read_while_writing(bench, database, subscription)
    counted = Counter(seen)
    missed = len(written - counted.keys())
    doubled = sum(count - 1 for count in counted.values())
    for kind, count in (("missed", missed), ("doubled", doubled)):
        figures[kind].add(label, 100 * count / len(written))
        figures[kind].notes[label] = f"{count:,} of {len(written):,}"


def read_while_writing(
    bench: Bench, database: Database, subscription: str | None
) -> tuple[set[str], list[str]]:
    """What was committed, and what a reader saw that was there all the time."""
    with database.another_agent() as reader:
        if subscription:
            reader.run("create_consumer", name=subscription, at_end=True)
        reader.start("follow", name=subscription)
        results = database.agent.run(
            "write_several",
            bench.sizes.order_writers,
            seconds=bench.sizes.order_seconds,
            streams=STREAMS,
            per_second=PER_SECOND,
        )
        written = [reference for each in results for reference in each["references"]]
        reader.wait_for(len(written), timeout=60, quiet=bench.sizes.order_quiet)
        (found,) = reader.finish()
    database.verify(len(written), written[-1:])
    return set(written), found["references"]
