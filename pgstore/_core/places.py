"""Places of stores, as a directory keeps them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from pgstore._core.conninfo import checked
from pgstore.errors import InvalidArgumentError

# A place says where the database is. The role, its password and the rest are each program's own.
_OF_THE_PLACE = ("host", "hostaddr", "port", "dbname", "service", "target_session_attrs")

INSTALLING = "SELECT pg_advisory_xact_lock(hashtextextended('pgstore_directory', 0))"
_MOST_BYTES = 2000  # in the directory, and in a fence
# In the transaction of a question: another session can have locked the table.
LIMIT = "SELECT set_config('statement_timeout', '5s', true)"
PLACE = "SELECT p.store, p.conninfo, p.state, p.since FROM pgstore_directory.stores AS p"
PLACE_OF = f"{PLACE} WHERE p.store = %s"
PLACES = f"{PLACE} ORDER BY p.store"
# A row that says the same keeps its time.
PUT = """
INSERT INTO pgstore_directory.stores AS p (store, conninfo, state) VALUES (%s, %s, %s)
ON CONFLICT (store) DO UPDATE
SET conninfo = excluded.conninfo, state = excluded.state, since = clock_timestamp()
WHERE (p.conninfo, p.state) IS DISTINCT FROM (excluded.conninfo, excluded.state)
RETURNING p.store
"""
REMOVE = "DELETE FROM pgstore_directory.stores AS p WHERE p.store = %s RETURNING p.store"


class Place(msgspec.Struct, frozen=True):
    """Where a store is: `conninfo` has no user and no password."""

    store: str
    conninfo: str
    state: str
    since: datetime


def place_of(conninfo: str) -> str:
    """The part of a connection string that says where the database is, for every program.

    It has the host and the port that libpq's environment names here: a program on another machine
    has another environment.
    """
    given: dict[str, Any] = conninfo_to_dict(checked(conninfo))
    parts = {name: given[name] for name in _OF_THE_PLACE if given.get(name)}
    if "service" not in parts:  # which has the rest, in a file
        parts = _outside() | parts
        if "dbname" not in parts:
            raise InvalidArgumentError("the place of a store names its database: dbname=…")
    place = make_conninfo(**{name: parts[name] for name in _OF_THE_PLACE if name in parts})
    if not 0 < len(place.encode()) <= _MOST_BYTES:
        raise InvalidArgumentError(f"the place of a store has at most {_MOST_BYTES} bytes")
    return place


def _outside() -> dict[str, str]:
    """The place that libpq's environment names, and the port if nothing does."""
    found = {}
    for each in Conninfo.get_defaults():
        name = each.keyword.decode()
        if each.val and name in _OF_THE_PLACE and (name == "port" or each.val != each.compiled):
            found[name] = each.val.decode()
    return found


def connected(place: str, own: str) -> str:
    """The connection string for a place, with all else of a program's own: user, password, TLS.

    Raises InvalidArgumentError if the place is none: people change directories, too.
    """
    named: dict[str, Any] = conninfo_to_dict(checked(place))
    parts = {name: value for name, value in named.items() if name in _OF_THE_PLACE}
    rest: dict[str, Any] = conninfo_to_dict(own)
    for name in _OF_THE_PLACE:
        # The service's file may have user and password, and the place goes before its host.
        if name != "service" or "service" in parts:
            rest.pop(name, None)
    return make_conninfo(**rest, **parts)


@contextmanager
def of_the_directory() -> Iterator[None]:
    """Let errors say that they are the directory's, and what to do."""
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        error.add_note(
            "there is no directory in this database: Directory.install() makes it, and pgstore"
            " stores --add"
        )
        raise
    except psycopg.errors.InsufficientPrivilege as error:
        # Instead of the note about the rights of stores.
        error.__notes__ = [
            error.diag.message_hint
            or "to read the directory takes USAGE on the schema pgstore_directory and SELECT on its"
            " table stores; to change it, INSERT, UPDATE and DELETE too; to make it, CREATE in the"
            " database"
        ]
        raise
    except psycopg.OperationalError as error:
        if error.sqlstate is not None:
            raise
        raise psycopg.OperationalError(f"the directory of stores: {error}") from error
