"""depeche_db, by its MessageStore, aggregated streams and Executor."""

import datetime
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
from psycopg.conninfo import conninfo_to_dict

from benchmarks.contenders.contract import Client, Contender, Handle, Stop, when_set
from benchmarks.payload import SAMPLE, Deposited

FILL = """
ALTER TABLE depeche_msgs_bench DISABLE TRIGGER USER;
INSERT INTO depeche_msgs_bench (message_id, global_position, stream, version, message)
SELECT uuidv7(), n, 'account-filled' || (n + 9) / 10, 1 + (n - 1) % 10,
  jsonb_set('{sample}', '{{reference}}', to_jsonb(n::text))
FROM generate_series(1, {count}) AS n;
ALTER TABLE depeche_msgs_bench ENABLE TRIGGER USER;
SELECT setval('depeche_msgs_bench_global_seq', {count});
"""


class Depeche(Contender):
    name = "depeche"
    title = "depeche_db"
    environment = "bench"
    needs = ("bench",)
    count = "SELECT count(*) FROM depeche_msgs_bench"
    find = "SELECT count(*) FROM depeche_msgs_bench WHERE message ->> 'reference' = %s"
    table = "depeche_msgs_bench"
    setting = (
        "MessageStore on SQLAlchemy with psycopg 3 and its pool; one aggregated stream with one"
        " partition, AckStrategy.BATCHED with 1,000 messages, run by its Executor. The catch-up"
        " begins with the aggregated stream ready: filling that is not counted."
    )
    global_order = "The aggregated stream, lookback_for_gaps_hours at its default of 6."
    lacks = {  # noqa: RUF012
        "catch-up/partitions": "its workers share partitions that its partitioner makes of streams",
        "catch-up/once": "not tried",
    }

    def script(self, streams: int) -> str:
        return f"""\
\\set stream random(1, {streams})
SELECT depeche_write_message_bench(uuidv7(), 'account-' || :stream, '{SAMPLE}');
"""

    def fill(self, count: int) -> list[str]:
        return [FILL.format(count=count, sample=SAMPLE)]

    def imports(self) -> None:
        import depeche_db
        import sqlalchemy.dialects.postgresql.psycopg

        assert depeche_db
        assert sqlalchemy.__version__

    def client(self, conninfo: str) -> Client:
        return DepecheClient(conninfo)


class Message:
    """What its protocol of messages asks for, around the event."""

    def __init__(self, fact: Deposited, message_id: UUID | None = None) -> None:
        self.fact = fact
        self.message_id = message_id or uuid4()

    def get_message_id(self) -> UUID:
        return self.message_id

    def get_message_time(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)


class Serializer:
    def serialize(self, message: Message) -> Any:
        return msgspec.to_builtins(message.fact)

    def deserialize(self, message: Any) -> Message:
        return Message(msgspec.convert(message, Deposited))


class OnePartition:
    def get_partition(self, message: Any) -> int:
        return 0


class DepecheClient(Client):
    def __init__(self, conninfo: str) -> None:
        import sqlalchemy

        # Its listener takes the same URL without the driver's name.
        words = conninfo_to_dict(conninfo)
        place = f"postgres@/{words['dbname']}?host={words['host']}&port={words['port']}"
        self.conninfo = f"postgresql://{place}"
        self.engine = sqlalchemy.create_engine(f"postgresql+psycopg://{place}")
        self._store: Any = None

    @property
    def store(self) -> Any:
        if self._store is None:
            from depeche_db import MessageStore

            self._store = MessageStore(name="bench", engine=self.engine, serializer=Serializer())
        return self._store

    def install(self) -> None:
        assert self.store
        self._stream(None)

    def write(self, stream: str, fact: Deposited) -> None:
        self.store.write(stream, Message(fact))

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        self.write_several([stream] * len(facts), facts)

    def write_several(self, streams: Sequence[str], facts: Sequence[Deposited]) -> None:
        with self.engine.connect() as conn:
            for stream, fact in zip(streams, facts, strict=True):
                self.store.write(stream, Message(fact), conn=conn)
            conn.commit()

    def read(self, stream: str) -> Iterator[Deposited]:
        return (stored.message.fact for stored in self.store.read(stream))

    def read_all(self) -> Iterator[Deposited]:
        with self.store.reader() as reader:
            for stored in reader.read_wildcard("%"):
                yield stored.message.fact

    def create_consumer(
        self, name: str, category: str | None, partitions: int, at_end: bool
    ) -> None:
        from depeche_db import StartAtNextMessage

        stream = self._stream(category)
        stream.projector.update_full()
        if at_end:
            subscription = stream.subscription(ident(name), start_point=StartAtNextMessage())
            subscription.get_next_message_batch(count=1)  # which keeps its state

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        from depeche_db import AckStrategy, Executor, MessageHandlerRegister, StoredMessage

        stream = self._stream(category)
        handlers: Any = MessageHandlerRegister()
        handlers.register_manual(
            lambda stored: handle([stored.message.fact]), StoredMessage[Message]
        )
        subscription = stream.subscription(
            ident(name),
            handlers=handlers,
            batch_size=self.batch,
            ack_strategy=AckStrategy.BATCHED if self.batch else AckStrategy.SINGLE,
        )
        executor = Executor(db_dsn=self.conninfo)
        executor.register(stream.projector)
        executor.register(subscription.runner)
        when_set(stop, lambda: os.kill(os.getpid(), signal.SIGTERM))
        executor.run()

    def follow(self, handle: Handle, stop: Stop) -> None:
        self.consume("follow", handle, stop, None, 1)

    def close(self) -> None:
        self.engine.dispose()

    def _stream(self, category: str | None) -> Any:
        return self.store.aggregated_stream(
            name="everything" if category is None else f"of_{category}",
            partitioner=OnePartition(),
            stream_wildcards=["%" if category is None else f"{category}-%"],
        )


def ident(name: str) -> str:
    return name.replace("-", "_")
