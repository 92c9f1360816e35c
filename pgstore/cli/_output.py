"""The output of commands: tables for people, JSON Lines for programs."""

import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pgstore._core.text import masked, printable
from pgstore.cli._errors import USAGE, CommandError
from pgstore.cli._layout import Column, Layout, Row
from pgstore.cli._values import encoded, shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Rows that decide the widths of a table's columns; and as many are laid out at once.
_SAMPLE = 500

_ENDLESS = 1_000_000


class Output:
    """Where a command prints: results on stdout, anything else on stderr."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    # Not at the top, and not for each command: the import takes longer than most commands' work.
    @cached_property
    def console(self) -> "Console":
        """The terminal of stdout; a pipe whose reader has ended raises."""
        from rich.console import Console

        class Raising(Console):
            def on_broken_pipe(self) -> None:
                raise

        return Raising(highlight=False, markup=False, soft_wrap=True)

    @cached_property
    def notes(self) -> "Console":
        """The terminal of stderr."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    @property
    def width(self) -> int:
        """Cells in a line: the terminal's, or COLUMNS; without either, what there is to show."""
        if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
            return shutil.get_terminal_size().columns
        return _ENDLESS

    @property
    def live(self) -> bool:
        """Whether somebody watches, so that a view can be drawn again and again in its place."""
        return self.console.is_terminal and not self.json and not self.console.is_dumb_terminal

    def line(self, text: "str | Text") -> None:
        """Print a line for people."""
        self.console.print(text)

    def lines(self, several: "Iterable[str | Text]") -> None:
        """Print lines for people."""
        for each in several:
            self.line(each)

    def note(self, text: str) -> None:
        """Print on stderr, in a line, what is not a result."""
        self.notes.print(printable(masked(text)))

    def done(self, sentence: str, **fields: object) -> None:
        """Say what was done: the sentence to people, the fields to programs."""
        if self.json:
            self.document(fields)
        else:
            self.line(printable(sentence))

    def document(self, row: Row) -> None:
        """Print a JSON document in a line."""
        sys.stdout.write(encoded(row) + "\n")

    def documents(self, rows: Iterable[Row]) -> None:
        """Print documents, and let a reader have them at once."""
        for row in rows:
            self.document(row)
        sys.stdout.flush()

    def rows(self, rows: Iterable[Row], columns: Sequence[Column], *, empty: str = "") -> bool:
        """Print rows as they come: a table, or a document each. Return whether there was one.

        `empty` is said to people, on stderr, if there is none.
        """
        first = True
        if self.json:
            for row in rows:
                self.document(row)
                first = False
            return not first
        layout = Layout(columns, self.width)
        remaining = iter(rows)
        while batch := list(itertools.islice(remaining, _SAMPLE)):
            layout.grow(batch)
            if first:
                self.line(layout.head())
                first = False
            self.lines(map(layout.line, batch))
        if first and empty:
            self.note(empty)
        return not first

    def record(self, row: Row) -> None:
        """Print one thing: a line a field, or one document."""
        if self.json:
            self.document(row)
            return
        from rich.text import Text

        longest = max(map(len, row), default=0)
        for key, value in row.items():
            title = (key.replace("_", " ").ljust(longest + 2), "bold")
            text = Text.assemble(title, shown(value))
            text.rstrip()
            self.line(text)

    def confirm(self, question: str, *, yes: bool, answer: str = "yes") -> None:
        """Continue only if the person at the terminal types the answer, or `yes` was given."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise CommandError(
                "this asks before it changes anything, and there is no terminal to ask on",
                code=USAGE,
                hint="--yes answers",
            )
        self.notes.print(f"{printable(question)} Type {answer!r} to go on: ", end="")
        if sys.stdin.readline().strip() != answer:
            raise CommandError("nothing was changed")
