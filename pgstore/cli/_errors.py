"""Errors in one line, and what the exit codes mean."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pgstore._exits import (
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
    told,
)
from pgstore._log import traceback_of

__all__ = [
    "FAILED",
    "NOT_FOUND",
    "NO_CONNECTION",
    "USAGE",
    "WRONG_STORE",
    "WRONG_VERSION",
    "CommandError",
    "reported",
]


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turn what is raised into a line on stderr and an exit code."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output has seen enough. Python would complain at its end otherwise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            sys.stderr.write(traceback_of(error) + "\n")
        sys.stderr.write(told(error) + "\n")
        raise typer.Exit(exit_code(error)) from None
