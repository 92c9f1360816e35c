"""Queues that people choose to work off jobs: pgmq and procrastinate, and the limit of a queue.

Their jobs are the same events. They keep no history: a job that was handled is deleted.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.rows import TupleRow

from benchmarks.contenders.contract import Client, Contender, Handle, Stop
from benchmarks.payload import Deposited, decode, encode

QUEUE = "jobs"
TAKE = """
DELETE FROM jobs WHERE id IN (SELECT id FROM jobs ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING data::text"""


class Queue(Contender):
    only = frozenset({"jobs"})
    count = ""
    find = ""
    table = ""


class SkipLocked(Queue):
    name = "skip-locked"
    title = "limit: DELETE … SKIP LOCKED"
    is_peer = False
    setting = (
        "A table of jobs with a primary key. A transaction deletes the oldest ones FOR UPDATE SKIP"
        " LOCKED, handles them, and commits. A job that fails is the next one again: no attempts"
        " are counted."
    )

    def client(self, conninfo: str) -> Client:
        return SkipLockedClient(conninfo)


class QueueClient(Client):
    """What a queue does of a store's work."""

    def read(self, stream: str) -> Iterator[Deposited]:
        raise NotImplementedError

    def write(self, stream: str, fact: Deposited) -> None:
        self.write_many(stream, [fact])


class SkipLockedClient(QueueClient):
    def __init__(self, conninfo: str) -> None:
        self.conn: psycopg.Connection[TupleRow] = psycopg.connect(conninfo, autocommit=True)

    def install(self) -> None:
        self.conn.execute(
            "CREATE TABLE jobs (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,"
            " added_at timestamptz NOT NULL DEFAULT now(), data jsonb NOT NULL)"
        )

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        query = "INSERT INTO jobs (data) SELECT unnest(%s::jsonb[])"
        self.conn.execute(query, ([encode(fact).decode() for fact in facts],))

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        while not stop.is_set():
            with self.conn.transaction():
                handle([decode(data) for (data,) in self.conn.execute(TAKE, (self.batch,))])

    def close(self) -> None:
        self.conn.close()


class Pgmq(Queue):
    name = "pgmq"
    title = "pgmq"
    environment = "bench"
    needs = ("bench",)
    setting = (
        "PGMQueue of its Python package, which brings and installs the extension's SQL, on a"
        " connection with autocommit; a worker reads with its default vt of 30 s, handles, and"
        " deletes: two round trips."
    )

    def imports(self) -> None:
        import pgmq

        assert pgmq

    def client(self, conninfo: str) -> Client:
        return PgmqClient(conninfo)


class PgmqClient(QueueClient):
    def __init__(self, conninfo: str) -> None:
        from pgmq import PGMQueue
        from psycopg_pool import ConnectionPool

        # With its own pool, each call begins and commits a transaction in three round trips.
        self.conn = psycopg.connect(conninfo, autocommit=True)
        unused = ConnectionPool(conninfo, open=False)
        self.queue: Any = PGMQueue(pool=unused, init_extension=False)

    def install(self) -> None:
        from pgmq import install

        install.install_pgmq_from_sql(conn=self.conn)
        self.queue.create_queue(QUEUE, conn=self.conn)

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        self.queue.send_batch(QUEUE, [msgspec.to_builtins(fact) for fact in facts], conn=self.conn)

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        while not stop.is_set():
            if self.batch == 1:
                if found := self.queue.read(QUEUE, conn=self.conn):
                    handle([msgspec.convert(found.message, Deposited)])
                    self.queue.delete(QUEUE, found.msg_id, conn=self.conn)
            else:
                several = self.queue.read_batch(QUEUE, batch_size=self.batch, conn=self.conn)
                handle([msgspec.convert(each.message, Deposited) for each in several])
                self.queue.delete_batch(QUEUE, [each.msg_id for each in several], conn=self.conn)

    def close(self) -> None:
        self.conn.close()


class Procrastinate(Queue):
    name = "procrastinate"
    checkpoints_each_message = True
    title = "procrastinate"
    environment = "bench"
    needs = ("bench",)
    setting = (
        "App with its PsycopgConnector and an async task; a worker with its defaults, but for"
        " delete_jobs “successful”: the others keep no jobs either. It takes one job after the"
        " other, or up to 100 side by side (concurrency)."
    )

    def imports(self) -> None:
        import procrastinate

        assert procrastinate

    def client(self, conninfo: str) -> Client:
        return ProcrastinateClient(conninfo)


class ProcrastinateClient(QueueClient):
    def __init__(self, conninfo: str) -> None:
        import procrastinate

        self.app: Any = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=conninfo)
        )
        self.handle: Handle | None = None

        async def job(**fields: Any) -> None:
            assert self.handle is not None
            self.handle([msgspec.convert(fields, Deposited)])

        self.task = self.app.task(job, name="job")

    def install(self) -> None:
        with self.app.open():
            self.app.schema_manager.apply_schema()

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        with self.app.open():
            self.task.batch_defer(*(msgspec.to_builtins(fact) for fact in facts))

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        self.handle = handle
        self.app.run_worker(
            wait=False,  # it ends when the jobs do
            concurrency=self.batch,
            delete_jobs="successful",
        )
