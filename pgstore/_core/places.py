"""Places of stores, as a directory keeps them."""

from datetime import datetime
from typing import Any

import msgspec
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgstore._core.conninfo import checked

# A place says where the database is. The role, its password and the rest are each program's own.
_OF_THE_PLACE = ("host", "hostaddr", "port", "dbname", "service", "target_session_attrs")

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
    """The part of a connection string that says where the database is."""
    parts: dict[str, Any] = conninfo_to_dict(checked(conninfo))
    return make_conninfo(**{name: parts[name] for name in _OF_THE_PLACE if name in parts})


def connected(place: str, own: str) -> str:
    """The connection string for a place, with all else of a program's own: user, password, TLS."""
    parts: dict[str, Any] = conninfo_to_dict(own)
    rest = {name: value for name, value in parts.items() if name not in _OF_THE_PLACE}
    return make_conninfo(place, **rest)
