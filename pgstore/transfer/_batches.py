"""Batches: the messages that one transaction brings in, in columns. No I/O here."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pgstore._core.arguments import describe
from pgstore.transfer._errors import MessageRefusedError

# Each may be of another stream, and takes a lock of the server's then, which has room for some
# thousand (max_locks_per_transaction).
MESSAGES = 2_000
BYTES = 8_000_000


# A bigint.
_LEAST, _MOST = -(2**63), 2**63 - 1

# Stands for NULL, because it is no JSON.
NONE = b"-"


class Messages(NamedTuple):
    """Messages in their order, column by column; texts as the server takes them.

    `places` tells where each is in what it comes from. NONE stands for no metadata and no tags.
    Without a column of tags, no message has any.
    """

    places: Sequence[int]
    streams: Sequence[str]
    versions: Sequence[int]
    positions: Sequence[int]
    ids: Sequence[str]
    times: Sequence[str]
    types: Sequence[str]
    data: Sequence[bytes]
    metadata: Sequence[bytes]
    tags: Sequence[bytes] = ()

    def part(self, low: int, high: int) -> "Messages":
        return Messages._make(column[low:high] for column in self)


class Floors(NamedTuple):
    """Streams that were cut off, column by column."""

    places: Sequence[int]
    streams: Sequence[str]
    floors: Sequence[int]


ImportBatch = Messages | Floors


def parameters_of(batch: ImportBatch, unit: str) -> list[str | None]:
    """The parameters of the import of a batch: texts, which the server makes arrays of."""
    if isinstance(batch, Floors):
        return [
            names(batch.streams, batch.places, unit),
            numbers("floor", batch.floors, batch.places, unit),
        ]
    return [
        names(batch.streams, batch.places, unit),
        numbers("version", batch.versions, batch.places, unit),
        names(batch.types, batch.places, unit),
        _documents(batch.data, batch.places, unit),
        _documents(batch.metadata, batch.places, unit),
        names(batch.ids, batch.places, unit),
        names(batch.times, batch.places, unit),
        _tags(batch, unit),
        numbers("global_position", batch.positions, batch.places, unit),
    ]


def numbers(name: str, values: Sequence[int], places: Sequence[int], unit: str) -> str:
    """An array of whole numbers, as PostgreSQL writes it."""
    if values and not (min(values) >= _LEAST and max(values) <= _MOST):
        wrong = next(n for n, value in enumerate(values) if not _LEAST <= value <= _MOST)
        raise MessageRefusedError(
            f"{name} must be a number of 64 bits, not {describe(values[wrong])}",
            place=places[wrong],
            unit=unit,
        )
    return f"{{{','.join(map(str, values))}}}"


def names(values: Sequence[str], places: Sequence[int], unit: str) -> str:
    """An array of texts, as PostgreSQL writes it."""
    joined = "\0".join(values)
    if joined.count("\0") != len(values) - 1:
        place = next(p for p, value in zip(places, values, strict=True) if "\0" in value)
        raise MessageRefusedError("a name cannot hold the character NUL", place=place, unit=unit)
    quoted = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","')
    return f'{{"{quoted}"}}' if values else "{}"


def _documents(values: Sequence[bytes], places: Sequence[int], unit: str) -> str:
    """JSON values, one a line."""
    joined = b"\n".join(values)
    if joined.count(b"\n") == len(values) - 1 and b"\0" not in joined:
        try:
            return joined.decode()
        except UnicodeDecodeError:
            pass  # raised below
    place = next(p for p, value in zip(places, values, strict=True) if not _is_line(bytes(value)))
    raise MessageRefusedError(
        "a payload that is not JSON in one line of UTF-8", place=place, unit=unit
    )


def _tags(batch: Messages, unit: str) -> str | None:
    """The column of tags; None if no message has any, which has the store do less."""
    if batch.tags and (found := _documents(batch.tags, batch.places, unit)).strip("-\n"):
        return found
    return None


def _is_line(value: bytes) -> bool:
    try:
        return not {"\n", "\0"} & set(value.decode())
    except UnicodeDecodeError:
        return False


def chunks(lines: Iterable[bytes], count: int) -> Iterator[list[bytes]]:
    """At most so many lines at a time, and not many more than BYTES."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) >= count or size >= BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def too_long(max_bytes: int) -> str:
    """Why a line or a message of more bytes is refused."""
    return f"longer than {max_bytes} bytes"


TOO_LONG_HINT = "If it is meant, and there is memory for several times its size: --max-bytes."
