"""Write the tables and plots of docs/performance.md and README.md.

`python -m benchmarks.report [RESULTS.json]`. In a page, a table stands between `<!-- NAME -->` and
`<!-- /NAME -->`; no figure there is written by hand. Plots go to docs/performance/.
"""

import argparse
import re
import sys
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

from benchmarks.compare import before_and_after, loads_table
from benchmarks.figures import Figure, base
from benchmarks.plots import Bar, Line, bars, lines, number
from benchmarks.record import Record, Run
from benchmarks.tables import one_line, table_of
from benchmarks.targets import targets
from pgstore._core.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
PAGES = (PAGE, ROOT / "README.md")
RESULTS = Path(__file__).parent / "results"
FULL, GROWTH, BEFORE = (RESULTS / f"{name}.json" for name in ("full", "growth", "before"))

MARKER = re.compile(r"<!-- ([\w-]+) -->\n.*?<!-- /\1 -->", re.DOTALL)

VARIANTS = {"consumers": "consumers", "growth": "messages", "writers": "writers"}
"""What the number in a variant's name counts."""

PLOTS = {
    "writes": ("writes/clients/spread/32", False),
    "writes-slow-disk": ("writes-slow-disk/clients/spread/32", False),
    "application": ("application/threads/32", False),
    "ways": ("ways/fast", True),
    "batches": ("batches/1000", False),
    "reads": ("reads/stream", False),
    "catch-up": ("catch-up/plain", True),
    "jobs": ("jobs/1", False),
    "latency": ("latency/idle/p50", True),
    "consumers": ("consumers/quiet", False),
    "order": ("order/missed", False),
    "snapshot": ("snapshot", False),
}
"""Of each plot the figure, and whether its axis is logarithmic."""

BY_MESSAGES = {
    ("growth/client", "raw"): "INSERT, 1 client",
    ("growth/client", "message-db"): "Message DB, a write, 1 client",
    ("growth/client", "pgstore"): "pgstore, write, 1 client",
    ("growth/batches", "pgstore"): "pgstore, write_many of 1,000",
    ("growth/reads", "pgstore"): "pgstore, read 100 streams of 10",
    ("growth/catch-up", "pgstore"): "pgstore, catch-up of the last 10,000",
}
"""Lines of the chart of a message's cost by how many are stored: figure and contender."""


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", nargs="?", type=Path, default=FULL)
    parser.add_argument("--growth", type=Path, default=GROWTH, help="the charts by size")
    parser.add_argument("--before", type=Path, default=BEFORE, help="to compare with")
    parser.add_argument("--into", type=Path, help="a folder for copies, instead of the pages")
    arguments = parser.parse_args(words)
    record = Record.read(arguments.results)
    if arguments.growth.exists() and "growth" not in record.runs:
        record = record.into(Record.read(arguments.growth))
    before = Record.read(arguments.before) if arguments.before.exists() else None
    root: Path = arguments.into or ROOT
    for page in PAGES:
        place = root / page.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, filled(page.read_text(), record, before))
    folder = root / PAGE.relative_to(ROOT).with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, text in plots(record).items():
        (folder / f"{name}.svg").write_text(text)
    for target in [] if arguments.into else targets(record):
        if target.met is False:
            print(f"not met: {target.what}, against {target.against}: {target.value:.2f}")
    return 0


def filled(page: str, record: Record, before: Record | None = None) -> str:
    """The page with its tables made anew; ValueError for a marker that nothing belongs to."""

    def table(found: re.Match[str]) -> str:
        name = found.group(1)
        return f"<!-- {name} -->\n\n{part(name, record, before)}\n\n<!-- /{name} -->"

    return MARKER.sub(table, page)


def part(name: str, record: Record, before: Record | None = None) -> str:
    """What stands between a pair of markers."""
    if name == "before-after":
        return before_and_after(before, record) if before else "There is no earlier run."
    if name in PARTS:
        return PARTS[name](record)
    found = [each for each in record.figures if each.workload == name]
    if name not in {each.workload for each in record.figures} | set(record.runs):
        if name in KNOWN:
            return "Not measured in this run."
        raise ValueError(f"there is nothing called {name}")
    return "\n\n".join(figure_table(each, record) for each in found) or "Not measured in this run."


