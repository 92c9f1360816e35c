"""The meaning of the server's and the driver's errors for a store."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from pgstore._core.outages import is_read_only
from pgstore._core.text import TOO_DEEP
from pgstore.errors import (
    InvalidArgumentError,
    PositionBeyondEndError,
    StoreError,
    StoreMovedError,
    StoreNotInstalledError,
    StoreOutdatedError,
    TransactionFailedError,
)

# The server has ended the session: by an administrator, in a crash, or for having been idle.
_LOST = {"57P01", "57P02", "57P05"}

_ELSEWHERE = {"25006", "MS005"}

# The schema of the store is gone, or goes while a statement runs: then it is an internal error.
_GONE = {"3F000", "42883", "42P01", "XX000"}

# Not 57P04: the database was dropped.
_PASSING = _ELSEWHERE | {"55006", "55P03", "57014", "57P01", "57P02", "57P03", "57P05", "26000"}
# Connections, rolled back transactions, resources, the system around the server, and its internal
# errors: some pass, and none is what a caller did.
_PASSING_CLASSES = {"08", "40", "53", "58", "XX"}

_OF_THE_POOL = (PoolClosed, PoolTimeout, TooManyRequests)

_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "is not permitted to log in",
    "permission denied for database",
    '" does not exist',
)

# Begins the line of each host where psycopg, and pgstore, list the failures of several.
OF_EACH_HOST = "\n- host: "

_NUL = "names and payloads cannot hold the character NUL (\\0): PostgreSQL has no place for it"

_STANDBY = (
    "this server is a standby, which can only be read: connect to the primary, which"
    " target_session_attrs=read-write in the connection string finds among several hosts"
)
_FAILED = (
    "a statement in this transaction failed before, and its error was caught: roll the transaction"
    " back, or put what may fail into a savepoint: with conn.transaction()"
)
_READ_ONLY = "this session is read-only: see the server's default_transaction_read_only"


@contextmanager
def translated(conn: psycopg.BaseConnection[Any] | None = None) -> Iterator[None]:
    """Raise InvalidArgumentError for an argument that the server or the driver refuses."""
    try:
        with advised(conn):
            yield
    except psycopg.errors.InvalidParameterValue as error:
        try:
            detail = msgspec.json.decode(error.diag.message_detail or "", type=dict[str, object])
        except msgspec.DecodeError:
            raise error from None  # of somebody else's statement, earlier in a pipeline
        raise _refused(error, error.diag.message_primary, detail) from None
    except psycopg.errors.StatementTooComplex as error:  # some thousand levels: jsonb's own limit
        raise _refused(error, TOO_DEEP) from None
    except psycopg.errors.UntranslatableCharacter as error:
        raise _refused(error, _NUL) from None
    except psycopg.DataError as error:
        if error.sqlstate is None:  # the driver's: nothing was sent
            raise InvalidArgumentError(f"{error}: {_NUL}") from None
        # All parameters are texts: one cannot be read as what it should be.
        raise _refused(error, error.diag.message_primary) from None
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"not a text of Unicode characters: {error}") from None


@contextmanager
def advised(conn: psycopg.BaseConnection[Any] | None) -> Iterator[None]:
    """Add a note that says what to do: the store's hint, or ours where the server has none."""
    try:
        yield
    except StoreError as error:
        if isinstance(error, PositionBeyondEndError):
            error._read_only = conn is not None and is_read_only(conn)
        if error.diag.message_hint:
            error.add_note(error.diag.message_hint)
        raise
    except psycopg.errors.ReadOnlySqlTransaction as error:
        if not error.diag.message_hint:
            standby = conn is not None and conn.pgconn.parameter_status(b"in_hot_standby") == b"on"
            error.add_note(_STANDBY if standby else _READ_ONLY)
        raise
    except psycopg.errors.InFailedSqlTransaction as error:
        error.add_note(_FAILED)
        raise
    except psycopg.errors.InsufficientPrivilege as error:
        if not error.diag.message_hint:
            role = f"role {conn.info.user}" if conn is not None else "a role"
            error.add_note(
                f"the store's owner gives {role} rights with pgstore grant, or in SQL with"
                " grant_access; to install a store takes the right to"
                " CREATE in the database"
            )
        raise


