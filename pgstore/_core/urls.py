"""SQLAlchemy's URLs, as connection strings of libpq's."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from psycopg.conninfo import make_conninfo

# Its parts as SQLAlchemy finds them: a password may hold what libpq would have escaped.
_PARTS = re.compile(
    r"""(?x)
    (?P<drivername> [\w+]+ ) ://
    (?: (?P<username> [^:/]* ) (?: : (?P<password> [^@]* ) )? @ )?
    (?: \[ (?P<ipv6> [^/?]+ ) \] | (?P<host> [^/:?]* ) )?
    (?: : (?P<port> [^/?]* ) )?
    (?: / (?P<database> [^?]* ) )?
    (?: \? (?P<query> .* ) )?
    $
    """
)

_PSYCOPG = {"postgresql", "postgres+psycopg", "postgresql+psycopg", "postgresql+psycopg_async"}


def parts_of(url: Any) -> tuple[dict[str, Any], str | None]:
    """The parts of a URL, which may be a text, and the problem with it, if any."""
    if isinstance(url, str):
        found = _PARTS.match(url.strip())  # a file's last line may end with a newline
        if found is None:
            return {}, "is not a URL of SQLAlchemy's that can be read"
        parts: dict[str, Any] = found.groupdict()
        parts["host"] = parts.pop("ipv6") or parts["host"]
        for name in ("username", "password"):
            parts[name] = unquote(parts[name]) if parts[name] else None
        query: dict[str, Any] = {}
        for key, value in parse_qsl(parts["query"] or "", keep_blank_values=True):
            query.setdefault(key, []).append(value)
        parts["query"] = query
    else:
        names = ("drivername", "username", "password", "host", "port", "database", "query")
        parts = {name: getattr(url, name) for name in names}
    return parts, _problem_of(parts)


def _problem_of(parts: Mapping[str, Any]) -> str | None:
    name = parts["drivername"].lower()
    if name not in _PSYCOPG:
        dialect, _, driver = name.partition("+")
        if dialect not in ("postgres", "postgresql"):
            return f"is one of {dialect}: a store is in PostgreSQL"
        return (
            f"names the driver {driver or dialect}: a store runs on psycopg: write"
            " postgresql+psycopg:// or postgresql://"
        )
    if parts["password"] == "***":
        return (
            "has *** for its password, as str(url) shows it: pass the URL itself, or"
            " url.render_as_string(hide_password=False)"
        )
    return None


def conninfo_of(parts: Mapping[str, Any]) -> str:
    """libpq's connection string; psycopg's error if an option of the query is none of libpq's."""
    options = dict(_options(parts))
    hosts = parts["query"].get("host", ())
    hosts = [hosts] if isinstance(hosts, str) else list(hosts)
    if any(":" in host and not host.startswith(("/", "[")) for host in hosts):
        # host=a:5432&host=b:5433, SQLAlchemy's way to name several
        options["host"] = ",".join(host.partition(":")[0] for host in hosts)
        options["port"] = ",".join(host.partition(":")[2] for host in hosts)
    return make_conninfo("", **options)


def _options(parts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {"user": "username", "password": "password", "host": "host", "port": "port"}
    for name, part in (names | {"dbname": "database"}).items():
        if parts[part]:
            yield name, str(parts[part])
    for name, value in parts["query"].items():
        yield name, value if isinstance(value, str) else ",".join(value)
