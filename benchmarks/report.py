"""Write the tables and plots of docs/performance.md, docs/choosing.md and other pages.

`python -m benchmarks.report [RESULTS.json]`. In a page, a table stands between `<!-- NAME -->` and
`<!-- /NAME -->`; no figure there is written by hand. Plots go to docs/performance/.
"""

import argparse
import re
import sys
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

from benchmarks.applications.lines import lines_table
from benchmarks.charts import CHARTS, PLOTS, charts, drawn_figure, image, plots
from benchmarks.compare import before_and_after, loads_table
from benchmarks.conditions.tables import conditions_part
from benchmarks.figures import Figure
from benchmarks.history import bytes_part, chart_part, rates_part, upkeep_part
from benchmarks.labels import kind_of, title_of
from benchmarks.plots import number
from benchmarks.record import Record, Run
from benchmarks.tables import one_line, table_of
from benchmarks.targets import targets
from pgstore._core.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
SIZING = ROOT / "docs" / "operations" / "sizing.md"
SERVERS = ROOT / "docs" / "operations" / "many-servers.md"
PAGES = (PAGE, ROOT / "README.md", ROOT / "docs" / "choosing.md", SIZING, SERVERS)
RESULTS = Path(__file__).parent / "results"
FULL, GROWTH, HISTORY, BEFORE = (
    RESULTS / f"{name}.json" for name in ("full", "growth", "history", "before")
)

MARKER = re.compile(r"<!-- ([\w-]+) -->\n.*?<!-- /\1 -->", re.DOTALL)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", nargs="?", type=Path, default=FULL)
    parser.add_argument("--growth", type=Path, default=GROWTH, help="the charts by size")
    parser.add_argument("--history", type=Path, default=HISTORY, help="the stores of millions")
    parser.add_argument("--before", type=Path, default=BEFORE, help="to compare with")
    parser.add_argument("--into", type=Path, help="a folder for copies, instead of the pages")
    arguments = parser.parse_args(words)
    record = Record.read(arguments.results)
    for by_size in (arguments.growth, arguments.history):
        if by_size.exists():
            record = record.beside(Record.read(by_size))
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
    if name == "targets":
        return targets_table(record, before)
    if name in PARTS:
        return PARTS[name](record)
    picture = [image(name, record)] if name in PLOTS and drawn_figure(name, record) else []
    found = [each for each in record.figures if each.workload == name]
    if name not in {each.workload for each in record.figures} | set(record.runs):
        if name in KNOWN:
            return "Not measured in this run."
        raise ValueError(f"there is nothing called {name}")
    tables = [figure_table(each, record) for each in found]
    return "\n\n".join([*picture, *tables] if found else ["Not measured in this run."])


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


def targets_table(record: Record, before: Record | None = None) -> str:
    """Every target: what an earlier run reached, what this one did, and the floor."""
    answers = {None: "not measured", True: "yes", False: "**no**"}
    earlier = {(each.what, each.against): each.value for each in targets(before)} if before else {}
    rows = []
    for each in targets(record):
        values = (earlier.get((each.what, each.against)), each.value, each.floor)
        rows.append(
            [
                *(each.what, each.against, f"{each.relation} {each.bound:g}"),
                *("" if value is None else number(value) for value in values),
                answers[each.met],
            ]
        )
    head = ["measured in one run", "against", "target", "before", "reached", "floor", "met"]
    return table_of(head, rows)


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


def charts_part(record: Record) -> str:
    """The charts by size, if they were measured."""
    drawn = charts(record)
    images = [f"![{CHARTS[name]}](performance/{name}.svg)" for name in drawn]
    return "\n\n".join(images) or "Not measured in this run."


def choosing_table(record: Record) -> str:
    """How many times as good pgstore is as each peer, in the figures that a choice depends on."""
    found = [figure for key in CHOOSING if (figure := record.figure(key))]
    rows = []
    for figure in found:
        cells = [
            number(figure.share("pgstore", peer)) if peer in figure.rounds else ""
            for peer in CHOOSERS
        ]
        rows.append([figure.title, *cells])
    if order := record.figure("order/missed"):
        shares = [order.rounds.get(peer) for peer in CHOOSERS]
        rows.append(["Messages that a reader of everything missed, %", *map(first, shares)])
    titles = [record.contenders.get(peer, {}).get("title") or peer for peer in CHOOSERS]
    return table_of(["", *titles], rows)


def one_server_table(record: Record) -> str:
    """What pgstore does with the fewest and with the most messages that were measured."""
    figures = [each for each in record.figures if each.workload == "growth"]
    names = {name for each in figures for name in each.rounds if name.startswith("pgstore/")}
    sizes = sorted(int(name.partition("/")[2]) for name in names)
    ends = sizes[:1] + sizes[1:][-1:]
    rows = []
    for figure in figures:
        what = figure.title.partition(", on so many")[0].removesuffix(", in so many")
        cells = [
            number(figure.median(name)) if (name := f"pgstore/{size}") in figure.rounds else ""
            for size in ends
        ]
        if any(cells):
            rows.append([f"{what}, {figure.unit}", *cells])
    return table_of(["", *(f"{size:,} messages" for size in ends)], rows)


def first(values: list[float] | None) -> str:
    return number(values[0]) if values else ""


CHOOSERS = ("message-db", "depeche", "eventsourcing", "emmett", "pgmq", "procrastinate")
CHOOSING = (
    *("writes/clients/spread/32", "writes-slow-disk/clients/spread/32", "batches/1000"),
    *("reads/stream", "catch-up/defaults", "jobs/1", "latency/idle/p50", "growth/disk"),
)

SUMMARY = {
    "Single writes, 32 clients": "writes/clients/spread/32",
    "The same where a flush takes 1 ms": "writes-slow-disk/clients/spread/32",
    "One Python client over TCP": "application/processes/1",
    "4 processes of 8 threads over TCP": "application/threads/32",
    "The same over TCP where a flush takes 1 ms": "application-slow-disk/threads/32",
    "Batches of 1,000": "batches/1000",
    "A stream of 10,000, read and decoded": "reads/stream",
    "Catch-up of a subscription": "catch-up/plain",
    "Jobs of one worker, one at a time": "jobs/1",
    "From write to handler, idle, median": "latency/idle/p50",
}


PARTS: dict[str, Callable[[Record], str]] = {
    "summary": summary_table,
    "machine": machine_table,
    "settings": settings_table,
    "contenders": contenders_table,
    "loads": loads_table,
    "ahead": ahead_table,
    "charts": charts_part,
    "choosing": choosing_table,
    "applications": lambda record: lines_table(),
    "conditions": lambda record: conditions_part(),
    "one-server": one_server_table,
    "history": chart_part,
    "history-rates": rates_part,
    "history-bytes": bytes_part,
    "history-upkeep": upkeep_part,
}
KNOWN = {
    *("writes", "writes-slow-disk", "application", "application-slow-disk", "ways", "batches"),
    *("reads", "catch-up", "jobs", "latency", "consumers", "order", "bytes", "snapshot"),
    *("horizon", "growth", "writers"),
}


if __name__ == "__main__":
    sys.exit(main())
