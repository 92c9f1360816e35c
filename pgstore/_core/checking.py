"""Which stored messages the message types at hand cannot read."""

from os import PathLike
from pathlib import Path

import msgspec
from psycopg.rows import TupleRow

from pgstore._core.arguments import describe
from pgstore._core.codec import Codec
from pgstore._core.messages import E
from pgstore._core.upcasters import SkippedMessage
from pgstore.errors import InvalidArgumentError, MessageDecodeError, UnknownMessageTypeError


class UnreadableMessage(msgspec.Struct, frozen=True):
    """A stored message that a store's message types cannot read, and why.

    `line` is its line in a file, counted from 1. Of a line without them, `stream`, `version` and
    `global_position` are None.
    """

    type: str
    error: str
    stream: str | None = None
    version: int | None = None
    global_position: int | None = None
    line: int | None = None


class _Line(msgspec.Struct):
    type: str
    data: msgspec.Raw
    stream: str | None = None
    version: int | None = None
    global_position: int | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
# The other lines of an export.
_OTHERS = (b'{"pgstore_export":', b'{"end":')


def unreadable_lines(codec: Codec[E], path: str | PathLike[str]) -> list[UnreadableMessage]:
    """The unreadable messages of a file, which `pgstore export` or `pgstore read --json` wrote.

    Raises InvalidArgumentError for a file that cannot be read, for a line that is no message, and
    if no line is one.
    """
    count = 0
    found: list[UnreadableMessage] = []
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except (OSError, ValueError, TypeError) as error:
        raise InvalidArgumentError(
            f"against must be a file that can be read, not {describe(path)}: {error}"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(_OTHERS):
            continue
        try:
            each = _decode_line(line)
            data = bytes(each.data).decode()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            if b'"floor":' in line and b'"type":' not in line:
                continue
            raise InvalidArgumentError(
                f"{path}, line {number} is no message: {error}: each line is an object with"
                " type and data, as pgstore export writes it"
            ) from error
        count += 1
        if fault := _fault(codec, each.type, data, each.stream, each.version):
            place = (each.stream, each.version, each.global_position)
            found.append(UnreadableMessage(each.type, fault, *place, number))
    if not count:
        raise InvalidArgumentError(f"{path} has no message: export some with pgstore export")
    return found


def unreadable_rows(codec: Codec[E], rows: list[TupleRow]) -> list[UnreadableMessage]:
    """The unreadable messages among rows of type, data, stream, version and global position."""
    return [
        UnreadableMessage(type, fault, stream, version, position)
        for type, data, stream, version, position in rows
        if (fault := _fault(codec, type, data, stream, version))
    ]


def _fault(
    codec: Codec[E], type: str, data: str, stream: str | None, version: int | None
) -> str | None:
    try:
        codec.decode(type, data, stream or "", version or 0)
    except SkippedMessage:
        pass
    except (UnknownMessageTypeError, MessageDecodeError) as error:
        return error.message
    return None
