"""The logger. Text from outside can neither steer a terminal nor begin a line in what it logs."""

import logging
import re
import traceback
from types import TracebackType

from pgstore._text import masked, one_line, printable

_ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

# A place in the code, with its source: the one part of a traceback that has several lines.
_FRAME = re.compile(r'[ |+-]*File "')


class Formatter(logging.Formatter):
    """For what others log too, where the log is the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(masked(super().formatMessage(record)))

    def formatException(self, ei: _ExcInfo) -> str:
        return traceback_of(ei[1])


def traceback_of(error: BaseException | None) -> str:
    """The error's traceback; each message in it is a line."""
    if error is None:
        return ""
    parts = traceback.format_exception(error)
    return "\n".join(
        printable(masked(line))
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
    return one_line(str(value)) if isinstance(value, BaseException) else printable(str(value))


log = logging.getLogger("pgstore")
log.addFilter(_prepare)
