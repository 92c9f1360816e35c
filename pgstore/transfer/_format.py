"""The lines of an export: their content, and how they are checked. No I/O here.

A file is JSON Lines: a header, the floors of streams that were cut off, the messages in global
order, and an end that counts them. Each line ends with the CRC-32 of all that is before it in the
file. So the first wrong line is known if a line was altered, left out or moved. The last line alone
proves that none is wrong.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count, groupby
from operator import attrgetter
from typing import cast
from zlib import crc32

import msgspec

from pgstore._core.arguments import describe
from pgstore.transfer._batches import NONE, Floors, ImportBatch, Messages, chunks
from pgstore.transfer._errors import FileRefusedError

FORMAT = 1

# ,"crc32":"0123abcd"}
_KEY = b',"crc32":"'
_CLOSE = b'"}\n'
_LENGTH = len(_KEY) + 8 + len(_CLOSE)

# More than the last line has.
_TAIL = 1000


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of a file: the messages after `after_position`, up to `up_to_position`."""

    format: int
    store: str
    schema_version: int
    exported_at: datetime
    after_position: int
    up_to_position: int
    category: str | None = None
    stream: str | None = None


class End(msgspec.Struct, frozen=True):
    """How many lines there are of each kind."""

    messages: int
    floors: int


class _HeaderLine(msgspec.Struct):
    pgstore_export: Header


class _EndLine(msgspec.Struct):
    end: End


class _FloorLine(msgspec.Struct):
    stream: str
    floor: int


class _MessageLine(msgspec.Struct):
    stream: str
    version: int
    global_position: int
    message_id: str
    added_at: str
    type: str
    data: msgspec.Raw
    metadata: msgspec.Raw = msgspec.Raw(NONE)
    tags: msgspec.Raw = msgspec.Raw(NONE)


# The last one: values nested deeper than Python counts.
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_header = msgspec.json.Decoder(_HeaderLine).decode
_decode_end = msgspec.json.Decoder(_EndLine).decode
_decode_floor = msgspec.json.Decoder(_FloorLine).decode
_decode_messages = msgspec.json.Decoder(list[_MessageLine]).decode
_decode_message = msgspec.json.Decoder(_MessageLine).decode


# A text, or where an object or array begins or ends.
_NESTING = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[][{}]', re.DOTALL)


class Lines:
    """Puts the checksum into each line of a file."""

    def __init__(self) -> None:
        self._sum = 0

    def header(self, header: Header) -> bytes:
        return self.line(msgspec.json.encode({"pgstore_export": header}))

    def end(self, end: End) -> bytes:
        return self.line(msgspec.json.encode({"end": end}))

    def line(self, text: bytes) -> bytes:
        """A line of the file from a JSON object that is not empty."""
        start = text[:-1]
        total = crc32(start, self._sum)
        end = b"%b%08x%b" % (_KEY, total, _CLOSE)
        self._sum = crc32(end, total)
        return start + end


