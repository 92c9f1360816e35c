"""How a command ends: its exit code, and an error in one line."""

from pgstore._core.text import one_line

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
    if isinstance(error, ImportError):  # of the driver, which the rest needs
        return FAILED

    import psycopg
    from psycopg_pool import PoolTimeout

    import pgstore.errors as errors

    match error:
        case CommandError():
            return error.code
        case errors.InvalidArgumentError() | UnicodeEncodeError():
            return USAGE
        case psycopg.ProgrammingError() if error.sqlstate is None:
            return USAGE  # a connection string that is none
        case errors.OptimisticConcurrencyError():
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
        case PoolTimeout():
            return NO_CONNECTION
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
        case psycopg.Error():
            message = error.diag.message_primary or message
            hint = error.diag.message_hint or "; ".join(getattr(error, "__notes__", ()))
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
