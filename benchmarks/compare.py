"""Two runs side by side, and how busy the machine was."""

import statistics

from benchmarks.figures import Figure
from benchmarks.plots import number
from benchmarks.record import Record
from benchmarks.tables import table_of

US = "pgstore"


def before_and_after(before: Record, after: Record) -> str:
    """What pgstore reached in both runs, in the same figures, each against its run's own limit."""
    rows = [
        [
            f"{new.title}, {new.unit}",
            number(old.median(US)),
            number(old.of_limit[US]),
            number(new.median(US)),
            f"**{number(new.of_limit[US])}**",
            number(new.of_limit[US] / old.of_limit[US]),
        ]
        for old, new in same_figures(before, after)
    ]
    if not rows:
        return "The runs have no figure in common."
    head = ["", "before", "share of the limit", "after", "share of the limit", "times the share"]
    return f"{table_of(head, rows)}\n\nBefore: {when(before)}. After: {when(after)}."


def same_figures(before: Record, after: Record) -> list[tuple[Figure, Figure]]:
    """Figures of both that measured the same: sizes are in their titles."""
    found = []
    for new in after.figures:
        old = before.figure(new.key)
        if old and old.title == new.title and US in old.of_limit.keys() & new.of_limit.keys():
            found.append((old, new))
    return found


def when(record: Record) -> str:
    """The days of its runs, and where they were."""
    days = sorted({run.at.partition(" ")[0] for run in record.runs.values()})
    on = f", on {record.machine['processor']}" if "processor" in record.machine else ""
    return " to ".join(dict.fromkeys([days[0], days[-1]])) + on if days else "no run"


def loads_table(record: Record) -> str:
    """The machine's load when rounds began, by workload."""
    rows = []
    for workload in record.runs:
        figures = [each for each in record.figures if each.workload == workload]
        loads = [load for figure in figures for load in figure.loads]
        if loads:
            least, middle, most = min(loads), statistics.median(loads), max(loads)
            cells = [f"{value:.1f}" for value in (least, middle, most)]
            rows.append([workload, str(max(len(f.loads) for f in figures)), *cells])
    return table_of(["", "rounds", "least load", "median", "most"], rows)
