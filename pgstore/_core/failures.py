"""The errors of a handler: which of them end the work, which are tried again, and their text."""

import random
from collections.abc import Iterator

import psycopg

from pgstore._core.text import masked

# Of an error's text: as many characters as fail_message keeps.
_LONGEST = 10_000

# A transaction that was in another's way: nothing of it has happened, and the next try can succeed.
_CONFLICTS = {"40001", "40P01"}  # serialization_failure, deadlock_detected

# How often that is tried again before it counts as a failure: after up to 10, 20 … 160 ms, by
# chance, so that two which met do not meet again.
TRIES = 5
_FIRST_PAUSE = 0.01


def ends(error: BaseException) -> bool:
    """Tell whether it is to end the program, and no failure of the function that raised it."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup((KeyboardInterrupt, SystemExit)) is not None
    return isinstance(error, KeyboardInterrupt | SystemExit)


def description(error: BaseException) -> str:
    """The error's type and text, as PostgreSQL can keep them, whatever the text is."""
    try:
        text = f"{type(error).__name__}: {str(error)[:_LONGEST]}"
    except BaseException as failure:
        if ends(failure):
            raise
        text = f"{type(error).__name__}, and its text cannot be made: {type(failure).__name__}"
    text = masked(text).replace("\0", "\\x00").encode(errors="backslashreplace").decode()
    return text[:_LONGEST]


def is_conflict(error: BaseException | None) -> bool:
    """Tell whether a deadlock or a serialization failure is the error, or its reason."""
    return any(
        isinstance(each, psycopg.Error) and each.sqlstate in _CONFLICTS for each in _reasons(error)
    )


def pause_after(tries: int) -> float:
    """Seconds to wait after so many conflicts in a row."""
    return random.uniform(0, _FIRST_PAUSE * 2**tries)


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from or because of, and the members of groups."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, None if each.__suppress_context__ else each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
