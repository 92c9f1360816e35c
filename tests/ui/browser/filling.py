"""A small shop's messages, for pages that have something to show."""

import json
import random
from typing import Any
from uuid import UUID

from pgstore import MessageStore, RawMessage

NAMES = ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Katherine Johnson", "Edsger Dijkstra"]
BOOKS = ["Kindred", "Emma", "Beloved", "Jazz", "Orlando", "Middlemarch", "Dune", "Ulysses"]


def evolve(state: dict[str, Any], message: RawMessage) -> dict[str, Any]:
    """The state of a stock: its last count, and how often it was counted."""
    times: int = state.get("times_counted", 0)
    counted: dict[str, Any] = json.loads(message.data)
    return state | counted | {"times_counted": times + 1}


# A program that makes states; its store is never connected.
STOCKS = {
    "stock": MessageStore[RawMessage]("host=nowhere.invalid", messages=RawMessage).decider(
        evolve, dict
    )
}


def fill(store: MessageStore[RawMessage], orders: int = 40) -> None:
    """Write orders, payments and parcels, each with the message that caused it."""
    drawn = random.Random(7)
    for number in range(1, orders + 1):
        correlation = f"request-{number:04}"
        customer, book = drawn.choice(NAMES), drawn.choice(BOOKS)
        price = drawn.randint(8, 40)
        order = f"order-{number:04}"
        placed = _write(
            store,
            order,
            "OrderPlaced",
            {
                "customer": {"name": customer, "id": NAMES.index(customer) + 1},
                "lines": [{"book": book, "count": drawn.randint(1, 3), "price": price}],
                "gift": drawn.random() < 0.2,
                "note": None,
            },
            correlation,
        )
        paid = _write(
            store,
            f"payment-{number:04}",
            "PaymentReceived",
            {"order": order, "amount": price, "method": drawn.choice(["card", "transfer"])},
            correlation,
            placed,
        )
        requested = _write(
            store,
            f"parcel-{number:04}",
            "ParcelRequested",
            {"order": order, "weight": round(drawn.random() * 4, 2)},
            correlation,
            paid,
        )
        _write(
            store,
            order,
            "OrderConfirmed",
            {"by": "shipping", "days": drawn.randint(1, 5)},
            correlation,
            paid,
        )
        count = {"warehouse": drawn.randint(0, 90), "shop": drawn.randint(0, 5)}
        stock = {"book": book, "counts": count, "by": drawn.choice(NAMES[:2]), "price": price}
        _write(store, f"stock-{book.lower()}", "StockCounted", stock, correlation, placed)
        if drawn.random() < 0.6:
            _write(
                store,
                f"parcel-{number:04}",
                "ParcelSent",
                {"carrier": drawn.choice(["DHL", "UPS", "Post"]), "tracking": f"T{number:08}"},
                correlation,
                requested,
            )


def _write(
    store: MessageStore[RawMessage],
    stream: str,
    type: str,
    data: Any,
    correlation: str,
    cause: UUID | None = None,
) -> UUID:
    metadata: dict[str, object] = {"correlation_id": correlation, "user": "shop"}
    if cause is not None:
        metadata["causation_id"] = str(cause)
    message = RawMessage(type, json.dumps(data).encode())
    store.write(stream, message, metadata=metadata)
    stored = store.last(stream)
    assert stored is not None
    return stored.message_id
