"""Bar and line charts as SVG, by matplotlib: text that is text, for light and dark pages."""

import math
from collections.abc import Sequence
from io import StringIO
from operator import itemgetter
from typing import Any

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, ROW, AROUND = 760, 30, 96
"""Pixels: of a chart, of a bar with what is between two, and of title, note and axis."""

# matplotlib measures texts in its own font, which is wider than these.
FONT = "text{font-family:system-ui,Segoe UI,Helvetica,Arial,sans-serif!important}"

# A colour of a light page, and what a dark page has in its place.
CARD, EDGE, TITLE, NOTE, GRID = "#ffffff", "#d8dce3", "#1b2330", "#3f4957", "#e4e7ec"
BARS = {"ours": "#3f6fd8", "peer": "#9aa5b4", "limit": "#c9b26a"}
DARK = dict(
    zip(
        [CARD, EDGE, TITLE, NOTE, GRID, *BARS.values()],
        ["#1e2229", "#3a414c", "#f2f4f8", "#c3cad5", "#333a45", "#6d9bff", "#6f7a8a", "#b39a4f"],
        strict=True,
    )
)

SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pgstore",  # ids are the same in each run
    "font.size": 13,
    "text.color": NOTE,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.labelcolor": NOTE,
    "ytick.labelcolor": NOTE,
    "xtick.labelsize": 11,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "ytick.major.pad": 10,
} | {f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")}


class Bar(msgspec.Struct, frozen=True):
    """One bar; `kind` is ours, peer or limit."""

    label: str
    value: float
    kind: str


def bars(title: str, note: str, rows: Sequence[Bar], *, log: bool = False) -> str:
    """Draw horizontal bars of the same unit; the note says which, and what is better."""
    height = ROW * len(rows) + AROUND
    with mpl.rc_context(SETTINGS):
        figure = Figure((WIDTH / 72, height / 72), facecolor=CARD, edgecolor=EDGE, linewidth=1)
        figure.text(20 / WIDTH, 1 - 28 / height, title, size=16, weight="bold", color=TITLE)
        figure.text(20 / WIDTH, 1 - 47 / height, note, size=12)
        draw(figure.subplots(), rows, log)
        figure.tight_layout(rect=(12 / WIDTH, 0, 1 - 50 / WIDTH, 1 - 54 / height), pad=0.8)
        file = StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return themed(file.getvalue())


def draw(axes: Axes, rows: Sequence[Bar], log: bool) -> None:
    """Draw the bars, from 0 or from a power of ten on."""
    least = min((row.value for row in rows if row.value > 0), default=0.1)
    start = 10 ** math.floor(math.log10(least)) if log else 0
    drawn = axes.barh(
        range(len(rows)),
        [max(row.value, start) for row in rows],
        height=0.6,
        log=log,
        color=[BARS[row.kind] for row in rows],
    )
    axes.set_xlim(left=start)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    values = axes.bar_label(drawn, [number(row.value) for row in rows], padding=7)
    for row, *texts in zip(rows, values, axes.get_yticklabels(), strict=True):
        if row.kind == "ours":
            for text in texts:
                text.set(color=TITLE, weight="bold")


class Line(msgspec.Struct, frozen=True):
    """One line through points; `kind` as of a bar."""

    label: str
    kind: str
    points: Sequence[tuple[float, float]]


def lines(title: str, note: str, rows: Sequence[Line]) -> str:
    """Draw lines on logarithmic axes, each named at its end."""
    height = 420
    with mpl.rc_context(SETTINGS | {"axes.grid.axis": "both"}):
        figure = Figure((WIDTH / 72, height / 72), facecolor=CARD, edgecolor=EDGE, linewidth=1)
        figure.text(20 / WIDTH, 1 - 28 / height, title, size=16, weight="bold", color=TITLE)
        figure.text(20 / WIDTH, 1 - 47 / height, note, size=12)
        axes = figure.subplots()
        axes.set(xscale="log", yscale="log")
        styles = dict.fromkeys(BARS, 0)
        for row in rows:
            x, y = zip(*row.points, strict=True)
            style = ("-", "--", ":", "-.")[styles[row.kind] % 4]
            styles[row.kind] += 1
            axes.plot(x, y, color=BARS[row.kind], marker="o", markersize=4, linestyle=style)
        ticks = sorted({x for row in rows for x, _ in row.points})
        axes.set_xticks(ticks, [short(tick) for tick in ticks])
        low, high = axes.get_ylim()
        axes.set_ylim(low / 1.2, high * 1.2)
        axes.yaxis.set_major_formatter(lambda value, _: short(value))
        axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.tick_params(axis="x", which="minor", bottom=False)
        labels = [f"{row.label}: {number(row.points[-1][1])}" for row in rows]
        room = 7 * max(map(len, labels)) + 24
        figure.subplots_adjust(60 / WIDTH, 40 / height, 1 - room / WIDTH, 1 - 70 / height)
        name_ends(axes, rows, labels, least=20 / (height - 110))
        file = StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return themed(file.getvalue())


def name_ends(axes: Axes, rows: Sequence[Line], labels: Sequence[str], least: float) -> None:
    """Write each line's label at its end, at least so much of the height above the one below."""
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform(row.points[-1])[1]) for row in rows]
    rows_by_height = sorted(zip(heights, rows, labels, strict=True), key=itemgetter(0))
    places = apart([height for height, _, _ in rows_by_height], least)
    for at, (_, row, label) in zip(places, rows_by_height, strict=True):
        ours = row.kind == "ours"
        text = axes.text(1.02, at, label, va="center", size=11, transform=axes.transAxes)
        text.set(color=TITLE if ours else NOTE, weight="bold" if ours else "normal")


def apart(heights: Sequence[float], least: float) -> list[float]:
    """Heights in ascending order, moved up until they are apart, and down again below the top."""
    found: list[float] = []
    for height in heights:
        found.append(max(height, found[-1] + least) if found else height)
    top = 1.0 + least
    for n in reversed(range(len(found))):
        found[n] = top = min(found[n], top - least)
    return found


def themed(svg: str) -> str:
    """The chart with the fonts of the reader, and with other colours on a dark page."""
    dark = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
        if f"{what}: {light}" in svg
    )
    style = f"<style>{FONT}@media (prefers-color-scheme:dark){{{dark}}}</style>"
    # The unit of its size is the point, which is larger than a pixel.
    head, end, rest = svg.replace('pt"', '"', 2).partition("</metadata>")
    return f"{head}{end}\n {style}{rest}"


def number(value: float) -> str:
    """Three digits, with separators: 12,300; 1.23; 0.0123."""
    if value == 0:
        return "0"
    if math.isinf(value):
        return "∞"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, digits)}f}"


def short(value: float) -> str:
    """An axis label: 20k, 1M, 0.5."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
