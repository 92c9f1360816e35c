"""eventsourcing, by its PostgreSQL recorders."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from psycopg.conninfo import conninfo_to_dict

from benchmarks.contenders.contract import Client, Contender, Handle, Stop, when_set
from benchmarks.payload import TYPE, Deposited, decode, encode

PAGE = 1000


class Eventsourcing(Contender):
    name = "eventsourcing"
    title = "eventsourcing"
    environment = "bench"
    needs = ("bench",)
    count = "SELECT count(*) FROM stored_events"
    find = (
        "SELECT count(*) FROM stored_events"
        " WHERE convert_from(state, 'UTF8')::jsonb ->> 'reference' = %s"
    )
    table = "stored_events"
    setting = (
        "PostgresApplicationRecorder with its defaults, originator ids as text, without its mapper:"
        " events are encoded by msgspec. Consumers are its subscriptions, with insert_tracking for"
        " each event, as its projections do."
    )
    global_order: ClassVar[str | None] = (
        "Notification ids, kept in order by its lock on the table (its default)."
    )
    checkpoints_each_message = True
    lacks = {  # noqa: RUF012
        "batches/10000": (
            "its pipeline hangs, waiting in psycopg, when it writes 4,000 events or more at once"
        ),
        "catch-up/partitions": "a subscription has one reader",
        "catch-up/once": "not tried",
    }

    def imports(self) -> None:
        import eventsourcing.postgres

        assert eventsourcing

    def client(self, conninfo: str) -> Client:
        return EventsourcingClient(conninfo, "PostgresApplicationRecorder")


class Aggregates(Eventsourcing):
    name = "eventsourcing-aggregates"
    title = "eventsourcing, no global order"
    setting = "PostgresAggregateRecorder: events of aggregates only, without notification ids."
    global_order = None
    lacks = {}  # noqa: RUF012
    only = frozenset(
        {"writes", "writes-slow-disk", "batches", "application", "application-slow-disk"}
    )

    def client(self, conninfo: str) -> Client:
        return EventsourcingClient(conninfo, "PostgresAggregateRecorder")


class EventsourcingClient(Client):
    def __init__(self, conninfo: str, recorder: str, connections: int = 1) -> None:
        from eventsourcing import postgres

        self.made_of = conninfo, recorder
        words = conninfo_to_dict(conninfo)
        self.datastore = postgres.PostgresDatastore(
            dbname=str(words["dbname"]),
            host=str(words["host"]),
            port=str(words["port"]),
            user="postgres",
            password="",
            pool_size=connections,
            max_overflow=10,
            originator_id_type="text",
        )
        self.recorder: Any = getattr(postgres, recorder)(self.datastore)
        self.tracking = postgres.PostgresTrackingRecorder(self.datastore)
        self.versions: dict[str, int] = {}

    def install(self) -> None:
        self.recorder.create_table()
        self.tracking.create_table()

    def write(self, stream: str, fact: Deposited) -> None:
        self._insert([(stream, fact)])

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        self._insert([(stream, fact) for fact in facts])

    def write_several(self, streams: Sequence[str], facts: Sequence[Deposited]) -> None:
        self._insert(list(zip(streams, facts, strict=True)))

    def read(self, stream: str) -> Iterator[Deposited]:
        return (decode(event.state) for event in self.recorder.select_events(stream))

    def read_all(self) -> Iterator[Deposited]:
        start = 0
        while found := self.recorder.select_notifications(start, PAGE, inclusive_of_start=False):
            start = found[-1].id
            for notification in found:
                yield decode(notification.state)

    def create_consumer(
        self, name: str, category: str | None, partitions: int, at_end: bool
    ) -> None:
        from eventsourcing.persistence import Tracking

        if at_end and (last := self.recorder.max_notification_id()):
            self.tracking.insert_tracking(Tracking(name, last))

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        from eventsourcing.persistence import Tracking

        def tracked(notification: Any) -> None:
            if category is None or notification.originator_id.startswith(f"{category}-"):
                handle([decode(notification.state)])
            self.tracking.insert_tracking(Tracking(name, notification.id))

        self._subscribe(self.tracking.max_tracking_id(name), tracked, stop)

    def follow(self, handle: Handle, stop: Stop) -> None:
        self._subscribe(None, lambda notification: handle([decode(notification.state)]), stop)

    def _subscribe(self, after: int | None, handle: Callable[[Any], None], stop: Stop) -> None:
        with self.recorder.subscribe(gt=after) as subscription:
            when_set(stop, subscription.stop)
            for notification in subscription:
                handle(notification)

    def shared_by(self, threads: int) -> list[Client]:
        return [EventsourcingClient(*self.made_of, connections=threads)] * threads

    def close(self) -> None:
        self.datastore.close()

    def _insert(self, facts: list[tuple[str, Deposited]]) -> None:
        """Insert at the versions that are known from the last write; look again if they are not."""
        from eventsourcing.persistence import IntegrityError, StoredEvent

        while True:
            versions = {stream: self._version(stream) for stream, _ in facts}
            events = []
            for stream, fact in facts:
                versions[stream] += 1
                events.append(StoredEvent(stream, versions[stream], TYPE, encode(fact)))
            try:
                self.recorder.insert_events(events)
            except IntegrityError:
                for stream in versions:
                    self.versions.pop(stream, None)
            else:
                self.versions |= versions
                return

    def _version(self, stream: str) -> int:
        if stream not in self.versions:
            last = self.recorder.select_events(stream, desc=True, limit=1)
            self.versions[stream] = last[0].originator_version if last else 0
        return self.versions[stream]
