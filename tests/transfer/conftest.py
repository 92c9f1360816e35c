"""Two stores of a test's own, and what is in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from pgstore import transfer
from tests.stores import Stores

Connection = psycopg.Connection[TupleRow]


class Place:
    """A store: its name and a connection, on which STORE stands for the name."""

    def __init__(self, conn: Connection, name: str, conninfo: str) -> None:
        self.conn = conn
        self.conninfo = conninfo
        self.name = name

    def query(self, text: str, *parameters: object) -> list[Any]:
        cursor = self.conn.execute(text.replace("STORE", self.name).encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, text: str, *parameters: object) -> Any:
        ((value,),) = self.query(text, *parameters)
        return value

    def write(self, stream: str, data: str = "{}", type: str = "A", **named: object) -> int:
        """Write a message; its global position."""
        arguments = "".join(f", {name} => %s" for name in named)
        statement = f"SELECT global_position FROM STORE.write_message(%s, %s, %s{arguments})"
        return int(self.value(statement, stream, type, data, *named.values()))

    def content(self, *, positions: bool = True) -> list[Any]:
        """Everything that an import brings, in global order."""
        column = "a.global_position" if positions else "0"
        return self.query(
            f"SELECT a.stream, a.version, {column}, a.message_id, a.added_at, a.type,"
            " a.data::text, a.metadata::text, a.tags FROM STORE.all_messages AS a ORDER BY"
            " a.global_position"
        )

    def wrong(self) -> dict[str, int]:
        """What verify finds by SQL: imports change rows, and nothing that a new store shows."""
        checks = self.query("SELECT c.check_name, c.wrong FROM STORE.verify_store() AS c")
        assert len(checks) > 20
        return {name: wrong for name, wrong in checks if wrong}

    def export(self, path: Path, **options: Any) -> transfer.Exported:
        options.setdefault("overwrite", True)
        return transfer.export_file(self.conn, path, store=self.name, **options)

    def take(self, path: Path, **options: Any) -> transfer.Imported:
        return transfer.import_from(
            self.conn, transfer.FileSource(path), store=self.name, **options
        )


@contextmanager
def taken_place(stores: Stores, conninfo: str) -> Iterator[Place]:
    with stores.taken() as name, psycopg.connect(conninfo, autocommit=True) as conn:
        yield Place(conn, name, conninfo)


@pytest.fixture
def old(stores: Stores, conninfo: str) -> Iterator[Place]:
    with taken_place(stores, conninfo) as place:
        yield place


@pytest.fixture
def new(stores: Stores, conninfo: str) -> Iterator[Place]:
    with taken_place(stores, conninfo) as place:
        yield place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.jsonl"


ODD_DATA = [
    "null",
    "1.50",
    "123456789012345678901234567890.123456789",
    '"\\u00e4 \\ud83d\\ude00 \\" \\\\ \\b\\f\\n\\r\\t \\u0001 \\u2028"',
    '{"b": 1, "a": [null, {"": 2}], "x\\ny": "\\\\n"}',
    "[1, 2.0, 3e2]",
    '"\\\\."',
]
ODD_TAGS: list[list[str] | None] = [
    None,
    ["student:7", "course:42"],
    ["line\nbreak", "-", "NULL", "null", "\\N", "\\.", "\t\r\x01", " "],
    ["quote \"'", "{", "}", "{a,b}", ",", "back\\slash\\", '"', "'"],
    ["konto ä€😀-ключ", "ä" * 127 + "x", "\u2028"],
    [f"{n:02}" + "x" * 253 for n in range(32)],
]
ODD_STREAMS = [
    "account-1",
    "-",
    "line\nbreak\t-\r1",
    "quote \"'-{},\\n",
    "back\\slash-\\.",
    "NULL",
    "konto ä€😀-ключ",
    "x" * 1000,
]


def fill(place: Place, rounds: int = 3) -> None:
    """Streams with odd names and payloads, gaps in the positions, metadata with some."""
    for number in range(rounds):
        for n, stream in enumerate(ODD_STREAMS):
            metadata = '{"user": "Ada", "note": "a\\nb"}' if n % 2 else None
            place.write(
                stream,
                ODD_DATA[(n + number) % len(ODD_DATA)],
                type=f'T "{n}\n\\',
                metadata=metadata,
                tags=ODD_TAGS[n % len(ODD_TAGS)],
            )
        place.query("SELECT nextval('STORE.global_position_seq')")
