"""Errors in one line, and the meaning of the exit codes."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from pgstore._core.log import traceback_of
from pgstore._core.text import one_line

FAILED = 1
USAGE = 2
WRONG_VERSION = 3
NOT_FOUND = 4
NO_CONNECTION = 5
WRONG_STORE = 6
INTERRUPTED = 130
BROKEN_PIPE = 141

_VALUE = re.compile(r"Invalid value for '?(.+?)'?: (?:Value error, )?(.+)")
_PARSER = re.compile(r", (unable to parse|invalid \w+: found) .*")


class CommandError(Exception):
    """A command cannot do what it was asked to; `hint` says what to do."""

    def __init__(self, message: str, *, code: int = FAILED, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def exit_code(error: Exception) -> int:
    """The code for programs that call us."""
    if isinstance(error, ImportError):  # of the driver, which the rest needs
        return FAILED

    import psycopg

    import pgstore.errors as errors

    match error:
        case CommandError():
            return error.code
        case errors.InvalidArgumentError() | UnicodeEncodeError():
            return USAGE
        case psycopg.ProgrammingError() if error.sqlstate is None:
            return USAGE  # a connection string that is none
        case errors.OptimisticConcurrencyError() | errors.AppendConditionError():
            return WRONG_VERSION
        case errors.MessageNotFoundError() | errors.SubscriptionNotFoundError():
            return NOT_FOUND
        case (
            errors.StoreNotInstalledError()
            | errors.StoreOutdatedError()
            | errors.StoreTooNewError()
            | errors.MigrationEditedError()
        ):
            return WRONG_STORE
        case psycopg.OperationalError() if error.sqlstate is None or error.sqlstate[:2] in (
            "08",
            "28",
            "57",
        ):
            return NO_CONNECTION
    return FAILED


def format_error(error: Exception) -> str:
    """The error in a line and, where there is one, its hint in another."""
    if isinstance(error, ImportError):
        return f"error: {one_line(str(error))}"

    import psycopg

    import pgstore.errors as errors

    message, hint = str(error).strip(), getattr(error, "hint", None)
    match error:
        case errors.StoreNotInstalledError() | errors.StoreOutdatedError():
            message, _, command = message.partition("; run: python -m ")
            hint = command
        case errors.StoreMovedError():
            message = f"{error.diag.message_primary} ({error.sqlstate})"
            hint = f"it is at {error.conninfo}"
        case psycopg.Error():
            message = error.diag.message_primary or message
            hint = error.diag.message_hint or "; ".join(getattr(error, "__notes__", ()))
            if isinstance(error, psycopg.errors.LockNotAvailable):
                message += _transactions(error.diag.message_detail)
            if error.sqlstate:
                message = f"{message} ({error.sqlstate})"
            elif message.count("\n\t") == 1:  # libpq's advice: Is the server running …?
                message, _, hint = message.partition("\n\t")
        case errors.InvalidArgumentError(diag=psycopg.errors.Diagnostic() as diag):
            # Where the store has refused it, DETAIL is for programs.
            if not error.detail and diag.message_detail:
                message = f"{message}: {diag.message_detail}"
        case OSError(filename=str(), strerror=str()):
            message = f"{error.filename}: {error.strerror}"
        case OSError(strerror=str(reason)):
            message = reason
        case UnicodeEncodeError():
            message = f"not a text of UTF-8: {error.object!r}"
        case CommandError() | errors.PgstoreError():
            pass
        case _:
            message = f"{type(error).__name__}: {message}"
            hint = "--debug shows where"
    line = f"error: {one_line(message)}"
    return f"{line}\nhint: {one_line(hint)}" if hint else line


def _transactions(detail: str | None) -> str:
    """The transactions in the way of a fence, from the error's DETAIL: its hint is about them."""
    try:
        found = json.loads(detail or "{}")["transactions"] or []
    except (ValueError, LookupError):
        return ""
    named = [
        f"{'gid' if one['pid'] is None else 'pid'} {one['pid'] or one['gid']} ({one['role']})"
        for one in found
    ]
    return ": " + ", ".join(named) if named else ""


def format_usage(error: Any) -> str:
    """Format Typer's error of usage as `format_error` does others; nothing for no arguments."""
    text = one_line(error.format_message()).rstrip(".")
    if not text or type(error).__name__ == "NoArgsIsHelpError":  # the help is printed
        return ""
    if found := _VALUE.fullmatch(text):
        text = f"{found[1]}: {_lower(_PARSER.sub('', found[2]))}"
    said = f"error: {_lower(text)}"
    context = getattr(error, "ctx", None)
    return said if context is None else f"{said}\nhint: {context.command_path} --help"


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turn what is raised into a line on stderr and an exit code."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has ended. Without this Python would complain at its own end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            sys.stderr.write(traceback_of(error) + "\n")
        sys.stderr.write(format_error(error) + "\n")
        raise typer.Exit(exit_code(error)) from None
