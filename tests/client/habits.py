"""What people do to their connections: each habit would break a store that shared it."""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.rows import class_row, dict_row, namedtuple_row, scalar_row
from psycopg.types.json import set_json_dumps, set_json_loads

AnyConnection = psycopg.AsyncConnection[Any] | psycopg.Connection[Any]


class Shout(Dumper):
    def dump(self, obj: object) -> Buffer:
        return str(obj).upper().encode()


class Broken(Loader):
    def load(self, data: Buffer) -> object:
        raise AssertionError("a loader of the connection's owner was asked")


class BrokenBinary(Broken):
    format = psycopg.pq.Format.BINARY


class Row(NamedTuple):
    text: str


def _never(*_: object) -> Any:
    raise AssertionError("a JSON function of the connection's owner was asked")


def _rows(conn: AnyConnection, factory: Any) -> None:
    conn.row_factory = factory


def _dumpers(conn: AnyConnection) -> None:
    for kind in (str, int, UUID, bytes, dict, list):
        conn.adapters.register_dumper(kind, Shout)


def _loaders(conn: AnyConnection) -> None:
    for name in ("text", "int8", "uuid", "timestamptz", "json", "jsonb", "bool"):
        conn.adapters.register_loader(name, Broken)
        conn.adapters.register_loader(name, BrokenBinary)


def _json(conn: AnyConnection) -> None:
    set_json_loads(_never, conn)
    set_json_dumps(_never, conn)


def _prepare(conn: AnyConnection, threshold: int | None) -> None:
    conn.prepare_threshold = threshold


HABITS: dict[str, Callable[[AnyConnection], None]] = {
    "dict_row": lambda conn: _rows(conn, dict_row),
    "namedtuple_row": lambda conn: _rows(conn, namedtuple_row),
    "class_row": lambda conn: _rows(conn, class_row(Row)),
    "scalar_row": lambda conn: _rows(conn, scalar_row),
    "dumpers": _dumpers,
    "loaders": _loaders,
    "json": _json,
    "prepare at once": lambda conn: _prepare(conn, 0),
    "never prepare": lambda conn: _prepare(conn, None),
}
