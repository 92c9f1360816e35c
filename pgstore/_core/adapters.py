"""How values cross the wire, whatever the user registered with psycopg."""

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.types.bool import BoolBinaryLoader
from psycopg.types.datetime import TimestamptzBinaryLoader
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import StrDumperUnknown, TextBinaryLoader
from psycopg.types.uuid import UUIDBinaryLoader

# A copy of psycopg's own with the types of our statements set to its defaults again.
ADAPTERS = AdaptersMap(psycopg.adapters)
ADAPTERS.register_dumper(str, StrDumperUnknown)
ADAPTERS.register_loader("bool", BoolBinaryLoader)
ADAPTERS.register_loader("int8", Int8BinaryLoader)
ADAPTERS.register_loader("text", TextBinaryLoader)
ADAPTERS.register_loader("uuid", UUIDBinaryLoader)
ADAPTERS.register_loader("timestamptz", TimestamptzBinaryLoader)