def _refused(
    error: psycopg.Error, text: str | None, detail: Mapping[str, object] | None = None
) -> InvalidArgumentError:
    """The error in place of the server's, with the server's text, which it would only repeat."""
    refused = InvalidArgumentError(text or str(error), detail)
    refused.sqlstate, refused.diag = error.sqlstate, error.diag
    return refused


def refuse_marked(conn: psycopg.BaseConnection[Any], is_marked: bool) -> None:
    """Raise for a transaction of Django's that is to be rolled back, or has failed."""
    if is_marked or conn.info.transaction_status == TransactionStatus.INERROR:
        raise TransactionFailedError(
            "nothing was stored: a statement in this transaction failed, and its error was caught. "
            "Do not catch the error, or put what may fail into a block of its own: with atomic()"
        )


def refuse_failed(conn: psycopg.BaseConnection[Any]) -> None:
    """Raise for a transaction that can no longer commit what was done in it."""
    status = conn.info.transaction_status
    if status == TransactionStatus.INERROR:
        raise TransactionFailedError(
            "nothing was stored: a statement in this transaction failed, and its error was caught. "
            "PostgreSQL has undone the whole transaction. Do not catch the error, or put what may "
            "fail into a savepoint: with conn.transaction()"
        )
    if status == TransactionStatus.IDLE:
        raise TransactionFailedError(
            "this transaction was ended by COMMIT or ROLLBACK before its block did: what was done "
            "in the block was not stored as a whole"
        )
    if conn.closed:
        raise psycopg.OperationalError("nothing was stored: the connection was lost")


# States of the server in which any statement can fail: out of disk, memory or connections (53),
# ending or starting (57P0x), its files fail (58), or read-only, as a standby is. And a state of the
# store in which any write can fail, until its owner has repaired it, or until it is open elsewhere.
_OF_THE_SERVER = ("53", "57P0", "58", "25006", "MS007", "MS030")


def is_of_the_server(error: BaseException | None) -> bool:
    """Tell whether an error, or what it was raised from, is of the server's state."""
    while error is not None:
        if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_OF_THE_SERVER):
            return True
        error = error.__cause__
    return False


def is_lost_connection(error: BaseException) -> bool:
    """Tell whether a connection turned out to be dead, so that another one may do better."""
    if not isinstance(error, psycopg.OperationalError) or isinstance(error, _OF_THE_POOL):
        return False
    if error.sqlstate is None:
        return not _is_refused(error)
    return error.sqlstate in _LOST


def is_gone(error: psycopg.Error) -> bool:
    """Whether the store may have been dropped here: of a directory, it can be at another place."""
    return error.sqlstate in _GONE


def is_elsewhere(error: BaseException) -> bool:
    """Tell whether a connection leads to a standby or a server that is read-only.

    The address may lead to the primary by now. Nothing has been done. A former primary that is
    read-only lacks the positions of the new one, which a reader may have.
    """
    if isinstance(error, PositionBeyondEndError):
        return error._read_only
    return isinstance(error, psycopg.Error) and error.sqlstate in _ELSEWHERE


def passes(error: BaseException) -> bool:
    """Tell whether what runs on waits and tries again: the server, or the way to it, will change.

    Everything else ends it: rights, a store that is missing or too new, what is no server's error.
    """
    if isinstance(error, StoreNotInstalledError | StoreOutdatedError):
        return error.on_standby
    if isinstance(error, StoreMovedError):
        return error.followed
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate in _PASSING or error.sqlstate[:2] in _PASSING_CLASSES
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return not isinstance(error, PoolClosed) and not _is_refused(error)
    return isinstance(error, OSError)  # no more files, no such host


def _is_refused(error: psycopg.Error) -> bool:
    """Tell whether each host has refused the role, its password or the database.

    libpq gives no SQLSTATE of an attempt to connect, so this reads the text. In a text of another
    language it finds nothing; then it is waited for, which is the safe side.
    """
    if error.sqlstate is not None:
        return False
    text, *of_each = str(error).split(OF_EACH_HOST)
    return all(any(refusal in each for refusal in _REFUSALS) for each in of_each or [text])
