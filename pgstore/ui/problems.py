"""Errors as pages: a status, the cause, and a remedy."""

from collections.abc import Sequence

import msgspec
import psycopg
from starlette.exceptions import HTTPException

import pgstore.errors as errors
from pgstore._core.text import one_line


class Problem(msgspec.Struct, frozen=True):
    """A page in the place of the one that was asked for."""

    status: int
    title: str
    text: str
    remedy: str = ""
    code: str | None = None
    unexpected: bool = False


class Refusal(Exception):
    """The console does not do what it was asked to; the page says so with these fields."""

    def __init__(
        self, status: int, title: str, text: str, remedy: str = "", code: str | None = None
    ) -> None:
        super().__init__(title)
        self.problem = Problem(status, title, text, remedy, code)

    @classmethod
    def of_rights(cls, names: Sequence[str]) -> "Refusal":
        """The role may not use functions or views of the store."""
        return cls(
            403,
            "The role may not see this",
            f"The database role of this console may not use {', '.join(names)}.",
            "Ask the store's owner for a right that has them: pgstore grant read, monitor,"
            " consume or admin.",
            "42501",
        )

    @classmethod
    def of_argument(cls, text: str) -> "Refusal":
        """A value in the address or the form is wrong."""
        return cls(400, "This value does not fit", text, "Correct it, and try again.")

    @classmethod
    def of_absence(cls, title: str, text: str, remedy: str = "") -> "Refusal":
        """The store has no such thing."""
        return cls(404, title, text, remedy)


# A remedy for each error, beside the error's own text.
_REMEDIES: dict[type[Exception], tuple[int, str, str]] = {
    errors.StoreNotInstalledError: (
        503,
        "The store is not there",
        "Install it with pgstore install, or start the console with the name of another: --store.",
    ),
    errors.StoreOutdatedError: (
        503,
        "The store is older than this console",
        "Upgrade it: pgstore upgrade.",
    ),
    errors.StoreTooNewError: (
        503,
        "The store is newer than this console",
        "Install the pgstore that the store was installed with, or a newer one.",
    ),
    errors.MigrationEditedError: (
        503,
        "The store has a migration of another text",
        "Run pgstore doctor.",
    ),
    errors.UnsupportedDatabaseError: (
        503,
        "The server cannot have a store",
        "pgstore needs PostgreSQL 14 or newer, and a database of UTF8.",
    ),
    errors.StandbyError: (
        503,
        "This standby cannot be read across streams",
        "Connect the console to the primary, or publish the horizon there: pgstore publish.",
    ),
    errors.StandbyBehindError: (
        503,
        "This standby is behind that position",
        "Try again in a moment.",
    ),
    errors.PositionBeyondEndError: (
        404,
        "This position is beyond the end of the store",
        "The address is of another history, for example from before a backup was restored.",
    ),
    errors.SequenceBehindError: (
        503,
        "A sequence of the store is behind its messages",
        "The store's owner repairs it: see “A sequence that is behind” in the documentation.",
    ),
    errors.ReadIsolationError: (
        503,
        "The role's transactions have another isolation level",
        "Set default_transaction_isolation to read committed for the console's role.",
    ),
    errors.StreamCutOffError: (
        409,
        "The beginning of the stream was deleted",
        "Its state is not known; its messages that are left can be read.",
    ),
    errors.SubscriptionNotFoundError: (
        404,
        "There is no such subscription",
        "It may have been dropped: look at the list of subscriptions.",
    ),
    errors.InvalidArgumentError: (400, "This value does not fit", "Correct it, and try again."),
    errors.LeaseLostError: (409, "The lease was lost", "Load the page again."),
    errors.MessageDecodeError: (
        422,
        "A message cannot be decoded",
        "The program that was given with --app does not read this message: look at it raw.",
    ),
    errors.UnknownMessageTypeError: (
        422,
        "The program does not know a type",
        "Give the console a program with --app whose store reads all types of this stream.",
    ),
    # Also that the pool has no connection in time, or is closed.
    psycopg.OperationalError: (
        503,
        "The database does not answer",
        "See whether the server runs and whether the network lets the console through; then try"
        " again.",
    ),
}


def problem_of(error: Exception, store: str) -> Problem:
    """The page for an error."""
    match error:
        case Refusal():
            return error.problem
        case HTTPException(status_code=404):
            return Problem(404, "There is no such page", "The address leads nowhere here.")
        case HTTPException():
            return Problem(error.status_code, "This request does not fit", error.detail)
        case TimeoutError():
            return Problem(
                504,
                "The database has taken too long",
                "The console does not wait for longer.",
                "Try again, or narrow the search. pgstore doctor looks for reasons.",
            )
        case psycopg.errors.InsufficientPrivilege():
            return Problem(
                403,
                "The role may not do this",
                one_line(error.diag.message_primary or str(error)),
                f"Ask the owner of the store {store} for the right: pgstore grant.",
                "42501",
            )
        case psycopg.errors.QueryCanceled():
            return Problem(
                503,
                "The database has cancelled the statement",
                one_line(error.diag.message_primary or str(error)),
                "It took longer than the role's statement_timeout. Narrow the search.",
                "57014",
            )
    for kind in type(error).__mro__:
        if kind in _REMEDIES:
            status, title, remedy = _REMEDIES[kind]
            return Problem(
                status, title, one_line(str(error)), remedy, getattr(error, "sqlstate", None)
            )
    if isinstance(error, psycopg.Error):
        text = error.diag.message_primary or str(error)
        hint = error.diag.message_hint or ""
        return Problem(
            500, "The database has refused", one_line(text), one_line(hint), error.sqlstate
        )
    return Problem(
        500,
        "The console has failed",
        f"This is a fault of the console: {type(error).__name__}.",
        "The log has its traceback. Please report it.",
        unexpected=True,
    )
