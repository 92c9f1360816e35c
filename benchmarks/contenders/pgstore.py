"""pgstore, from this source tree."""

import inspect
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg

import pgstore
from benchmarks.contenders.contract import Client, Contender, Handle, Stop, Writing, when_set
from benchmarks.payload import SAMPLE, TYPE, Deposited

GROUPING = "group_writes"

UPSERT = """
    INSERT INTO seen (reference, amount)
    SELECT * FROM unnest(%s::text[], %s::bigint[])
    ON CONFLICT (reference) DO UPDATE SET amount = excluded.amount"""

# Streams of 10 messages, all of one category, as if they had been written one after the other.
FILL_PART = """
INSERT INTO {schema}.streams (stream_id, category_key, stream, category)
SELECT {base} + n, pgstore._category_key('account'), 'account-filled' || n, 'account'
FROM generate_series({first} / 10 + 1, {last} / 10) AS n;
INSERT INTO {schema}.messages
  (global_position, stream_id, version, category_key, added_at, message_id, type, data)
SELECT n, {base} + (n + 9) / 10, 1 + (n - 1) % 10, pgstore._category_key('account'),
  clock_timestamp(), uuidv7(), 'Deposited',
  jsonb_set('{sample}', '{{reference}}', to_jsonb(n::text))
FROM generate_series({first} + 1, {last}) AS n;
"""
FILL_END = """
SELECT setval('{schema}.{streams}', {base} + {count} / 10);
SELECT setval('{schema}.{positions}', {count});
"""


def filling(schema: str, count: int, base: int, streams: str, positions: str) -> list[str]:
    """SQL that stores messages in tables of this shape: parts for two sessions, then the end."""
    half = count // 20 * 10
    parts = [
        FILL_PART.format(schema=schema, base=base, first=first, last=last, sample=SAMPLE)
        for first, last in ((0, half), (half, count))
    ]
    end = FILL_END.format(
        schema=schema, count=count, base=base, streams=streams, positions=positions
    )
    return [*parts, end]


class Pgstore(Contender):
    name = "pgstore"
    title = "pgstore"
    is_peer = False
    count = "SELECT count(*) FROM pgstore.messages"
    find = "SELECT count(*) FROM pgstore.messages WHERE data ->> 'reference' = %s"
    table = "pgstore.messages"
    setting = "MessageStore with its defaults; a batch handler, batch_size 1,000."
    global_order = "Readers stop at the safe position, without any setting."

    def script(self, streams: int) -> str:
        return f"""\
\\set stream random(1, {streams})
SELECT pgstore.write_message('account-' || :stream, '{TYPE}', '{SAMPLE}');
"""

    def fill(self, count: int) -> list[str]:
        return filling("pgstore", count, 0, "stream_id_seq", "global_position_seq")

    def client(self, conninfo: str) -> Client:
        return PgstoreClient(conninfo)


class Grouped(Pgstore):
    name = "pgstore-grouped"
    title = "pgstore, writes grouped"
    setting = "MessageStore with group_writes=True: concurrent writes of a process share a commit."
    only = frozenset({"application", "application-slow-disk", "ways"})

    @property
    def available(self) -> bool:
        return GROUPING in inspect.signature(pgstore.MessageStore.__init__).parameters

    def client(self, conninfo: str) -> Client:
        return PgstoreClient(conninfo, **{GROUPING: True})


class PgstoreClient(Client):
    def __init__(self, conninfo: str, **settings: Any) -> None:
        self.conninfo = conninfo
        self.settings = settings
        self.store = pgstore.MessageStore[Deposited](conninfo, messages=Deposited, **settings)

    def install(self) -> None:
        pgstore.install(self.conninfo)
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            conn.execute("CREATE TABLE seen (reference text PRIMARY KEY, amount bigint NOT NULL)")

    def write(self, stream: str, fact: Deposited) -> None:
        self.store.write(stream, fact)

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        self.store.write_many(stream, facts)

    def write_several(self, streams: Sequence[str], facts: Sequence[Deposited]) -> None:
        with self.store.transaction() as conn:
            for stream, fact in zip(streams, facts, strict=True):
                self.store.write(stream, fact, conn=conn)

    def read(self, stream: str) -> Iterator[Deposited]:
        return (stored.message for stored in self.store.read(stream))

    def read_all(self) -> Iterator[Deposited]:
        return (stored.message for stored in self.store.read_all())

    def create_consumer(
        self, name: str, category: str | None, partitions: int, at_end: bool
    ) -> None:
        subscription = self._subscription(name, category, partitions)
        if at_end:
            subscription.rewind(self.store.safe_position())
        else:
            subscription.create()

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        subscription = self._subscription(name, category, partitions)

        def batch(messages: list[pgstore.StoredMessage[Deposited]]) -> None:
            handle([stored.message for stored in messages])

        def each(fact: Deposited) -> None:
            handle([fact])

        if self.batch == 1:
            subscription.handler(each)
        else:
            subscription.batch_handler(batch)
        self._run(subscription, stop)

    def consume_once(self, name: str, stop: Stop, seen: Handle) -> None:
        subscription = self._subscription(name, None, 1)

        def batch(
            messages: list[pgstore.StoredMessage[Deposited]], tx: psycopg.Connection[Any]
        ) -> None:
            facts = [stored.message for stored in messages]
            tx.execute(UPSERT, ([f.reference for f in facts], [f.amount for f in facts]))
            seen(facts)

        subscription.batch_handler(batch)
        self._run(subscription, stop)

    def follow(self, handle: Handle, stop: Stop) -> None:
        with self.store.follow() as follower:
            when_set(stop, follower.stop)
            for stored in follower:
                handle([stored.message])

    def shared_by(self, threads: int) -> list[Client]:
        return [self] * threads

    @asynccontextmanager
    async def tasks(self, count: int) -> AsyncIterator[Writing]:
        async with pgstore.AsyncMessageStore[Deposited](
            self.conninfo, messages=Deposited, **self.settings
        ) as store:
            yield store.write

    def close(self) -> None:
        self.store.close()

    def _subscription(
        self, name: str, category: str | None, partitions: int
    ) -> pgstore.Subscription[Deposited]:
        more: dict[str, Any] = {} if self.batch is None else {"batch_size": self.batch}
        if self.batch == 1:
            more = {"acknowledge": "message"}  # fetched by 100, its default
        return self.store.subscription(name, category=category, partitions=partitions, **more)

    def _run(self, subscription: pgstore.Subscription[Deposited], stop: Stop) -> None:
        when_set(stop, self.store.stop)
        self.store.run(subscription)