def figure_table(figure: Figure, record: Record) -> str:
    """A figure's contenders with their medians, the best first."""
    best_first = sorted(figure.rounds, key=figure.median, reverse=figure.better == "higher")
    if figure.limit is None:
        best_first = list(figure.rounds)  # variants of one contender stand together
    of_limit = bool(figure.of_limit)
    limit = title_of(figure.limit, figure, record) if figure.limit else ""
    head = ["", figure.unit, *([f"share of “{limit}”"] if of_limit else [])]
    rows = []
    for name in best_first:
        value = number(figure.median(name))
        share = figure.of_limit.get(name)
        note = "" if name not in figure.notes else f" ({figure.notes[name]})"
        label = title_of(name, figure, record)
        rows.append(
            [
                f"**{label}**" if kind_of(name) == "ours" else label,
                f"{value}{note}",
                *(["" if share is None else f"{share:.2g}"] if of_limit else []),
            ]
        )
    for name, note in figure.notes.items():
        if name not in figure.rounds:
            blank = [""] if of_limit else []
            rows.append([title_of(name, figure, record), one_line(note), *blank])
    return f"{figure.title}:\n\n{table_of(head, rows)}"


def title_of(name: str, figure: Figure, record: Record) -> str:
    contender, _, variant = name.partition("/")
    title = record.contenders.get(contender, {}).get("title") or contender
    if not variant:
        return title
    if variant.isdecimal():
        counted = VARIANTS.get(figure.workload, "")
        return f"{title}, {int(variant):,} {counted[:-1] if variant == '1' else counted}".strip()
    return f"{title}, {variant}"


def targets_table(record: Record) -> str:
    answers = {None: "not measured", True: "yes", False: "**no**"}
    return table_of(
        ["measured in one run", "against", "target", "reached", "floor", "met"],
        [
            [
                each.what,
                each.against,
                f"{each.relation} {each.bound:g}",
                *("" if value is None else number(value) for value in (each.value, each.floor)),
                answers[each.met],
            ]
            for each in targets(record)
        ],
    )


def machine_table(record: Record) -> str:
    rows = [[name, value] for name, value in record.machine.items()]
    rows += [[name, value] for name, value in record.versions.items()]
    for command, runs in by_command(record).items():
        rows.append([f"`{command}`", told(runs, everything=len(runs) == len(record.runs))])
    return table_of(["", ""], rows).replace("---:", "---")


def by_command(record: Record) -> dict[str, dict[str, Run]]:
    found: dict[str, dict[str, Run]] = {}
    for name, run in sorted(record.runs.items(), key=lambda each: each[1].at):
        found.setdefault(run.command, {})[name] = run
    return found


def told(runs: dict[str, Run], *, everything: bool) -> str:
    """When (UTC) a command ran, how long it took, and what it measured unless that is all."""
    first = min(run.at for run in runs.values())
    minutes = sum(run.seconds for run in runs.values()) / 60
    what = "" if everything else f": {', '.join(runs)}"
    return f"{first}, {minutes:.0f} minutes{what}"


def settings_table(record: Record) -> str:
    rows = [[f"`{name}`", f"`{value}`"] for name, value in record.settings.items()]
    return table_of(["setting", "value"], rows).replace("---:", "---")


def contenders_table(record: Record) -> str:
    rows = [
        [each["title"] or name, each["setting"] or "", each["order"] or "none"]
        for name, each in record.contenders.items()
    ]
    text = table_of(["", "how it is used", "its order across streams"], rows).replace("---:", "---")
    if record.missing:
        text += "\n\nNot run, or not to the end:\n\n" + "\n".join(
            f"- {name}: {one_line(reason)}" for name, reason in record.missing.items()
        )
    return text


def summary_table(record: Record) -> str:
    """A few figures: pgstore, the limit, and the best of the others."""
    rows = []
    for what, key in SUMMARY.items():
        figure = record.figure(key)
        if figure is None or "pgstore" not in figure.rounds:
            continue
        best = figure.best(without={name for name in figure.rounds if kind_of(name) != "peer"})
        limit = figure.limit if figure.limit in figure.rounds else None
        cells = [
            "" if name is None else number(figure.median(name)) for name in ("pgstore", limit, best)
        ]
        if best:
            cells[2] += f" ({title_of(best, figure, record)})"
        rows.append([f"{what}, {figure.unit}", f"**{cells[0]}**", *cells[1:]])
    return table_of(["", "pgstore", "limit", "best of the others"], rows)


