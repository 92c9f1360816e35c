"""Bar charts as SVG: text that is text, on a card of its own, for light and dark pages."""

import math
from collections.abc import Sequence
from html import escape

import msgspec

WIDTH = 760
VALUES = 96
LETTER = 7.8
"""At most so wide is a letter of a label, on average, in the fonts of the list."""
ROW = 30
BAR = 18
TOP = 62
BOTTOM = 34

STYLE = """\
.card{fill:#ffffff;stroke:#d8dce3}
.title{fill:#1b2330;font-weight:600;font-size:16px}
.note,.label,.value,.tick{fill:#3f4957}
.note{font-size:12px}.label,.value{font-size:13px}.tick{font-size:11px}
.ours .label,.ours .value{fill:#1b2330;font-weight:600}
.grid{stroke:#e4e7ec}
.peer rect{fill:#9aa5b4}.limit rect{fill:#c9b26a}.ours rect{fill:#3f6fd8}
@media (prefers-color-scheme: dark){
.card{fill:#1e2229;stroke:#3a414c}
.title,.ours .label,.ours .value{fill:#f2f4f8}
.note,.label,.value,.tick{fill:#c3cad5}
.grid{stroke:#333a45}
.peer rect{fill:#6f7a8a}.limit rect{fill:#b39a4f}.ours rect{fill:#6d9bff}
}"""


class Bar(msgspec.Struct, frozen=True):
    """One bar; `kind` is ours, peer or limit."""

    label: str
    value: float
    kind: str


def bars(title: str, note: str, rows: Sequence[Bar], *, log: bool = False) -> str:
    """Draw horizontal bars of the same unit; the note says which, and what is better."""
    height = TOP + ROW * len(rows) + BOTTOM
    axis = Axis(rows, log)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="{escape(title)}"'
        ' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="title" x="20" y="28">{escape(title)}</text>',
        f'<text class="note" x="20" y="47">{escape(note)}</text>',
    ]
    for tick in axis.ticks:
        x = axis.place(tick)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>'
            f'<text class="tick" x="{x:.1f}" y="{height - 14}" text-anchor="middle">'
            f"{short(tick)}</text>"
        )
    for n, row in enumerate(rows):
        parts.append(drawn(row, TOP + n * ROW, axis))
    return "\n".join([*parts, "</svg>\n"])


class Axis:
    """Where values are drawn: right of the longest label."""

    def __init__(self, rows: Sequence[Bar], log: bool) -> None:
        self.start = 30 + LETTER * max((len(row.label) for row in rows), default=0)
        self.ticks = log_ticks(rows) if log else linear_ticks(rows)
        self.log = log

    def place(self, value: float) -> float:
        """Where a value is, from left to right."""
        first, last = self.ticks[0], self.ticks[-1]
        if self.log:
            value = max(value, first)
            share = (math.log(value) - math.log(first)) / (math.log(last) - math.log(first))
        else:
            share = value / last
        return self.start + (WIDTH - self.start - VALUES) * share


def drawn(row: Bar, top: float, axis: Axis) -> str:
    start, end = axis.start, axis.place(row.value)
    middle = top + ROW / 2
    return (
        f'<g class="{row.kind}">'
        f'<text class="label" x="{start - 10:.1f}" y="{middle + 4.5}" text-anchor="end">'
        f"{escape(row.label)}</text>"
        f'<rect x="{start:.1f}" y="{middle - BAR / 2}" width="{max(1.0, end - start):.1f}"'
        f' height="{BAR}" rx="2"/>'
        f'<text class="value" x="{max(end, start + 1) + 7:.1f}" y="{middle + 4.5}">'
        f"{number(row.value)}</text></g>"
    )


def linear_ticks(rows: Sequence[Bar]) -> list[float]:
    """Three to six round numbers from 0 to above the largest value."""
    most = max((row.value for row in rows), default=0) or 1
    power = 10.0 ** math.floor(math.log10(most))
    step = next(power * part for part in (0.2, 0.25, 0.5, 1, 2) if most / (power * part) <= 5)
    return [step * n for n in range(math.ceil(most / step - 1e-9) + 1)]


def log_ticks(rows: Sequence[Bar]) -> list[float]:
    """Powers of ten around all values."""
    values = [row.value for row in rows if row.value > 0] or [1]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**n for n in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """Three digits, with separators: 12,300; 1.23; 0.0123."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, digits)}f}"


def short(value: float) -> str:
    """An axis label: 20k, 1M, 0.5."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
