"""Where the server is."""

import os

import msgspec

from pgstore.cli._output import Output

# If one of these is set, libpq knows where to connect to.
_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE")


class Target(msgspec.Struct, frozen=True):
    """A server: its connection string, whether it is the embedded one, how it was found."""

    conninfo: str
    embedded: bool
    found_by: str

    def __repr__(self) -> str:
        return f"Target(found_by={self.found_by!r})"  # without the password


def store_name(given: str | None) -> str:
    """The store's name: the option, PGSTORE_STORE, or pgstore."""
    return given or os.environ.get("PGSTORE_STORE") or "pgstore"


def find_target(given: str | None, out: Output) -> Target:
    """Find the server: the option, PGSTORE_CONNINFO, libpq's environment, or the embedded one."""
    if found := find_given(given):
        return found
    from pgstore.cli import _embedded  # needs a Unix

    server = _embedded.started(out)
    return Target(server.conninfo, True, str(server.folder))


def find_given(given: str | None) -> Target | None:
    """Find the server that was given, if one was."""
    from pgstore._core.conninfo import checked

    if given is not None:
        return Target(checked(given), False, "--conninfo")
    if conninfo := os.environ.get("PGSTORE_CONNINFO"):
        return Target(checked(conninfo), False, "PGSTORE_CONNINFO")
    if found := [name for name in _LIBPQ if os.environ.get(name)]:
        return Target("", False, ", ".join(found))
    return None