def checked(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, as long as they are what was written. Raises FileRefusedError for the first that
    is not, and for an end that is missing."""
    total = number = 0
    last = b""
    for number, line in enumerate(lines, 1):
        last = line
        total = crc32(line[:-_LENGTH], total)
        end = line[-_LENGTH:]
        if end != b"%b%08x%b" % (_KEY, total, _CLOSE):
            if end.startswith(_KEY) and end.endswith(_CLOSE):
                reason = "the line was altered, or lines before it are missing"
            else:
                reason = "the line is cut off, or is none of an export"
            raise FileRefusedError(reason, line=number)
        total = crc32(end, total)
        yield line
    if end_of(last) is None:
        raise FileRefusedError("the file is cut off: its last line is missing", line=number + 1)


def is_whole(blocks: Iterable[bytes], max_bytes: int) -> End | None:
    """Return the last line's content if the whole file is as it was written, otherwise None. Also
    None if a line is longer than `max_bytes`, where that is more than a block. Faster than
    `checked`, and does not name the faulty line.
    """
    total = length = 0
    rest = b""
    for block in blocks:
        # The length of the line that began in an earlier block.
        if (length := length + (block.find(b"\n") + 1 or len(block))) > max_bytes:
            return None
        if b"\n" in block:
            length = len(block) - block.rfind(b"\n") - 1
        rest += block
        if len(rest) > _TAIL:
            total = crc32(memoryview(rest)[:-_TAIL], total)
            rest = rest[-_TAIL:]
    total = crc32(rest[:-_LENGTH], total)
    if rest[-_LENGTH:] != b"%b%08x%b" % (_KEY, total, _CLOSE):
        return None
    return end_of(rest[rest.rfind(b"\n", 0, -1) + 1 :])


def header_of(line: bytes) -> Header:
    """Decode the first line. Raises FileRefusedError if its format is not known here."""
    try:
        header = _decode_header(line).pgstore_export
    except _UNDECODABLE:
        raise FileRefusedError("this is no export of a store", line=1) from None
    if header.format != FORMAT:
        raise FileRefusedError(
            f"the file has format {describe(header.format)}, this package reads {FORMAT}",
            line=1,
            hint="Import it with a newer pgstore.",
        )
    return header


def end_of(line: bytes) -> End | None:
    """Decode the last line; None if it is not the last one."""
    if not line.startswith(b'{"end":'):
        return None
    try:
        return _decode_end(line).end
    except _UNDECODABLE:
        return None


def parsed(lines: Iterable[bytes], first: int, count: int) -> Iterator[ImportBatch]:
    """The messages and floors of checked lines, up to the end; `first` is the number of the first.

    At most `count` at a time. Raises FileRefusedError for a line that is neither, and if the end
    counts others.
    """
    seen = [0, 0]
    number = first
    for chunk in chunks(lines, count):
        try:
            batches = [_batch_of(_decode_messages(b"[%b]" % b",".join(chunk)), number)]
        except _UNDECODABLE:
            # Floors or the end among them, or what is none of these.
            batches = _one_by_one(chunk, number, seen)
        for batch in batches:
            seen[isinstance(batch, Floors)] += len(batch.places)
            yield batch
        number += len(chunk)


def _one_by_one(chunk: list[bytes], first: int, seen: list[int]) -> list[ImportBatch]:
    """The lines in batches of one kind each."""
    batches: list[ImportBatch] = []
    counted = list(seen)
    number = first
    for kind, found in groupby(map(_one, chunk, count(first)), type):
        if kind is not End:
            batches.append(_batch_of(list(found), number))
            size = len(batches[-1].places)
            counted[kind is _FloorLine] += size
            number += size
            continue
        end = cast(End, next(found))
        if [end.messages, end.floors] != counted:
            raise FileRefusedError(
                f"the end counts {describe(end.messages)} messages and"
                f" {describe(end.floors)} floors, but there are {counted[0]} and {counted[1]}",
                line=number,
            )
        if number - first < len(chunk) - 1:
            raise FileRefusedError("there are lines after the end", line=number + 1)
        break
    return batches


def _one(line: bytes, number: int) -> _MessageLine | _FloorLine | End:
    try:
        return _decode_message(line)
    except RecursionError:
        # PostgreSQL may hold more; it judges.
        return _one_nested(line, number)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if (end := end_of(line)) is not None:
            return end
        try:
            return _decode_floor(line)
        except _UNDECODABLE:
            raise FileRefusedError(f"not a message: {error}", line=number) from None


def _one_nested(line: bytes, number: int) -> _MessageLine:
    """The message of a line that is nested deeper than the decoder can follow.

    It decodes the line with a number, in brackets, for each value that is nested.
    """
    rest: list[bytes] = []
    nested: list[msgspec.Raw] = []
    depth = start = end = 0
    for token in _NESTING.finditer(line):
        if token[0] in b"[{":
            depth += 1
            if depth == 2:
                start = token.start()
        elif token[0] in b"]}":
            if depth == 2:
                rest += [line[end:start], b"[%d]" % len(nested)]
                end = token.end()
                nested.append(msgspec.Raw(line[start:end]))
            depth -= 1
    try:
        found = _decode_message(b"".join([*rest, line[end:]]))
    except _UNDECODABLE as error:
        raise FileRefusedError(f"not a message: {error}", line=number) from None
    for name in ("data", "metadata", "tags"):
        if (value := bytes(getattr(found, name))).startswith(b"["):
            setattr(found, name, nested[int(value[1:-1])])
    return found


def _batch_of(lines: Sequence[_MessageLine | _FloorLine | End], first: int) -> ImportBatch:
    """Lines of one kind, in columns, which their fields are in the order of."""
    kind = Floors if isinstance(lines[0], _FloorLine) else Messages
    columns = (list(map(attrgetter(name), lines)) for name in lines[0].__struct_fields__)
    return kind._make([range(first, first + len(lines)), *columns])
