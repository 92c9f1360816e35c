"""Views that are drawn again and again."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pgstore.cli._app import option
from pgstore.cli._call import Call
from pgstore.cli._layout import Row

if TYPE_CHECKING:
    from rich.text import Text

Interval = Annotated[float, option("SECONDS", "How often it is drawn.", least=0.1)]
Times = Annotated[int | None, option("N", "So many times; otherwise until Ctrl-C.", least=1)]


def watch(
    call: Call,
    read: Callable[[], Sequence[Row]],
    drawn: "Callable[[Sequence[Row]], Sequence[Text]]",
    *,
    interval: float,
    times: int | None,
) -> None:
    """Show rows, as they are drawn, every so many seconds, so many times or until Ctrl-C.

    On a terminal it is drawn in its place. Ctrl-C leaves the screen as it was before; after so many
    times the last view stays. Elsewhere each view follows the one before.
    """
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    reads = _repeated(read, interval, times)
    if not call.out.live:
        for rows in reads:
            if call.out.json:
                call.out.documents(rows)
            else:
                call.out.lines([*drawn(rows), Text("")])
        return
    with Live(console=call.out.console, screen=True, auto_refresh=False) as live:
        for rows in reads:
            lines = drawn(rows)
            live.update(Group(*lines), refresh=True)
    call.out.lines(lines)


def _repeated(
    read: Callable[[], Sequence[Row]], interval: float, times: int | None
) -> Iterator[Sequence[Row]]:
    due = time.monotonic()
    for number in itertools.count(1):
        yield read()
        if number == times:
            return
        due = max(due + interval, time.monotonic())  # no hurry to make up for slow views
        time.sleep(max(due - time.monotonic(), 0))
