"""What a client does: one function for each way, which does it once, or tries to.

An append with a condition names a tag that no other message has, so nothing is in its way. A
decision reads the messages of a tag, and adds one on the condition that no other has come. Of each
tag there are at most PLACES messages, so that the reading stays as long as it is. Clients that
compete want the places of the same tag; when they are taken, those of the next.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from benchmarks.payload import SAMPLE, TYPE, decode

PLACES = 10
STREAMS = 1000
STUDENTS = 100
EARLIER = "earlier"
"""The schema of the store to compare with."""

WRITE = (
    "SELECT version, global_position FROM {store}.write_message("
    "%s::text, %s::text, %s::jsonb, %s::jsonb, %s::bigint, %s::uuid{more})"
)
TAGS = ", tags => %s::text[]"
CONDITION = f"{TAGS}, condition => %s::jsonb, decided_upon => %s::text"
WRITE_IF = (
    "SELECT version, global_position FROM pgstore.write_if("
    "%s::text, %s::jsonb, %s::jsonb, %s::text)"
)
READ_TAGGED = (
    "SELECT message_id, stream, version, global_position, type, data::text, metadata::text,"
    " added_at, tags, decided_upon FROM pgstore.read_tagged(%s::jsonb)"
)
INSERT = (
    "INSERT INTO raw.messages (global_position, stream_id, version, category_key, added_at,"
    " message_id, type, data) VALUES (nextval('raw.positions'), %s, currval('raw.positions'), %s,"
    " clock_timestamp(), uuidv7(), %s, %s)"
)
DATA = 5

Work = Callable[[], bool | None]
"""Does something once; False if it was not done."""


class Ways(ABC):
    """One client's ways to use a store."""

    def __init__(self, client: int, clients: int) -> None:
        self.client, self.clients = client, clients
        self.chance = random.Random(client)
        self.key = random.SystemRandom().getrandbits(40)
        """Makes tags that no other client has, nor one of an earlier run."""
        self.number = self.decided = self.place = 0
        self.turn = ""
        self.refused = 0
        self.token: Any = None

    def begin(self, turn: str, clients: int) -> None:
        """Begin a turn of so many clients. They share its name, and compete within it."""
        self.turn, self.clients = turn, clients
        self.place = self.refused = 0
        _, self.token = self.read("nothing")

    def own_stream(self) -> int:
        """The number of a stream to which no other client writes in this turn."""
        return 1 + self.client + self.clients * self.chance.randrange(STREAMS // self.clients)

    def own_tag(self) -> str:
        """A tag that no message has."""
        self.number += 1
        return f"own:{self.key}-{self.number}"

    def shared_tag(self) -> str:
        """A tag of other messages, too, and of other clients."""
        return f"student:{self.chance.randrange(STUDENTS)}"

    def conditional(self) -> None:
        self._must(self.append_if(self.own_tag(), self.token))

    def decide(self) -> None:
        number, taken = divmod(self.decided, PLACES)
        self.decided += 1
        tag = f"decided:{self.key}-{number}"
        found, token = self.read(tag)
        self._must(found == taken and self.append_if(tag, token))

    def compete(self) -> bool:
        """Try once to take a place; tell whether it was had."""
        tag = f"course:{self.turn}-{self.place}"
        found, token = self.read(tag)
        if found >= PLACES:
            self.place += 1
            return False
        if self.append_if(tag, token):
            return True
        self.refused += 1
        return False

    @abstractmethod
    def read(self, tag: str) -> tuple[int, Any]:
        """How many messages have a tag, decoded, and what to decide upon."""

    @abstractmethod
    def append_if(self, tag: str, token: Any) -> bool:
        """Append a message with a tag unless another has come; tell whether it was appended."""

    @abstractmethod
    def all(self) -> dict[str, Work]:
        """The ways, by name."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    def _must(self, alone: bool) -> None:
        if not alone:
            raise AssertionError("a message was in the way of a client that is alone")


class PgstoreWays(Ways):
    """pgstore by prepared statements, without its Python client; and plain tables beside it."""

    def __init__(self, address: str, client: int, clients: int, *, earlier: bool) -> None:
        super().__init__(client, clients)
        self.conn: psycopg.Connection[TupleRow] = psycopg.connect(address, autocommit=True)
        self.earlier = earlier
        query = "SELECT pgstore._category_key('account')"
        (self.category_key,) = self.conn.execute(query).fetchone() or (0,)

    def all(self) -> dict[str, Work]:
        earlier = {"before": self._written(EARLIER)} if self.earlier else {}
        return {
            "raw": self.insert,
            **earlier,
            "untagged": self._written("pgstore"),
            "tag": lambda: self.write(TAGS, [self.own_tag()]),
            "tags": lambda: self.write(TAGS, [self.own_tag(), self.shared_tag()]),
            "condition": lambda: self.write_with(1),
            "conditions": lambda: self.write_with(2),
            "conditional": self.conditional,
            "decide": self.decide,
            "compete": self.compete,
        }

    def _written(self, store: str) -> Callable[[], None]:
        statement = WRITE.format(store=store, more="")

        def write() -> None:
            stream = f"account-{self.own_stream()}"
            self._execute(statement, (stream, TYPE, SAMPLE, None, None, None))

        return write

    def insert(self) -> None:
        parameters = self.own_stream(), self.category_key, TYPE, SAMPLE
        self.conn.execute(INSERT, parameters, prepare=True)

    def write(self, more: str, *parameters: object) -> None:
        statement = WRITE.format(store="pgstore", more=more)
        stream = f"account-{self.own_stream()}"
        self._execute(statement, (stream, TYPE, SAMPLE, None, None, None, *parameters))

    def write_with(self, items: int) -> None:
        """Write a message with so many tags, and a condition of an item for each."""
        tags = [self.own_tag() for _ in range(items)]
        self.write(CONDITION, tags, query_of(*tags), self.token)

    def read(self, tag: str) -> tuple[int, Any]:
        with self.conn.cursor(binary=True) as cursor:
            rows = cursor.execute(READ_TAGGED, (query_of(tag),), prepare=True).fetchall()
        for row in rows[:-1]:
            decode(row[DATA])
        return len(rows) - 1, rows[-1][-1]

    def append_if(self, tag: str, token: Any) -> bool:
        messages = f'[{{"type": "{TYPE}", "data": {SAMPLE}, "tags": ["{tag}"]}}]'
        stream = f"account-{self.own_stream()}"
        try:
            self._execute(WRITE_IF, (stream, messages, query_of(tag), token))
        except psycopg.DatabaseError as error:
            if error.sqlstate != "MS009":
                raise
            return False
        return True

    def close(self) -> None:
        self.conn.close()

    def _execute(self, statement: str, parameters: tuple[object, ...]) -> None:
        self.conn.execute(statement.encode(), parameters, prepare=True).fetchone()


def query_of(*tags: str) -> str:
    """A query of an item for each tag."""
    items = ", ".join(f'{{"tags": ["{tag}"]}}' for tag in tags)
    return f"[{items}]"
