"""The logger. Text from outside can neither steer a terminal nor begin a line in what it logs."""

import logging
import re
import traceback
from types import TracebackType

from pgstore._core.text import masked, printable

_ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

# Characters of one message: an error may quote a payload of megabytes.
_LONGEST = 10_000

# A place in the code, with its source: the one part of a traceback that has several lines.
_FRAME = re.compile(r'[ |+-]*File "')


class Formatter(logging.Formatter):
    """For the records of other loggers too, where the log is the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _legible(super().formatMessage(record))

    def formatException(self, ei: _ExcInfo) -> str:
        return traceback_of(ei[1])


def traceback_of(error: BaseException | None) -> str:
    """The error's traceback; each message in it is a line."""
    if error is None:
        return ""
    whole = traceback.TracebackException.from_exception(error)
    waiting = [whole]
    while waiting:
        each = waiting.pop()
        # Python would begin a line with every line of a note.
        notes = each.__notes__ if isinstance(each.__notes__, list) else []
        each.__notes__ = [f"    {_legible(_text_of(note))}" for note in notes]
        waiting += filter(None, (each.__cause__, each.__context__, *(each.exceptions or ())))
    parts = whole.format()
    return "\n".join(
        _legible(line)
        for part in parts
        for line in (part.splitlines() if _FRAME.match(part) else [part.strip("\n")])
    )


def _prepare(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(map(_argument, record.args))
    if record.exc_info:
        # Formatters take this for the text of exc_info, which stays for those who want the error.
        record.exc_text = traceback_of(record.exc_info[1])
    return True


def _argument(value: object) -> object:
    if isinstance(value, int | float):
        return value
    text = _text_of(value)
    return _legible(" ".join(text.split()) if isinstance(value, BaseException) else text)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # of a handler's error: not to end what logs it
        return f"<{type(value).__name__}, whose text cannot be made>"


def _legible(text: str) -> str:
    return printable(masked(text[:_LONGEST])) + "…" * (len(text) > _LONGEST)


log = logging.getLogger("pgstore")
log.addFilter(_prepare)
