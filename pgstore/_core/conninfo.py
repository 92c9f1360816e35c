"""Connection strings, and the parameters of the store's own connections."""

import re
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from pgstore._core.frameworks import kind_of
from pgstore.errors import InvalidArgumentError

# A host that has gone, or a firewall that drops packets, sends nothing. TCP alone would wait for
# two minutes when connecting, for 15 when it has sent something, and for ever when it has not.
_LIMITS = {
    "connect_timeout": 5,  # seconds
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}


_URI = re.compile("postgres(ql)?://")

_DRIVER = re.compile(r"\s*postgres(?:ql)?\+\w+:", re.IGNORECASE)  # as SQLAlchemy's URLs name it

_ESCAPES = "in the user's name and the password of a URI, write % as %25, @ as %40 and / as %2F"


def checked(conninfo: Any) -> str:
    """The connection string, which can be parsed and, it seems, means what it says.

    One of SQLAlchemy for psycopg, as an object too, becomes libpq's.
    Raises InvalidArgumentError without a part of it: libpq's errors and psycopg's quote what they
    cannot read, and take what follows an unescaped @ or / of a password for a host or a port.
    """
    problem = None
    named = _DRIVER.match(conninfo) if isinstance(conninfo, str) else kind_of(conninfo) == "url"
    if named:
        conninfo, problem = _of_sqlalchemy(conninfo)
    if problem := problem or _problem_of(conninfo):
        raise InvalidArgumentError(
            f"the connection string, which is not shown as it may hold a password, {problem}"
        )
    found: str = conninfo
    return found


def _of_sqlalchemy(url: Any) -> tuple[str, str | None]:
    """libpq's connection string of a URL, or the problem with the URL."""
    from pgstore._core import urls  # only where one is given

    parts, problem = urls.parts_of(url)
    if problem is not None:
        return "", problem
    try:
        return urls.conninfo_of(parts), None
    except (psycopg.Error, UnicodeError):
        return "", "has a part that is no option of libpq's"


def _problem_of(conninfo: object) -> str | None:
    if not isinstance(conninfo, str):
        return "is not a str"
    if "\0" in conninfo:
        return "holds the character NUL"
    is_uri = _URI.match(conninfo) is not None
    try:
        found_in_it = conninfo_to_dict(conninfo)
    except UnicodeError:  # what a URI escapes is decoded, too
        return "is not a text of Unicode characters"
    except psycopg.Error:
        if is_uri:
            return f"cannot be read: {_ESCAPES}, a space as %20, and check its options"
        return (
            "cannot be read: it is a URI that begins with postgresql://, or pairs of name=value;"
            " put single quotes around a value that holds a space, and check the names"
        )
    if is_uri and _has_stray_at(conninfo):
        return f"has an @ too many: {_ESCAPES}"
    if any("@" in host[1:] for host in str(found_in_it.get("host", "")).split(",")):
        return "has an @ in its host: give user and password as options of their own"
    if not all(re.fullmatch("[0-9]*", n) for n in str(found_in_it.get("port", "")).split(",")):
        return "has a port that is not a number" + (f": {_ESCAPES}" if is_uri else "")
    if "://" in str(found_in_it.get("dbname", "")):
        return "has a URI for its dbname: give the URI alone"
    return None


def _has_stray_at(uri: str) -> bool:
    """Tell whether libpq would take a part of the password for a host or a database."""
    place = uri.partition("://")[2]
    if "@" in place.partition("/")[0]:
        place = place.partition("@")[2]
    return "@" in place.partition("?")[0]


def limits(conninfo: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The limits that neither the connection string, `given`, nor the environment sets.

    A connection string that names a service gets none: only libpq reads the service's file.
    """
    chosen = conninfo_to_dict(conninfo, **(given or {}))
    if "service" in chosen:
        return {}
    defaults = pq.Conninfo.get_defaults()
    set_outside = {each.keyword.decode() for each in defaults if each.val is not None}
    return {
        name: value
        for name, value in _LIMITS.items()
        if name not in chosen and name not in set_outside
    }
