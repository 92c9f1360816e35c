"""How values cross the wire, whatever the user registered with psycopg."""

from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.pq import Format
from psycopg.types.bool import BoolBinaryLoader
from psycopg.types.datetime import TimestamptzBinaryLoader
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import StrDumperUnknown, TextBinaryLoader
from psycopg.types.uuid import UUIDBinaryLoader

from pgstore._core.arrays import Array, JsonArray, TextArray, UuidArray


class _ArrayDumper(Dumper):
    """Sends an array as it is, in the encoding of the connection, which may be the caller's."""

    format = Format.BINARY

    def dump(self, obj: Array) -> bytes:
        return obj.packed(self.connection.info.encoding if self.connection else "utf-8")


def _alone(kind: type[Loader]) -> type[Loader]:
    """A loader that knows of no session: texts are in UTF-8, times in UTC."""

    class Alone(Loader):
        format = Format.BINARY

        def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
            super().__init__(oid, context)
            self._load = kind(oid).load

        def load(self, data: Buffer) -> Any:
            return self._load(data)

    return Alone


# A copy of psycopg's own with the types of our statements set to its defaults again. Without a
# connection beside it: texts are in UTF-8, times in UTC.
ADAPTERS = AdaptersMap(psycopg.adapters)
ADAPTERS.register_dumper(str, StrDumperUnknown)
ADAPTERS.register_loader("bool", BoolBinaryLoader)
ADAPTERS.register_loader("int8", Int8BinaryLoader)
ADAPTERS.register_loader("text", TextBinaryLoader)
ADAPTERS.register_loader("uuid", UUIDBinaryLoader)
ADAPTERS.register_loader("timestamptz", TimestamptzBinaryLoader)
for _kind in (TextArray, JsonArray, UuidArray):
    _dumper = type(f"{_kind.__name__}Dumper", (_ArrayDumper,), {"oid": _kind.oid})
    ADAPTERS.register_dumper(_kind, _dumper)

ADAPTERS_OF_CURSORS = AdaptersMap(ADAPTERS)
# To convert a time takes longer than to load it.
ADAPTERS_OF_CURSORS.register_loader("timestamptz", _alone(TimestamptzBinaryLoader))

# Where the client's encoding is SQL_ASCII, the server converts nothing, and psycopg loads bytes.
ADAPTERS_OF_ASCII = AdaptersMap(ADAPTERS_OF_CURSORS)
ADAPTERS_OF_ASCII.register_loader("text", _alone(TextBinaryLoader))
