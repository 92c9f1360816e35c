"""Which figures are drawn, and how."""

from benchmarks.figures import Figure, base
from benchmarks.history import history_chart
from benchmarks.labels import kind_of, title_of
from benchmarks.plots import Bar, Line, bars, lines
from benchmarks.record import Record

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


def image(name: str, record: Record) -> str:
    figure = drawn_figure(name, record)
    assert figure is not None
    return f"![{figure.title}](performance/{name}.svg)"


def drawn_figure(name: str, record: Record) -> Figure | None:
    """The figure of a plot, or one like it."""
    key, _ = PLOTS[name]
    figure = record.figure(key) or nearest(record, key)
    return figure if figure and figure.rounds else None


def plots(record: Record) -> dict[str, str]:
    """The SVG of each plot whose figure, or one like it, was measured."""
    drawn = {}
    for name, (_, log) in PLOTS.items():
        if (figure := drawn_figure(name, record)) is None:
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
    return drawn | charts(record) | history_chart(record)


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
    found = {"cost-by-messages": by_messages, "cost-by-writers": by_writers}
    return {
        name: lines(CHARTS[name], note, [line for line in rows if line.points])
        for name, rows in found.items()
        if any(line.points for line in rows)
    }


CHARTS = {
    "cost-by-messages": "Cost of a message, by how many messages are stored",
    "cost-by-writers": "Cost of a single write by pgbench, by how many writers there are",
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
