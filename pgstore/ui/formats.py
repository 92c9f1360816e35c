"""Values as pages show them."""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pgstore._core.text import printable

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def iso(moment: datetime) -> str:
    """A time for programs; a script of the page shows it in the viewer's zone."""
    return moment.isoformat()


def utc(moment: datetime) -> str:
    """A time for people without that script."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def at(moment: float) -> datetime:
    """The time of a sample."""
    return datetime.fromtimestamp(moment, UTC)


def number(value: float | None) -> str:
    """A number with its thousands apart."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.1f}"


def counted(value: int, what: str) -> str:
    """A number of things: 1 message, 2 messages."""
    return f"{value:,} {what}{'' if value == 1 else 's'}"


def size(value: int | None) -> str:
    """So many bytes."""
    if value is None:
        return "—"
    amount = float(value)
    for unit in _UNITS:
        if amount < 1000 or unit == _UNITS[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def span(seconds: float | None) -> str:
    """A length of time, in its two largest units."""
    if seconds is None:
        return "—"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = int(seconds)
    for length, unit, smaller, name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= length:
            rest = whole % length // smaller
            return f"{whole // length} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s"


def cut(text: str, longest: int) -> str:
    """The beginning of a text."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def hue(name: str) -> int:
    """One of eight colours, the same for a name each time."""
    return zlib.crc32(name.encode(errors="replace")) % 8


def visible_lines(text: str) -> str:
    """A text of several lines; of other characters as `visible`."""
    return "\n".join(map(printable, text.splitlines()))


FILTERS: dict[str, Callable[..., Any]] = {
    "at": at,
    "counted": counted,
    "cut": cut,
    "hue": hue,
    "iso": iso,
    "number": number,
    "size": size,
    "span": span,
    "utc": utc,
    # Characters that steer the direction of text, or that nobody sees, are spelled out.
    "visible": printable,
    "visible_lines": visible_lines,
}
