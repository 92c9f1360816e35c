"""Values as people and programs get them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from pgstore._core.text import printable

# Characters that JSON allows in strings, and that terminals obey or line readers take for an end.
_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def shown(value: object) -> str:
    """A value for people, in one line. Nothing of a message can steer the terminal."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone().isoformat(" ", "seconds")
        case list() | tuple():
            return ", ".join(map(shown, value))
        case dict() | msgspec.Raw():
            return printable(encoded(value))
    return printable(str(value))


def moment(value: datetime) -> str:
    """A time in the local zone, to the millisecond."""
    return value.astimezone().isoformat(" ", "milliseconds")


def duration(value: timedelta) -> str:
    """A length of time in its two largest units: 3 d 4 h, 5 min 3 s, 20 ms."""
    seconds = value.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    rest = int(seconds)
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        parts.append((count, name))
    while not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count)


def counted(number: int, what: str) -> str:
    """A number of things: 1 message, 2 messages."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def volume(count: int) -> str:
    """A number of bytes: 8.2 GB."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1024:
            return (
                f"{value:.1f} {unit}" if value < 10 and unit != "bytes" else f"{value:.0f} {unit}"
            )
        value /= 1024
    return f"{value:.1f} TB"


def encoded(value: object) -> str:
    """JSON in a line; times in UTC."""
    text = msgspec.json.encode(_plain(value)).decode()
    # Within strings only: JSON has these nowhere else.
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC)
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value
