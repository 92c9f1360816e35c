"""Errors about arguments, from the server and the driver, as pgstore's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import psycopg

from pgstore.errors import InvalidArgumentError

_NUL = "names and payloads cannot hold the character NUL (\\0): PostgreSQL has no place for it"


@contextmanager
def translated() -> Iterator[None]:
    """Raise InvalidArgumentError for an argument that the server or the driver refuses."""
    try:
        yield
    except psycopg.errors.InvalidParameterValue as error:
        detail = error.diag.message_detail
        raise InvalidArgumentError(
            error.diag.message_primary or str(error),
            msgspec.json.decode(detail, type=dict[str, object]) if detail else None,
        ) from error
    except psycopg.errors.UntranslatableCharacter as error:
        raise InvalidArgumentError(_NUL) from error
    except psycopg.DataError as error:
        if error.sqlstate is None:  # the driver's: nothing was sent
            raise InvalidArgumentError(f"{error}: {_NUL}") from error
        raise
