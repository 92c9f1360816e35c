"""Tables in so many cells: which columns there is room for, and how wide each is."""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

import msgspec

from pgstore._core.text import printable
from pgstore.cli._values import shown

if TYPE_CHECKING:
    from rich.text import Text

_GAP = 2

Row = Mapping[str, Any]


class Column(msgspec.Struct, frozen=True):
    """A column of a table for people.

    A column with a `least` may be cut down to so many cells; others are shown whole. In a narrow
    terminal the columns with the highest `rank` are left out, those of rank 0 never. `show` makes
    a text of the value; `style` is rich's, or what answers with it for a row. One that is
    `optional` is left out if it is empty in the rows that decide the widths.
    """

    key: str
    title: str | None = None
    right: bool = False
    rank: int = 0
    least: int | None = None
    style: str | Callable[[Row], str] = ""
    show: Callable[[Any], str] | None = None
    optional: bool = False

    def heading(self) -> str:
        """The text above the column."""
        return self.key.replace("_", " ") if self.title is None else self.title

    def cell(self, row: Row) -> str:
        """The row's value as text that is safe to print."""
        value = row.get(self.key)
        if self.show is not None and value is not None:
            return printable(self.show(value))
        return shown(value)


class Layout:
    """The columns of a table, as wide as the rows that it has been shown need them.

    Not rich's Table: that needs all rows before it prints one, shrinks columns where ours leaves
    some out, and takes eight times as long.
    """

    def __init__(self, columns: Sequence[Column], width: int, *, titles: bool = True) -> None:
        from rich.cells import cell_len

        self._columns = columns
        self._width = width
        self._natural = [cell_len(column.heading()) if titles else 0 for column in columns]
        self._fitted: list[int | None] = []

    def grow(self, rows: Sequence[Row]) -> None:
        """Make room for rows."""
        from rich.cells import cell_len

        if not self._fitted:  # the first rows decide which columns there are
            kept = [not each.optional or any(map(each.cell, rows)) for each in self._columns]
            self._natural = list(compress(self._natural, kept))
            self._columns = list(compress(self._columns, kept))
        for i, column in enumerate(self._columns):
            cells = (cell_len(column.cell(row)) for row in rows)
            self._natural[i] = max([self._natural[i], *cells])
        self._fitted = _fitted(self._natural, self._columns, self._width)

    def head(self) -> "Text":
        """The line of titles."""
        return self._line(lambda column: (column.heading(), "bold"))

    def line(self, row: Row) -> "Text":
        """A row's line."""
        return self._line(
            lambda column: (
                column.cell(row),
                column.style if isinstance(column.style, str) else column.style(row),
            )
        )

    def _line(self, cell: Callable[[Column], tuple[str, str]]) -> "Text":
        from rich.text import Text

        cells = []
        for column, width in zip(self._columns, self._fitted, strict=True):
            if width is None:
                continue
            text = Text(*cell(column))
            text.truncate(width, overflow="ellipsis")
            text.align("right" if column.right else "left", width)
            cells.append(text)
        line = Text(" " * _GAP, no_wrap=True).join(cells)
        line.rstrip()
        return line


def table(rows: Sequence[Row], columns: Sequence[Column], width: int) -> "list[Text]":
    """Lay rows out below a line of titles."""
    layout = Layout(columns, width)
    layout.grow(rows)
    return [layout.head(), *map(layout.line, rows)]


def _fitted(natural: Sequence[int], columns: Sequence[Column], width: int) -> list[int | None]:
    """Width of each column, None for one that has no room."""
    least = [
        full if column.least is None else min(full, column.least)
        for full, column in zip(natural, columns, strict=True)
    ]
    kept = set(range(len(columns)))
    for i in sorted(kept, key=lambda i: (columns[i].rank, i), reverse=True):
        if columns[i].rank == 0 or sum(least[k] + _GAP for k in kept) - _GAP <= width:
            break
        kept.remove(i)
    spare = width - sum(least[k] + _GAP for k in kept) + _GAP
    widths: list[int | None] = [None] * len(columns)
    # Those that miss least first: the rest of their share is for the others.
    wanting = sorted(kept, key=lambda i: (natural[i] - least[i], i))
    for count, i in zip(range(len(wanting), 0, -1), wanting, strict=True):
        more = max(min(natural[i] - least[i], spare // count), 0)
        widths[i] = least[i] + more
        spare -= more
    return widths
