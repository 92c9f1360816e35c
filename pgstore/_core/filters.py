"""The filters of reads across streams."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from psycopg.rows import TupleRow

from pgstore._core.arguments import category_of, number, several
from pgstore._core.messages import METADATA, STREAM, TAGS, TYPE
from pgstore._core.parameters import array
from pgstore.errors import InvalidArgumentError


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of a read across streams; None leaves one out."""

    types: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    stream_pattern: str | None = None
    partition: int | None = None
    partitions: int | None = None
    partition_by: str = "stream"
    # JSON of an object.
    metadata: str | None = None
    tags: tuple[str, ...] | None = None

    def parameters(self) -> tuple[str | None, ...]:
        """As the statements take them: types, categories, pattern, partition, partitions, by.

        The metadata and the tags are parameters of a statement of its own.
        """
        return (
            array(self.types),
            array(self.categories),
            self.stream_pattern,
            number("partition", self.partition),
            number("partitions", self.partitions),
            self.partition_by,
        )

    def admits(self, rows: list[TupleRow]) -> bool:
        """Tell whether these are rows of messages that it reads, whatever their partition is.

        A last row without a message does not count. False if it cannot be said without the server.
        """
        if self.types is not None and not {row[TYPE] for row in rows} - {None} <= {*self.types}:
            return False
        if self.tags is not None and not _all_have(rows, self.tags):
            return False
        if self.metadata is not None and not _all_contain(rows, self.metadata):
            return False
        if self.categories is None and self.stream_pattern is None:
            return True
        streams = {row[STREAM] for row in rows} - {None}
        if self.categories is not None and not (
            {stream.partition("-")[0] for stream in streams} <= {*self.categories}
        ):
            return False
        return self.stream_pattern is None or all(
            map(_like(self.stream_pattern).fullmatch, streams)
        )


_decode_tags = msgspec.json.Decoder(set[str]).decode
# Numbers exactly, as jsonb has them.
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def _all_contain(rows: list[TupleRow], wanted: str) -> bool:
    """Tell whether each message's metadata contains this object."""
    try:
        values = _decode(wanted)
        return all(
            row[METADATA] is not None and _contains(_decode(row[METADATA]), values)
            for row in rows
            if row[STREAM] is not None
        )
    except (ValueError, msgspec.MsgspecError):  # a number that Python cannot hold
        return False


def _all_have(rows: list[TupleRow], tags: tuple[str, ...]) -> bool:
    """Tell whether each message has all these tags."""
    return all(
        row[TAGS] is not None and {*tags} <= _decode_tags(row[TAGS])
        for row in rows
        if row[STREAM] is not None
    )


def _contains(found: object, wanted: object) -> bool:
    """Tell what jsonb's operator @> tells, of a value in an object or array."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(key in found and _contains(found[key], wanted[key]) for key in wanted)
    if isinstance(found, list) and isinstance(wanted, list):
        return all(any(_contains(each, value) for each in found) for value in wanted)
    # In Python, true is 1.
    return found == wanted and isinstance(found, bool) is isinstance(wanted, bool)


def _like(pattern: str) -> re.Pattern[str]:
    """A regular expression for a LIKE pattern."""
    parts = {"%": ".*", "_": "."}
    each = re.findall(r"(?s)\\?.", pattern)
    return re.compile("(?s)" + "".join(parts.get(one) or re.escape(one[-1]) for one in each))


def categories_of(category: str | None, categories: Iterable[str] | None) -> tuple[str, ...] | None:
    """The categories meant by an argument for one and an argument for several."""
    if category is not None and categories is not None:
        raise InvalidArgumentError("give category or categories, not both")
    found = several("categories", categories) if category is None else (category,)
    return None if found is None else tuple(map(category_of, found))
