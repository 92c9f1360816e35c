"""Errors in one line, and the meaning of the exit codes."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from pgstore._core.log import traceback_of
from pgstore._core.text import one_line
from pgstore.cli._exits import (
    BROKEN_PIPE,
    FAILED,
    INTERRUPTED,
    NO_CONNECTION,
    NOT_FOUND,
    USAGE,
    WRONG_STORE,
    WRONG_VERSION,
    CommandError,
    exit_code,
    format_error,
)

__all__ = [
    "FAILED",
    "NOT_FOUND",
    "NO_CONNECTION",
    "USAGE",
    "WRONG_STORE",
    "WRONG_VERSION",
    "CommandError",
    "format_usage",
    "reported",
]


_VALUE = re.compile(r"Invalid value for '?(.+?)'?: (?:Value error, )?(.+)")
_PARSER = re.compile(r", (unable to parse|invalid \w+: found) .*")


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
