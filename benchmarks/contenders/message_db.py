"""Message DB: its SQL functions, called by psycopg; it has no Python client of its own."""

import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

from benchmarks.contenders.contract import Client, Contender, Handle, Stop, Writing, pool_for_tasks
from benchmarks.payload import SAMPLE, TYPE, Deposited, decode, encode

WRITE = "SELECT message_store.write_message(%s, %s, %s, %s::jsonb, NULL, NULL)"
READ = "SELECT * FROM message_store.get_stream_messages(%s, %s, 1000)"
READ_CATEGORY = "SELECT * FROM message_store.get_category_messages(%s, %s, 1000)"
POSITION, GLOBAL_POSITION, DATA = 3, 4, 5
CATEGORY = "account"
CATEGORIES = 1_000
POLL = 0.1
PAGE = 1000
PARTS = (
    "roles/message-store",
    "schema/message-store",
    "tables/messages",
    "types/message",
    *(
        f"functions/{name}"
        for name in (
            *("message-store-version", "hash-64", "category", "is-category", "id", "cardinal-id"),
            *("acquire-lock", "stream-version", "write-message", "get-stream-messages"),
            *("get-category-messages", "get-last-stream-message"),
        )
    ),
    *("indexes/messages-id", "indexes/messages-stream", "indexes/messages-category"),
)

FILL = """
INSERT INTO message_store.messages (global_position, position, stream_name, type, data, id)
SELECT n, (n - 1) % 10, 'account-filled' || (n + 9) / 10, '{type}',
  jsonb_set('{sample}', '{{reference}}', to_jsonb(n::text)), uuidv7()
FROM generate_series(1, {count}) AS n;
SELECT setval('message_store.messages_global_position_seq', {count});
"""


class MessageDb(Contender):
    name = "message-db"
    title = "Message DB"
    needs = ("node",)
    options = "-c search_path=message_store,public"
    count = "SELECT count(*) FROM messages WHERE category(stream_name) <> 'position'"
    find = "SELECT count(*) FROM messages WHERE data ->> 'reference' = %s"
    table = "messages"
    setting = (
        "Its functions by prepared psycopg statements; batches by psycopg's pipeline in one"
        " transaction. A consumer polls get_category_messages every 100 ms, 1,000 messages at once,"
        " and writes its position as a message after each batch, as its Ruby consumers do."
    )
    global_order: ClassVar[str | None] = (
        "get_category_messages; its writers of a category queue (always)."
    )
    lacks = {  # noqa: RUF012
        "catch-up/partitions": "its consumer groups filter in each member; not tried",
        "catch-up/once": "not tried",
    }

    def script(self, streams: int) -> str:
        return f"""\
\\set stream random(1, {streams})
SELECT message_store.write_message(uuidv7()::varchar, 'account-' || :stream, '{TYPE}',
  '{SAMPLE}');
"""

    def fill(self, count: int) -> list[str]:
        return [FILL.format(count=count, sample=SAMPLE, type=TYPE)]

    def client(self, conninfo: str) -> Client:
        return MessageDbClient(conninfo)


class ManyCategories(MessageDb):
    """The same store used so that its writers seldom queue: it locks a category for each write."""

    name = "message-db-categories"
    title = "Message DB, 1,000 categories"
    setting = "The same functions; the streams are of 1,000 categories instead of one."
    global_order = None
    lacks = {}  # noqa: RUF012
    only = frozenset({"writes", "writes-slow-disk", "writers"})
    sql_only = True

    def script(self, streams: int) -> str:
        return f"""\
\\set stream random(1, {streams})
\\set category :stream % {CATEGORIES}
SELECT message_store.write_message(uuidv7()::varchar, 'account' || :category || '-' || :stream,
  '{TYPE}', '{SAMPLE}');
"""

    def client(self, conninfo: str) -> Client:
        return ManyCategoriesClient(conninfo)


