"""The orders on depeche_db, by its aggregates, repository, aggregated streams and subscriptions."""

import json
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pydantic
from depeche_db import (
    CallMiddleware,
    MessageHandlerRegister,
    MessageIdMismatchError,
    MessageStore,
    OptimisticConcurrencyError,
    SubscriptionMessage,
)
from depeche_db.event_sourcing import (
    EventSourcedAggregateRoot,
    EventStoreRepo,
    InMemoryCache,
)
from depeche_db.tools import PydanticMessageSerializer, StreamNamePartitioner
from sqlalchemy import Connection, create_engine, text

from benchmarks.applications import check

# -- metadata

correlation: ContextVar[str] = ContextVar("correlation", default="")
causation: ContextVar[str] = ContextVar("causation", default="")


def run(correlation_id: str, command: Callable[..., None], *arguments: object) -> None:
    correlation.set(correlation_id)
    command(*arguments)


# -- messages


class Event(pydantic.BaseModel):
    message_id: UUID = pydantic.Field(default_factory=uuid4)
    sent_at: datetime = pydantic.Field(default_factory=lambda: datetime.now(UTC))
    # -- metadata
    correlation_id: str = pydantic.Field(default_factory=correlation.get)
    causation_id: str = pydantic.Field(default_factory=causation.get)

    # -- messages
    def get_message_id(self) -> UUID:
        return self.message_id

    def get_message_time(self) -> datetime:
        return self.sent_at


class OrderPlaced(Event):
    number: str
    customer: str
    cents: int

    # -- old events
    @pydantic.model_validator(mode="before")
    @classmethod
    def in_cents(cls, data: Any) -> Any:
        if "euros" in data:
            data["cents"] = data.pop("euros") * 100
        return data


# -- messages


class PaymentReceived(Event):
    cents: int


class OrderPaid(Event): ...


class OrderCancelled(Event):
    reason: str


# -- process manager


class ParcelRequested(Event):
    order: str


# -- set up

Message = OrderPlaced | PaymentReceived | OrderPaid | OrderCancelled | ParcelRequested
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))
store = MessageStore[Message](
    name="shop", engine=engine, serializer=PydanticMessageSerializer(Message)
)

# -- order


class Refused(Exception): ...


class Order(EventSourcedAggregateRoot[str, Message]):
    def __init__(self) -> None:
        super().__init__()
        self.number = None
        self.status = "unknown"
        self.cents = 0
        self.received = 0

    def get_id(self) -> str | None:
        return self.number

    def _apply(self, event: Message) -> None:
        match event:
            case OrderPlaced():
                self.number, self.status, self.cents = event.number, "placed", event.cents
            case PaymentReceived():
                self.received += event.cents
            case OrderPaid():
                self.status = "paid"
            case OrderCancelled():
                self.status = "cancelled"

    @classmethod
    def place(cls, number: str, customer: str, cents: int) -> "Order":
        order = cls()
        order.apply(OrderPlaced(number=number, customer=customer, cents=cents))
        return order

    def pay(self, cents: int) -> None:
        if self.status != "placed" or self.received + cents > self.cents:
            raise Refused
        self.apply(PaymentReceived(cents=cents))
        if self.received == self.cents:
            self.apply(OrderPaid())

    def cancel(self, reason: str) -> None:
        if self.status != "placed":
            raise Refused
        self.apply(OrderCancelled(reason=reason))


# -- commands

orders = EventStoreRepo(
    event_store=store,
    constructor=Order,
    stream_prefix="order",
    # -- snapshots
    cache=InMemoryCache(cache_every_x_version=5),
    # -- commands
)
CONFLICTS = (OptimisticConcurrencyError, MessageIdMismatchError)


def place(number: str, customer: str, cents: int) -> None:
    try:
        orders.add(Order.place(number, customer, cents))
    except CONFLICTS:
        raise Refused from None


def pay(number: str, cents: int) -> None:
    change(number, lambda order: order.pay(cents))


def cancel(number: str, reason: str) -> None:
    change(number, lambda order: order.cancel(reason))


def change(number: str, decide: Callable[[Order], None]) -> None:
    for attempt in range(10):
        order = orders.get(number)
        version = order._version
        decide(order)
        try:
            orders.save(order, expected_version=version)
            return
        except CONFLICTS:
            if attempt == 9:
                raise
            time.sleep(random.uniform(0, 0.005 * 2**attempt))


# -- projection

stream = store.aggregated_stream(
    name="orders", partitioner=StreamNamePartitioner(), stream_wildcards=["order-%"]
)


class InTransaction(CallMiddleware[Message]):
    def call(self, handler: Callable[..., None], message: SubscriptionMessage[Message]) -> None:
        # -- metadata
        event = message.stored_message.message
        correlation.set(event.correlation_id)
        causation.set(str(event.message_id))
        # -- projection
        with engine.begin() as conn:
            handler(message, conn)
            message.ack.execute(conn=conn)


