"""Files that are there whole, or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE
from typing import IO

# The longest line of a file, and the largest message of another store, that is taken: more is read
# into memory only if the caller says so. An import needs several times as much.
MAX_BYTES = 64 << 20


@contextmanager
def whole_file(path: str | Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Write a file that gets its name when the block ends, complete and on the disk.

    Until then it is beside it, as PATH.xxxxxxxx.part, and removed if the block raises. Links stay:
    the file that they lead to is written. Raises FileExistsError for a file that is there, at the
    beginning and at the end, unless `overwrite`: then the old one stays until the new one takes its
    place, with the permissions of the old one.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not overwrite and target.exists():
        raise _exists(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    part = target.with_name(f"{target.name}.{token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            # Before there is anything to read in it.
            with suppress(FileNotFoundError):
                part.chmod(S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            part.replace(target)
        else:
            _give_name(part, target, path)
        _sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Replace a file by one with this text, or make it."""
    with whole_file(path, overwrite=True) as file:
        file.write(text.encode())


def _give_name(part: Path, target: Path, path: str | Path) -> None:
    """As a link, which replaces nothing that has got the name meanwhile."""
    try:
        target.hardlink_to(part)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without links
        if target.exists():
            raise _exists(path) from None
        part.rename(target)


def _exists(path: str | Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def _sync_folder(folder: Path) -> None:
    """Have the name on the disk too, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
