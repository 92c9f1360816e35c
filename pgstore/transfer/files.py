"""Files of an export: plain, compressed, or standard input and output."""

import errno
import gzip
import importlib
import os
import sys
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from pgstore.transfer._batches import Batch
from pgstore.transfer._errors import FileRefusedError, TransferError
from pgstore.transfer._format import End, Header, checked, header_of, is_whole, parsed

STDIO = "-"

_BLOCK = 1 << 20

# Of gzip and of zstd. Level 6 of gzip takes twice the time for 3 % less.
_GZIP_LEVEL = 3


class FileSource:
    """An export in a file, to import from; `-` is standard input.

    A file is read twice: it is imported only if all of it is what was written. Standard input, or
    a pipe, can be read only once: what comes before a line that is refused is imported.
    """

    unit = "line"

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.total: int | None = None
        """Messages in it, if that is known before they are read."""
        self.header: Header | None = None
        """What it says that it holds, as soon as it is read."""

    @contextmanager
    def read(self, count: int) -> Iterator[Iterator[Batch]]:
        """What is in the file. Raises FileRefusedError for a file that is not an export."""
        once = self.path == STDIO or _is_device(self.path)
        if not once:
            self.total = self._verified().messages
        with open_file(self.path, "rb") as file:
            lines = checked(_lines(file)) if once else _lines(file)
            self.header = header_of(next(lines))
            yield parsed(lines, 2, count)

    def _verified(self) -> End:
        with open_file(self.path, "rb") as file, suppress(*_unreadable()):
            header_of(file.readline())
            file.seek(0)
            if end := is_whole(iter(lambda: file.read(_BLOCK), b"")):
                return end
        with open_file(self.path, "rb") as file:
            lines = checked(_lines(file))
            header_of(next(lines))
            deque(lines, maxlen=0)
        raise FileRefusedError("the file has changed while it was read", line=1)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    number = 0
    try:
        for number, line in enumerate(file, 1):  # noqa: B007
            yield line
    except _unreadable() as error:
        # Of a compressed file: cut off, or altered.
        raise FileRefusedError(f"cannot be read further: {error}", line=number + 1) from error
    if number == 0:
        raise FileRefusedError("the file is empty", line=1)


@contextmanager
def open_file(path: str, mode: str) -> Iterator[IO[bytes]]:
    """Open a file for `rb` or `wb`; `.gz` and `.zst` are compressed. `-` is stdin or stdout.

    A file that is written is there under its name when it is complete, and not before. A pipe or
    device, which cannot be replaced, is written to.
    """
    if path == STDIO:
        stream = sys.stdin.buffer if mode == "rb" else sys.stdout.buffer
        yield stream
        stream.flush()
    elif mode == "rb" or _is_device(path):
        with _opened(Path(path), Path(path).suffix, mode) as file:
            yield file
    else:
        if Path(path).is_dir():  # told now, not when everything is written
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        part = Path(f"{path}.part")
        try:
            with _opened(part, Path(path).suffix, mode) as file:
                yield file
            descriptor = os.open(part, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)


def _is_device(path: str) -> bool:
    """Whether it is there and no file: a pipe, as the shell makes of <(…), or a terminal."""
    return Path(path).exists() and not Path(path).is_file()


def _opened(path: Path, suffix: str, mode: str) -> Any:
    if suffix == ".gz":
        return gzip.open(path, mode, compresslevel=_GZIP_LEVEL)
    if suffix == ".zst":
        return _zstd().open(path, mode)
    return path.open(mode)


def _unreadable() -> tuple[type[Exception], ...]:
    """What reading a compressed file raises if it was cut off or altered."""
    found: list[type[Exception]] = [EOFError, OSError, ValueError, zlib.error]
    if (zstd := _found_zstd()) is not None:
        found.append(zstd.ZstdError)
    return tuple(found)


def _zstd() -> Any:
    if (zstd := _found_zstd()) is None:
        raise TransferError(
            "this Python cannot read or write .zst",
            hint="Use Python 3.14 or newer, pip install backports.zstd, or pipe it through zstd.",
        )
    return zstd


@cache
def _found_zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
