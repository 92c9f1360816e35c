"""Files of an export: plain, compressed, or standard input and output."""

import gzip
import importlib
import os
import re
import sys
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from pgstore._core.arguments import count, describe
from pgstore._core.files import MAX_BYTES, whole_file
from pgstore.errors import InvalidArgumentError
from pgstore.transfer._batches import TOO_LONG_HINT, ImportBatch, too_long
from pgstore.transfer._errors import FileRefusedError, TransferError
from pgstore.transfer._format import End, Header, checked, header_of, is_whole, parsed

STDIO = "-"

_BLOCK = 1 << 20

# Of gzip and of zstd. Level 6 of gzip takes twice the time for 3 % less.
_GZIP_LEVEL = 3


class FileSource:
    """An export in a file, to import from; `-` is standard input.

    A file is read twice: it is imported only if all of it is what was written. Standard input, or a
    pipe, can be read only once: the lines before a refused line are imported. A line of more than
    `max_bytes` is refused, and not read into memory.
    """

    unit = "line"

    def __init__(self, path: str | Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path_of(path)
        # One more is read, to see that a line is longer: that must be a size that a file can read.
        self.max_bytes = min(count("max_bytes", max_bytes, least=1), sys.maxsize - 1)
        self.total: int | None = None
        """Messages in it, if that is known before they are read."""
        self.header: Header | None = None
        """The file's first line, as soon as it is read."""

    @contextmanager
    def read(self, count: int) -> Iterator[Iterator[ImportBatch]]:
        """Read the file in batches. Raises FileRefusedError for a file that is not an export."""
        once = self.path == STDIO or _is_device(self.path)
        if not once:
            self.total = self._verified().messages
        with open_file(self.path) as file:
            lines = _lines(file, self.max_bytes)
            lines = checked(lines) if once else lines
            self.header = header_of(next(lines))
            yield parsed(lines, 2, count)

    def _verified(self) -> End:
        with open_file(self.path) as file, suppress(*_unreadable()):
            header_of(file.readline(self.max_bytes))
            file.seek(0)
            if end := is_whole(iter(lambda: file.read(_BLOCK), b""), self.max_bytes):
                return end
        with open_file(self.path) as file:
            lines = checked(_lines(file, self.max_bytes))
            header_of(next(lines))
            deque(lines, maxlen=0)
        raise FileRefusedError("the file has changed while it was read", line=1)


def path_of(path: object) -> str:
    """The name of a file."""
    if isinstance(path, str | Path) and "\0" not in (name := str(path)):
        with suppress(UnicodeError):
            os.fsencode(name)
            return name
    raise InvalidArgumentError(f"path must be the name of a file, not {describe(path)}")


def _lines(file: IO[bytes], max_bytes: int) -> Iterator[bytes]:
    number = 0
    try:
        while line := file.readline(max_bytes + 1):
            number += 1
            if len(line) > max_bytes:
                raise FileRefusedError(too_long(max_bytes), line=number, hint=TOO_LONG_HINT)
            yield line
    except _unreadable() as error:
        # Of a compressed file: cut off, or altered.
        raise FileRefusedError(f"cannot be read further: {error}", line=number + 1) from error
    if number == 0:
        raise FileRefusedError("the file is empty", line=1)


def is_stdout(path: str) -> bool:
    """Whether it is standard output, by any of its names."""
    return path == STDIO or _descriptor(path) == 1


@contextmanager
def open_file(path: str) -> Iterator[IO[bytes]]:
    """Open a file to read; `.gz` and `.zst` are compressed. `-` is stdin."""
    if path_of(path) == STDIO:
        yield sys.stdin.buffer
    else:
        with Path(path).open("rb") as raw, _packed(raw, path) as file:
            yield file


@contextmanager
def written_file(path: str, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open a file to write; `.gz` and `.zst` are compressed. `-` is stdout.

    A file is there under its name when it is complete and on the disk, and not before. Until then
    what was there stays. A pipe or device, which cannot be replaced, is written to. Raises
    FileExistsError for a file that is there, unless `overwrite`.
    """
    if is_stdout(path):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with _opened(path, overwrite) as raw, _packed(raw, path) as file:
        yield file


def _opened(path: str, overwrite: bool) -> AbstractContextManager[IO[bytes]]:
    if (descriptor := _descriptor(path)) is not None:
        # Not opened by its name: that would cut off what a shell appends to.
        return os.fdopen(os.dup(descriptor), "wb")
    if _is_device(path):
        return Path(path).open("wb")
    return whole_file(path, overwrite=overwrite)


def _descriptor(path: str) -> int | None:
    """The number of an open file that the path names, as /dev/stdout and /dev/fd/3 do."""
    if path in (names := ("/dev/stdin", "/dev/stdout", "/dev/stderr")):
        return names.index(path)
    found = re.fullmatch(r"(?:/dev/fd|/proc/self/fd)/([0-9]+)", path)
    return int(found[1]) if found else None


def _is_device(path: str) -> bool:
    """Whether it is there and no file: a pipe, as the shell makes of <(…), or a terminal."""
    return Path(path).exists() and not Path(path).is_file()


def _packed(raw: IO[bytes], path: str) -> Any:
    """The file through the compression that its name says."""
    mode = "wb" if raw.writable() else "rb"
    match Path(path).suffix:
        case ".gz":
            return gzip.GzipFile(Path(path).name, mode, _GZIP_LEVEL, raw)
        case ".zst" if (zstd := _zstd()) is not None:
            return zstd.open(raw, mode)
        case ".zst":
            raise TransferError(
                "this Python cannot read or write .zst",
                hint="Use Python 3.14 or newer, pip install backports.zstd, or pipe it through"
                " zstd.",
            )
        case _:
            return nullcontext(raw)


def _unreadable() -> tuple[type[Exception], ...]:
    """The errors of reading a compressed file that was cut off or altered."""
    of_zstd = [zstd.ZstdError] if (zstd := _zstd()) is not None else []
    return EOFError, OSError, ValueError, zlib.error, *of_zstd


@cache
def _zstd() -> Any:
    """The module that reads and writes .zst; None if this Python has none."""
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return importlib.import_module(name)
    return None
