"""The orders on eventsourcing, by its aggregates, applications and projections."""

import json
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import field
from datetime import UTC, datetime, timedelta
from functools import singledispatchmethod
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application, ProcessingEvent
from eventsourcing.domain import Aggregate, DomainEventProtocol, event
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import (
    EventSourcedProjection,
    EventSourcedProjectionRunner,
    Projection,
    ProjectionRunner,
)
from eventsourcing.utils import get_topic, retry
from psycopg.sql import SQL

from benchmarks.applications import check

# -- metadata

correlation: ContextVar[str] = ContextVar("correlation", default="")
causation: ContextVar[str] = ContextVar("causation", default="")


class Traced(Aggregate):
    class Event(Aggregate.Event):
        correlation_id: str = field(default_factory=correlation.get, init=False)
        causation_id: str = field(default_factory=causation.get, init=False)

    class Created(Event, Aggregate.Created): ...


def run(correlation_id: str, command: Callable[..., None], *arguments: object) -> None:
    correlation.set(correlation_id)
    command(*arguments)


# -- order


class Refused(Exception): ...


class Order(Traced):
    # -- messages
    class Placed(Traced.Created):
        number: str
        customer: str
        cents: int
        # -- old events
        class_version = 2

        @staticmethod
        def upcast_v1_v2(state: dict[str, object]) -> None:
            state["cents"] = state.pop("euros") * 100

    # -- order
    @event(Placed)
    def __init__(self, number: str, customer: str, cents: int) -> None:
        self.number = number
        self.status = "placed"
        self.cents = cents
        self.received = 0

    @staticmethod
    def create_id(number: str, *_: object, **__: object) -> UUID:
        return uuid5(NAMESPACE_URL, f"/orders/{number}")

    def pay(self, cents: int) -> None:
        if self.status != "placed" or self.received + cents > self.cents:
            raise Refused
        self._receive(cents)
        if self.received == self.cents:
            self._complete()

    @event("PaymentReceived")
    def _receive(self, cents: int) -> None:
        self.received += cents

    @event("Paid")
    def _complete(self) -> None:
        self.status = "paid"

    def cancel(self, reason: str) -> None:
        if self.status != "placed":
            raise Refused
        self._cancel(reason)

    @event("Cancelled")
    def _cancel(self, reason: str) -> None:
        self.status = "cancelled"


# -- commands


class Orders(Application[UUID]):
    # -- snapshots
    snapshotting_intervals: ClassVar = {Order: 5}

    # -- commands
    def place(self, number: str, customer: str, cents: int) -> None:
        try:
            self.save(Order(number, customer, cents))
        except IntegrityError:
            raise Refused from None

    def pay(self, number: str, cents: int) -> None:
        self._change(number, lambda order: order.pay(cents))

    def cancel(self, number: str, reason: str) -> None:
        self._change(number, lambda order: order.cancel(reason))

    @retry(IntegrityError, max_attempts=10, wait=0.005)
    def _change(self, number: str, change: Callable[[Order], None]) -> None:
        order: Order = self.repository.get(Order.create_id(number))
        change(order)
        self.save(order)


app = Orders()
# -- projection


