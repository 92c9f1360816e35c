"""The arrays of a batch, with one element for each message, in PostgreSQL's binary form.

The driver would make them element by element, and the server would parse texts.
"""

import struct
from collections.abc import Sequence
from typing import ClassVar

import msgspec

_HEADER = struct.Struct("!iiIii").pack
_SIZE = struct.Struct("!i").pack
_NULL = _SIZE(-1)


class Array(msgspec.Struct, frozen=True):
    """An array; None is NULL."""

    elements: Sequence[bytes | None]

    oid: ClassVar[int]
    element_oid: ClassVar[int]
    version: ClassVar[bytes] = b""  # which begins each element
    is_text: ClassVar[bool] = True

    def packed(self, encoding: str) -> bytes:
        """The array as a client sends it whose texts are in this encoding."""
        elements, version = self.elements, self.version
        if self.is_text and encoding not in ("utf-8", "ascii"):
            elements = [each and each.decode().encode(encoding) for each in elements]
        try:
            lengths, has_nulls = set(map(len, elements)), 0  # type: ignore[arg-type]
        except TypeError:  # None has none; to look for it first would take longer
            lengths, has_nulls = {len(each) for each in elements if each is not None}, 1
        heads = {length: _SIZE(len(version) + length) + version for length in lengths}
        if len(heads) == 1 and not has_nulls:  # ids, and the name of one type
            (head,) = heads.values()
            body = head + head.join(elements)  # type: ignore[arg-type]
        else:
            body = b"".join(
                [_NULL if each is None else heads[len(each)] + each for each in elements]
            )
        # One dimension, counted from 1.
        return _HEADER(1, has_nulls, self.element_oid, len(elements), 1) + body


class TextArray(Array, frozen=True):
    """Texts in UTF-8."""

    oid = 1009
    element_oid = 25


class JsonArray(Array, frozen=True):
    """JSON in UTF-8, of which the server makes jsonb."""

    oid = 3807
    element_oid = 3802
    version = b"\1"


class UuidArray(Array, frozen=True):
    """UUIDs of 16 bytes."""

    oid = 2951
    element_oid = 2950
    is_text = False