class MessageDbClient(Client):
    def __init__(self, conninfo: str) -> None:
        self.conninfo = conninfo
        self.conn = psycopg.connect(conninfo, autocommit=True)

    def install(self) -> None:
        from benchmarks.environment import CACHE
        from pgstore import embedded

        database = CACHE / "node" / "node_modules" / "@eventide" / "message-db" / "database"
        command = [str(embedded.Server().psql), "-q", "-v", "ON_ERROR_STOP=1", self.conninfo]
        for part in PARTS:
            command += ["-f", str(database / f"{part}.sql")]
        subprocess.run(command, check=True, capture_output=True)

    def write(self, stream: str, fact: Deposited) -> None:
        self.conn.execute(WRITE, row(stream, fact), prepare=True)

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        with self.conn.transaction(), self.conn.cursor() as cursor:
            cursor.executemany(WRITE, [row(stream, fact) for fact in facts])

    def write_several(self, streams: Sequence[str], facts: Sequence[Deposited]) -> None:
        with self.conn.transaction(), self.conn.cursor() as cursor:
            rows = [row(stream, fact) for stream, fact in zip(streams, facts, strict=True)]
            cursor.executemany(WRITE, rows)

    def read(self, stream: str) -> Iterator[Deposited]:
        position = 0
        while rows := self._rows(READ, (stream, position)):
            position = rows[-1][POSITION] + 1
            yield from map(stored, rows)
            if len(rows) < PAGE:
                return

    def read_all(self) -> Iterator[Deposited]:
        position = 1
        while rows := self._rows(READ_CATEGORY, (CATEGORY, position)):
            position = rows[-1][GLOBAL_POSITION] + 1
            yield from map(stored, rows)

    def create_consumer(
        self, name: str, category: str | None, partitions: int, at_end: bool
    ) -> None:
        if at_end:
            ((last,),) = self._rows("SELECT max(global_position) FROM messages", ())
            self._keep(name, (last or 0) + 1)

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        query = "SELECT data FROM message_store.get_last_stream_message(%s)"
        kept = self._rows(query, (f"position-{name}",))
        position = int(kept[0][0]) if kept else 1
        while not stop.is_set():
            while rows := self._rows(READ_CATEGORY, (category or CATEGORY, position)):
                position = rows[-1][GLOBAL_POSITION] + 1
                handle([stored(found) for found in rows])
                self._keep(name, position)
                if stop.is_set():
                    return
            time.sleep(POLL)

    def follow(self, handle: Handle, stop: Stop) -> None:
        self.consume("follow", handle, stop, None, 1)

    def shared_by(self, threads: int) -> list[Client]:
        return [MessageDbClient(self.conninfo) for _ in range(threads)]

    @asynccontextmanager
    async def tasks(self, count: int) -> AsyncIterator[Writing]:
        async with pool_for_tasks(self.conninfo) as pool:

            async def write(stream: str, fact: Deposited) -> None:
                async with pool.connection() as conn:
                    await conn.execute(WRITE, row(stream, fact), prepare=True)

            yield write

    def close(self) -> None:
        self.conn.close()

    def _keep(self, name: str, position: int) -> None:
        parameters = (str(uuid4()), f"position-{name}", "Recorded", str(position))
        self.conn.execute(WRITE, parameters, prepare=True)

    def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[TupleRow]:
        with self.conn.cursor(binary=True) as cursor:
            return cursor.execute(query, parameters, prepare=True).fetchall()


class ManyCategoriesClient(MessageDbClient):
    def write(self, stream: str, fact: Deposited) -> None:
        super().write(spread(stream), fact)

    def write_several(self, streams: Sequence[str], facts: Sequence[Deposited]) -> None:
        super().write_several([spread(stream) for stream in streams], facts)


def spread(stream: str) -> str:
    """The same stream in one of many categories."""
    category, _, number = stream.partition("-")
    return f"{category}{int(number) % CATEGORIES}-{number}"


def row(stream: str, fact: Deposited) -> tuple[str, str, str, str]:
    return str(uuid4()), stream, TYPE, encode(fact).decode()


def stored(found: TupleRow) -> Deposited:
    whole: tuple[Any, ...] = (*found, decode(found[DATA]))
    fact: Deposited = whole[-1]
    return fact