with engine.begin() as conn:
    conn.execute(
        text(
            "CREATE TABLE IF NOT EXISTS orders (number text PRIMARY KEY, customer text NOT NULL,"
            " received bigint NOT NULL, status text NOT NULL)"
        )
    )
    # -- deadline
    conn.execute(
        text("CREATE TABLE IF NOT EXISTS deadlines (number text PRIMARY KEY, due timestamptz)")
    )
# -- projection
overview = MessageHandlerRegister[Message]()


@overview.register
def add(message: SubscriptionMessage[OrderPlaced], conn: Connection) -> None:
    placed = message.stored_message.message
    conn.execute(
        text("INSERT INTO orders VALUES (:number, :customer, 0, 'placed')"),
        {"number": placed.number, "customer": placed.customer},
    )
    # -- deadline
    conn.execute(
        text("INSERT INTO deadlines VALUES (:number, :due)"),
        {"number": placed.number, "due": placed.sent_at + timedelta(days=1)},
    )


# -- projection


@overview.register
def receive(message: SubscriptionMessage[PaymentReceived], conn: Connection) -> None:
    conn.execute(
        text("UPDATE orders SET received = received + :cents WHERE number = :number"),
        {"cents": message.stored_message.message.cents, "number": number_of(message)},
    )


@overview.register
def complete(message: SubscriptionMessage[OrderPaid], conn: Connection) -> None:
    set_status(number_of(message), "paid", conn)


@overview.register
def strike(message: SubscriptionMessage[OrderCancelled], conn: Connection) -> None:
    set_status(number_of(message), "cancelled", conn)


def number_of(message: SubscriptionMessage[Any]) -> str:
    return message.stored_message.stream.removeprefix("order-")


def set_status(number: str, status: str, conn: Connection) -> None:
    conn.execute(
        text("UPDATE orders SET status = :status WHERE number = :number"),
        {"status": status, "number": number},
    )


overviews = stream.subscription(name="overview", handlers=overview, call_middleware=InTransaction())
# -- process manager
fulfilment = MessageHandlerRegister[Message]()


@fulfilment.register
def request_parcel(message: SubscriptionMessage[OrderPaid], conn: Connection) -> None:
    number = number_of(message)
    parcel = ParcelRequested(order=number)
    store.write(f"parcel-{number}", parcel, expected_version=0, conn=conn)


fulfilments = stream.subscription(
    name="fulfilment", handlers=fulfilment, call_middleware=InTransaction()
)

# -- deadline


def cancel_overdue(now: datetime) -> None:
    with engine.begin() as conn:
        overdue = conn.execute(
            text("SELECT number FROM deadlines WHERE due <= :now FOR UPDATE SKIP LOCKED"),
            {"now": now},
        )
        for number in overdue.scalars().all():
            with suppress(Refused):
                cancel(number, "not paid")
            conn.execute(text("DELETE FROM deadlines WHERE number = :number"), {"number": number})


# -- workers


def handle() -> None:
    stream.projector.update_full()
    overviews.runner.run_once()
    fulfilments.runner.run_once()


# -- check


def old_order(number: str, customer: str, euros: int) -> None:
    now, data = datetime.now(UTC), {"number": number, "customer": customer, "euros": euros}
    message_id = str(uuid4())
    data |= {"message_id": message_id, "sent_at": now.isoformat(), "__typename__": "OrderPlaced"}
    data |= {"correlation_id": "", "causation_id": ""}
    with engine.begin() as conn:
        conn.execute(
            text("SELECT depeche_write_message_shop(:message_id, :stream, :data)"),
            {"message_id": message_id, "stream": f"order-{number}", "data": json.dumps(data)},
        )


def two_days_later() -> None:
    cancel_overdue(datetime.now(UTC) + timedelta(days=2))


def table() -> list[list[object]]:
    with engine.connect() as conn:
        return [list(row) for row in conn.execute(text("SELECT * FROM orders ORDER BY number"))]


def parcels() -> list[list[object]]:
    found = []
    with store.reader() as reader:
        for stored in list(reader.read_wildcard("parcel-%")):
            parcel = stored.message
            cause = reader.get_message_by_id(UUID(parcel.causation_id))
            of_payment = cause.stream == f"order-{parcel.order}"
            of_payment = of_payment and isinstance(cause.message, OrderPaid)
            found.append([parcel.order, parcel.correlation_id, of_payment])
    return sorted(found)


def state(number: str) -> list[object]:
    order = orders.get(number)
    return [order.status, order.cents, order.received]


def version(number: str) -> int:
    return orders.get(number)._version


def state_is_kept(number: str) -> bool:
    orders.get(number)
    return orders._cache.get(number) is not None


if __name__ == "__main__":
    check.answer(globals() | {"orders": table})
    engine.dispose()
