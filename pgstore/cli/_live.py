"""Views that are drawn again and again."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from pgstore.cli._app import option
from pgstore.cli._call import Call
from pgstore.cli._layout import Row

if TYPE_CHECKING:
    from rich.text import Text

Interval = Annotated[float, option("SECONDS", "How often it is drawn.", least=0.1)]
Times = Annotated[int | None, option("N", "So many times; otherwise until Ctrl-C.", least=1)]

# The content of a view: rows for programs, lines for people.
View = tuple[Sequence[Row], "Sequence[Text]"]


def watch(call: Call, view: Callable[[], View], *, interval: float, times: int | None) -> None:
    """Show a view every so many seconds, so many times or until Ctrl-C.

    On a terminal it is drawn in its place. Ctrl-C leaves the screen as it was before; after so many
    times the last view stays. Elsewhere each view follows the one before.
    """
    from rich.console import Group
    from rich.live import Live

    if not call.out.live:
        _repeat(interval, times, lambda: _print(call, view))
        return
    lines: Sequence[Text] = ()

    def draw() -> None:
        nonlocal lines
        _, lines = view()
        live.update(Group(*lines), refresh=True)

    with Live(console=call.out.console, screen=True, auto_refresh=False) as live:
        _repeat(interval, times, draw)
    for line in lines:
        call.out.line(line)


def _print(call: Call, view: Callable[[], View]) -> None:
    from rich.text import Text

    rows, lines = view()
    if call.out.json:
        for row in rows:
            call.out.document(row)
    else:
        for line in (*lines, Text("")):
            call.out.line(line)
    call.out.flush()


def _repeat(interval: float, times: int | None, action: Callable[[], None]) -> None:
    due = time.monotonic()
    while times is None or times > 0:
        action()
        if times is not None:
            times -= 1
            if not times:
                return
        due = max(due + interval, time.monotonic())  # no hurry to make up for slow views
        time.sleep(max(due - time.monotonic(), 0))