class Overview(PostgresTrackingRecorder):
    def __init__(self, *arguments: object, **settings: object) -> None:
        super().__init__(*arguments, **settings)
        self.sql_create_statements += [
            SQL(
                "CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, number text NOT NULL,"
                " customer text NOT NULL, received bigint NOT NULL, status text NOT NULL)"
            ),
            # -- deadline
            SQL("CREATE TABLE IF NOT EXISTS deadlines (number text PRIMARY KEY, due timestamptz)"),
            # -- projection
        ]

    def add(self, placed: Order.Placed, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as curs:
            self._insert_tracking(curs, tracking)
            curs.execute(
                "INSERT INTO orders VALUES (%s, %s, %s, 0, 'placed')",
                [placed.originator_id, placed.number, placed.customer],
            )
            # -- deadline
            curs.execute(
                "INSERT INTO deadlines VALUES (%s, %s)",
                [placed.number, placed.timestamp + timedelta(days=1)],
            )

    # -- projection
    def receive(self, order_id: UUID, cents: int, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as curs:
            self._insert_tracking(curs, tracking)
            curs.execute(
                "UPDATE orders SET received = received + %s WHERE id = %s", [cents, order_id]
            )

    def set_status(self, order_id: UUID, status: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as curs:
            self._insert_tracking(curs, tracking)
            curs.execute("UPDATE orders SET status = %s WHERE id = %s", [status, order_id])


class OverviewProjection(Projection[Overview]):
    @singledispatchmethod
    def process_event(self, event: DomainEventProtocol[UUID], tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)

    @process_event.register
    def placed(self, event: Order.Placed, tracking: Tracking) -> None:
        self.view.add(event, tracking)

    @process_event.register
    def received(self, event: Order.PaymentReceived, tracking: Tracking) -> None:
        self.view.receive(event.originator_id, event.cents, tracking)

    @process_event.register
    def paid(self, event: Order.Paid, tracking: Tracking) -> None:
        self.view.set_status(event.originator_id, "paid", tracking)

    @process_event.register
    def cancelled(self, event: Order.Cancelled, tracking: Tracking) -> None:
        self.view.set_status(event.originator_id, "cancelled", tracking)


# -- process manager


class Parcel(Traced):
    @event("Requested")
    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id

    @staticmethod
    def create_id(order_id: UUID) -> UUID:
        return uuid5(order_id, "parcel")


class Fulfilment(EventSourcedProjection[UUID]):
    @singledispatchmethod
    def policy(
        self, event: DomainEventProtocol[UUID], processing_event: ProcessingEvent[UUID]
    ) -> None: ...

    @policy.register
    def paid(self, event: Order.Paid, processing_event: ProcessingEvent[UUID]) -> None:
        # -- metadata
        correlation.set(event.correlation_id)
        causation.set(f"{event.originator_id}/{event.originator_version}")
        # -- process manager
        processing_event.collect_events(Parcel(event.originator_id))


# -- deadline


def cancel_overdue(now: datetime) -> None:
    with app.recorder.datastore.transaction(commit=True) as curs:
        curs.execute("SELECT number FROM deadlines WHERE due <= %s FOR UPDATE SKIP LOCKED", [now])
        for row in curs.fetchall():
            with suppress(Refused):
                app.cancel(row["number"], "not paid")
            curs.execute("DELETE FROM deadlines WHERE number = %s", [row["number"]])


# -- workers


def handle() -> None:
    overview = ProjectionRunner(
        application_class=Orders, projection_class=OverviewProjection, view_class=Overview
    )
    fulfilment = EventSourcedProjectionRunner(application_class=Orders, projection_class=Fulfilment)
    with overview, fulfilment:
        for runner in overview, fulfilment:
            runner.wait(app.recorder.max_notification_id(), timeout=10)


# -- check


def old_order(number: str, customer: str, euros: int) -> None:
    state = {
        "timestamp": {"_type_": "datetime_iso", "_data_": datetime.now(UTC).isoformat()},
        "originator_topic": get_topic(Order),
        "number": number,
        "customer": customer,
        "euros": euros,
    }
    stored = StoredEvent(
        Order.create_id(number), 1, get_topic(Order.Placed), json.dumps(state).encode()
    )
    app.recorder.insert_events([stored])


def two_days_later() -> None:
    cancel_overdue(datetime.now(UTC) + timedelta(days=2))


def table() -> list[list[object]]:
    with app.recorder.datastore.transaction() as curs:
        curs.execute("SELECT number, customer, received, status FROM orders ORDER BY number")
        return [list(row.values()) for row in curs.fetchall()]


def parcels() -> list[list[object]]:
    found = []
    with Fulfilment() as fulfilment:
        for notification in fulfilment.notification_log.select(1, 10):
            requested = fulfilment.mapper.to_domain_event(notification)
            order_id, version = requested.causation_id.split("/")
            (cause,) = app.events.get(UUID(order_id), gt=int(version) - 1, lte=int(version))
            of_payment = isinstance(cause, Order.Paid) and requested.order_id == UUID(order_id)
            order = app.repository.get(requested.order_id)
            found.append([order.number, requested.correlation_id, of_payment])
    return found


def state(number: str) -> list[object]:
    order: Order = app.repository.get(Order.create_id(number))
    return [order.status, order.cents, order.received]


def version(number: str) -> int:
    return app.repository.get(Order.create_id(number)).version


def state_is_kept(number: str) -> bool:
    return bool(list(app.snapshots.get(Order.create_id(number))))


if __name__ == "__main__":
    commands = {"place": app.place, "pay": app.pay, "cancel": app.cancel}
    check.answer(globals() | commands | {"orders": table})
    app.close()
