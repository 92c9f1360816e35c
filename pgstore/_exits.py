"""How a command ends: its exit code, and an error in one line."""

import psycopg
from psycopg_pool import PoolTimeout

from pgstore import errors

FAILED = 1
USAGE = 2
WRONG_VERSION = 3
NOT_FOUND = 4
NO_CONNECTION = 5
WRONG_STORE = 6
INTERRUPTED = 130
BROKEN_PIPE = 141


class CommandError(Exception):
    """A command cannot do what it was asked to; `hint` says what to do."""

    def __init__(self, message: str, *, code: int = FAILED, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def exit_code(error: Exception) -> int:
    """The code for programs that call us."""
    match error:
        case CommandError():
            return error.code
        case errors.InvalidArgumentError():
            return USAGE
        case errors.OptimisticConcurrencyError():
            return WRONG_VERSION
        case errors.MessageNotFound() | errors.SubscriptionNotFound():
            return NOT_FOUND
        case (
            errors.StoreNotInstalledError()
            | errors.StoreOutdatedError()
            | errors.StoreTooNewError()
            | errors.MigrationEditedError()
        ):
            return WRONG_STORE
        case PoolTimeout():
            return NO_CONNECTION
        case psycopg.OperationalError() if error.sqlstate is None or error.sqlstate[:2] in (
            "08",
            "28",
            "57",
        ):
            return NO_CONNECTION
    return FAILED


def told(error: Exception) -> str:
    """The error in a line and, where there is one, its hint in another."""
    message, hint = str(error).strip(), getattr(error, "hint", None)
    if isinstance(error, psycopg.Error):
        message = error.diag.message_primary or message
        hint = error.diag.message_hint
        if error.sqlstate:
            message = f"{message} ({error.sqlstate})"
    elif not isinstance(error, CommandError | errors.PgstoreError):
        message = f"{type(error).__name__}: {message}"
        hint = "--debug shows where"
    line = " ".join(message.split())
    return f"error: {line}" + (f"\nhint: {hint}" if hint else "")