def ahead_table(record: Record) -> str:
    """The figures in which a peer is ahead of pgstore, and how far, by the ratios of the rounds."""
    rows = []
    for figure in record.figures:
        if "pgstore" not in figure.rounds:
            continue
        shares = {
            name: figure.share(name, "pgstore") for name in figure.rounds if kind_of(name) == "peer"
        }
        names = [
            f"{title_of(name, figure, record)} ({number(share)} times as good)"
            for name, share in sorted(shares.items(), key=itemgetter(1), reverse=True)
            if share > 1
        ]
        if names:
            rows.append([figure.title, ", ".join(names)])
    return table_of(["figure", "ahead of pgstore"], rows).replace("---:", "---")


SUMMARY = {
    "Single writes, 32 clients": "writes/clients/spread/32",
    "The same where a flush takes 1 ms": "writes-slow-disk/clients/spread/32",
    "One Python client over TCP": "application/processes/1",
    "4 processes of 8 threads over TCP": "application/threads/32",
    "The same where a flush takes 1 ms ": "application-slow-disk/threads/32",
    "Batches of 1,000": "batches/1000",
    "A stream of 10,000, read and decoded": "reads/stream",
    "Catch-up of a subscription": "catch-up/plain",
    "Jobs of one worker, one at a time": "jobs/1",
    "From write to handler, idle, median": "latency/idle/p50",
}


PARTS: dict[str, Callable[[Record], str]] = {
    "targets": targets_table,
    "summary": summary_table,
    "machine": machine_table,
    "settings": settings_table,
    "contenders": contenders_table,
    "loads": loads_table,
    "ahead": ahead_table,
}
KNOWN = {
    *("writes", "writes-slow-disk", "application", "application-slow-disk", "ways", "batches"),
    *("reads", "catch-up", "jobs", "latency", "consumers", "order", "bytes", "snapshot"),
    *("horizon", "growth", "writers"),
}


def plots(record: Record) -> dict[str, str]:
    """The SVG of each plot whose figure, or one like it, was measured."""
    drawn = {}
    for name, (key, log) in PLOTS.items():
        figure = record.figure(key) or nearest(record, key)
        if figure is None or not figure.rounds:
            continue
        rows = [
            Bar(title_of(each, figure, record), figure.median(each), kind_of(each))
            for each in figure.rounds
        ]
        if figure.limit is not None:
            rows.sort(key=lambda row: row.value, reverse=figure.better == "higher")
        scale = ", logarithmic scale" if log else ""
        note = f"{figure.unit}, {figure.better} is better{scale}"
        drawn[name] = bars(figure.title, note, rows, log=log)
    return drawn | charts(record)


def charts(record: Record) -> dict[str, str]:
    """The charts of a message's cost, by how many are stored and by how many writers there are."""
    note = "µs a message, lower is better, logarithmic scales"
    by_messages = [
        Line(label, kind_of(name), costs(record.figure(key), name))
        for (key, name), label in BY_MESSAGES.items()
    ]
    writers = record.figure("writers/pgbench")
    by_writers = [
        Line(title_of(name, writers, record), kind_of(name), costs(writers, name))
        for name in (dict.fromkeys(map(base, writers.rounds)) if writers else ())
        if writers
    ]
    drawn = {
        "cost-by-messages": ("Cost of a message by how many are stored", "messages", by_messages),
        "cost-by-writers": ("Cost of a single write by pgbench", "writers", by_writers),
    }
    return {
        name: lines(title, f"{note}; {what}", [line for line in found if line.points])
        for name, (title, what, found) in drawn.items()
        if any(line.points for line in found)
    }


def costs(figure: Figure | None, name: str) -> list[tuple[float, float]]:
    """Of each variant with a number: the number, and microseconds a message."""
    if figure is None:
        return []
    return [
        (int(variant.partition("/")[2]), 1e6 / figure.median(variant))
        for variant in figure.rounds
        if base(variant) == name
    ]


def nearest(record: Record, key: str) -> Figure | None:
    """A figure of the same kind, for a run with other sizes."""
    prefix = key.rpartition("/")[0]
    found = [each for each in record.figures if each.key.rpartition("/")[0] == prefix]
    return found[-1] if found else None


def kind_of(name: str) -> str:
    if base(name) in ("pgstore", "pgstore-grouped"):
        return "ours"
    limits = ("raw", "echo", "notified", "floor", "skip-locked")
    return "limit" if base(name) in limits else "peer"


if __name__ == "__main__":
    sys.exit(main())
