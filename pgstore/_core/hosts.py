"""Connection strings with several hosts, of which one is the primary."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgstore._core.text import one_line
from pgstore._core.translation import OF_EACH_HOST, passes

_PRIMARY = ("read-write", "primary")
_LISTS = ("host", "hostaddr", "port")
_USED = (*_LISTS, "target_session_attrs")

Host = dict[str, str]


def hosts_of(conninfo: str, given: Mapping[str, Any] | None = None) -> list[Host]:
    """Give the parameters of each of several hosts of which only the primary will do; else none.

    None also if libpq's environment or a service names them: psycopg then tries them in turn.
    """
    used = {name: value for name, value in (given or {}).items() if name in _USED}
    parts = conninfo_to_dict(conninfo, **used)
    if parts.get("target_session_attrs") not in _PRIMARY:
        return []
    lists = {name: str(parts[name]).split(",") for name in _LISTS if parts.get(name)}
    count = max((len(each) for name, each in lists.items() if name != "port"), default=0)
    if len(lists.get("port", ())) == 1:
        del lists["port"]  # of all
    if count < 2 or any(len(each) != count for each in lists.values()):
        return []  # psycopg tells what does not match
    return [{name: each[n] for name, each in lists.items()} for n in range(count)]


def no_host(hosts: Sequence[Host], errors: Sequence[BaseException]) -> BaseException:
    """The error of an attempt that failed with each of the hosts, in the order of the hosts.

    Its text lists them as psycopg does, and `passes` reads them there.
    """
    for error in errors:
        if not isinstance(error, psycopg.Error | OSError):
            return error
    lines = [
        f"{one_line(', '.join(host.values()))}: {one_line(str(error))}"
        for host, error in zip(hosts, errors, strict=True)
    ]
    text = OF_EACH_HOST.join(["no host is a primary to connect to", *lines])
    found = psycopg.OperationalError(text)
    found.__cause__ = next(filter(passes, errors), errors[-1])
    return found
