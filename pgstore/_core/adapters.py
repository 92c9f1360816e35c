"""How values cross the wire, whatever the user registered with psycopg."""

import psycopg
from psycopg.adapt import AdaptersMap, Dumper
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


def _dumper(kind: type[Array]) -> type[Dumper]:
    return type(f"{kind.__name__}Dumper", (_ArrayDumper,), {"oid": kind.oid})


# A copy of psycopg's own with the types of our statements set to its defaults again.
ADAPTERS = AdaptersMap(psycopg.adapters)
ADAPTERS.register_dumper(str, StrDumperUnknown)
ADAPTERS.register_loader("bool", BoolBinaryLoader)
ADAPTERS.register_loader("int8", Int8BinaryLoader)
ADAPTERS.register_loader("text", TextBinaryLoader)
ADAPTERS.register_loader("uuid", UUIDBinaryLoader)
ADAPTERS.register_loader("timestamptz", TimestamptzBinaryLoader)
for _kind in (TextArray, JsonArray, UuidArray):
    ADAPTERS.register_dumper(_kind, _dumper(_kind))
