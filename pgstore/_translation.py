"""What errors of the server and the driver mean to a store."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from pgstore.errors import InvalidArgumentError, TransactionFailedError

# The server has ended the session: by an administrator, in a crash, or for having been idle.
_LOST = {"57P01", "57P02", "57P05"}

_NUL = "names and payloads cannot hold the character NUL (\\0): PostgreSQL has no place for it"


@contextmanager
def translated() -> Iterator[None]:
    """Raise InvalidArgumentError for an argument that the server or the driver refuses."""
    try:
        yield
    except psycopg.errors.InvalidParameterValue as error:
        try:
            detail = msgspec.json.decode(error.diag.message_detail or "", type=dict[str, object])
        except msgspec.DecodeError:
            raise error from None  # of somebody else's statement, earlier in a pipeline
        raise InvalidArgumentError(error.diag.message_primary or str(error), detail) from error
    except psycopg.errors.UntranslatableCharacter as error:
        raise InvalidArgumentError(_NUL) from error
    except psycopg.DataError as error:
        if error.sqlstate is None:  # the driver's: nothing was sent
            raise InvalidArgumentError(f"{error}: {_NUL}") from error
        # All parameters are texts: one cannot be read as what it should be.
        raise InvalidArgumentError(error.diag.message_primary or str(error)) from error
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"not a text of Unicode characters: {error}") from error


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
# ending or starting (57P0x), its files fail (58), or read-only, as a standby is.
_PASSING = ("53", "57P0", "58", "25006")


def is_of_the_server(error: BaseException | None) -> bool:
    """Tell whether an error, or what it was raised from, is of the server's state."""
    while error is not None:
        if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_PASSING):
            return True
        error = error.__cause__
    return False


def is_lost_connection(error: psycopg.OperationalError) -> bool:
    """Tell whether a connection turned out to be dead, so that another one may do better."""
    if isinstance(error, PoolClosed | PoolTimeout | TooManyRequests):
        return False
    return error.sqlstate is None or error.sqlstate in _LOST
