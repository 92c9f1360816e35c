"""The orders on pgstore."""

import os
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import psycopg

import pgstore
from benchmarks.applications import check

# -- messages


class OrderPlaced(msgspec.Struct):
    customer: str
    cents: int


class PaymentReceived(msgspec.Struct):
    cents: int


class OrderPaid(msgspec.Struct): ...


class OrderCancelled(msgspec.Struct):
    reason: str


# -- process manager


class ParcelRequested(msgspec.Struct):
    order: str


# -- deadline


class PaymentDue(msgspec.Struct): ...


# -- old events


def in_cents(old: dict[str, Any]) -> OrderPlaced:
    return OrderPlaced(old["customer"], old["euros"] * 100)


# -- set up

Message = OrderPlaced | PaymentReceived | OrderPaid | OrderCancelled | ParcelRequested | PaymentDue
store = pgstore.MessageStore[Message](
    os.environ["DATABASE_URL"],
    store="shop",
    messages={
        # -- old events
        "OrderPlaced.2": OrderPlaced,
        # -- set up
        "PaymentReceived": PaymentReceived,
        "OrderPaid": OrderPaid,
        "OrderCancelled": OrderCancelled,
        "ParcelRequested": ParcelRequested,
        "PaymentDue": PaymentDue,
    },
    # -- old events
    upcasters=[pgstore.Upcaster("OrderPlaced", in_cents)],
    # -- set up
)

# -- order


class Refused(Exception): ...


class Order(msgspec.Struct, frozen=True):
    status: str = "unknown"
    cents: int = 0
    received: int = 0


def evolve(order: Order, message: Message) -> Order:
    match message:
        case OrderPlaced(cents=cents):
            return Order("placed", cents)
        case PaymentReceived(cents=cents):
            return msgspec.structs.replace(order, received=order.received + cents)
        case OrderPaid():
            return msgspec.structs.replace(order, status="paid")
        case OrderCancelled():
            return msgspec.structs.replace(order, status="cancelled")
    return order


def placed(order: Order, customer: str, cents: int) -> OrderPlaced:
    if order.status != "unknown":
        raise Refused
    return OrderPlaced(customer, cents)


def paid(order: Order, cents: int) -> list[Message]:
    if order.status != "placed" or order.received + cents > order.cents:
        raise Refused
    complete = order.received + cents == order.cents
    return [PaymentReceived(cents), OrderPaid()] if complete else [PaymentReceived(cents)]


def cancelled(order: Order, reason: str) -> OrderCancelled:
    if order.status != "placed":
        raise Refused
    return OrderCancelled(reason)


# -- commands

orders = store.decider(
    evolve,
    Order,
    # -- snapshots
    snapshots=pgstore.Snapshots("order", code_version=1, every=5),
    # -- commands
)


def place(number: str, customer: str, cents: int) -> None:
    orders.decide(f"order-{number}", lambda order: placed(order, customer, cents))


def pay(number: str, cents: int) -> None:
    orders.decide(f"order-{number}", lambda order: paid(order, cents))


def cancel(number: str, reason: str) -> None:
    orders.decide(f"order-{number}", lambda order: cancelled(order, reason))


# -- metadata


def run(correlation_id: str, command: Callable[..., None], *arguments: object) -> None:
    with pgstore.message_context(correlation_id=correlation_id):
        command(*arguments)


# -- projection

with store.transaction() as conn:
    conn.execute(
        "CREATE TABLE IF NOT EXISTS orders (number text PRIMARY KEY, customer text NOT NULL,"
        " received bigint NOT NULL, status text NOT NULL)"
    )
overview = store.subscription(
    "overview", types=[OrderPlaced, PaymentReceived, OrderPaid, OrderCancelled]
)


def number_of(stored: pgstore.StoredMessage[Any]) -> str:
    return stored.stream.removeprefix("order-")


@overview.handler
def add(stored: pgstore.StoredMessage[OrderPlaced], tx: psycopg.Connection) -> None:
    tx.execute(
        "INSERT INTO orders VALUES (%s, %s, 0, 'placed')",
        [number_of(stored), stored.message.customer],
    )


@overview.handler
def receive(stored: pgstore.StoredMessage[PaymentReceived], tx: psycopg.Connection) -> None:
    tx.execute(
        "UPDATE orders SET received = received + %s WHERE number = %s",
        [stored.message.cents, number_of(stored)],
    )


@overview.handler
def complete(stored: pgstore.StoredMessage[OrderPaid], tx: psycopg.Connection) -> None:
    tx.execute("UPDATE orders SET status = 'paid' WHERE number = %s", [number_of(stored)])


@overview.handler
def strike(stored: pgstore.StoredMessage[OrderCancelled], tx: psycopg.Connection) -> None:
    tx.execute("UPDATE orders SET status = 'cancelled' WHERE number = %s", [number_of(stored)])


# -- process manager

fulfilment = store.subscription("fulfilment", types=[OrderPlaced, OrderPaid, PaymentDue])


@fulfilment.handler
def request_parcel(stored: pgstore.StoredMessage[OrderPaid], tx: psycopg.Connection) -> None:
    number = number_of(stored)
    store.write(f"parcel-{number}", ParcelRequested(number), expected_version=0, conn=tx)


# -- deadline


@fulfilment.handler
def set_deadline(stored: pgstore.StoredMessage[OrderPlaced], tx: psycopg.Connection) -> None:
    store.schedule(stored.stream, PaymentDue(), timedelta(days=1), conn=tx)


@fulfilment.handler
def cancel_unpaid(stored: pgstore.StoredMessage[PaymentDue], tx: psycopg.Connection) -> None:
    orders.decide(
        stored.stream,
        lambda order: OrderCancelled("not paid") if order.status == "placed" else None,
        conn=tx,
    )


# -- workers


def handle() -> None:
    store.run_once(overview, fulfilment)


# -- check


def old_order(number: str, customer: str, euros: int) -> None:
    data = msgspec.json.encode({"customer": customer, "euros": euros})
    store.raw.write(f"order-{number}", pgstore.RawMessage("OrderPlaced", data))


def two_days_later() -> None:
    store.deliver_scheduled(due_by=timedelta(days=2))
    handle()


def table() -> list[list[object]]:
    with store.transaction() as conn:
        rows = conn.execute("SELECT * FROM orders ORDER BY number").fetchall()
    return [list(row) for row in rows]


def parcels() -> list[list[object]]:
    found: list[list[object]] = []
    for stored in store.read_all(types=[ParcelRequested]):
        assert isinstance(stored.message, ParcelRequested)
        cause = store.get(uuid.UUID(stored.causation_id))
        of_payment = cause.stream == f"order-{stored.message.order}"
        of_payment = of_payment and isinstance(cause.message, OrderPaid)
        found.append([stored.message.order, stored.correlation_id, of_payment])
    return found


def state(number: str) -> list[object]:
    order = orders.load(f"order-{number}").state
    return [order.status, order.cents, order.received]


def version(number: str) -> int:
    return store.stream_version(f"order-{number}")


def state_is_kept(number: str) -> bool:
    with store.transaction() as conn:
        return bool(conn.execute("SELECT * FROM shop.snapshots").fetchall())


if __name__ == "__main__":
    check.answer(globals() | {"orders": table})
    store.close()
