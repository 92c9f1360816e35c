"""Batches of events of other classes than msgspec's: a task for pgstore's clients."""

import dataclasses
import random
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from benchmarks.payload import NOTE
from benchmarks.tasks import Place, Task


def struct() -> type[Any]:
    return msgspec.defstruct("Deposited", FIELDS)


def struct_with_id() -> type[Any]:
    """One that brings its message id."""
    from pgstore import new_message_id

    fields = [*FIELDS, ("message_id", UUID, msgspec.field(default_factory=new_message_id))]
    return msgspec.defstruct(
        "Deposited", fields, namespace={"get_message_id": lambda self: self.message_id}
    )


def dataclass() -> type[Any]:
    return dataclasses.make_dataclass("Deposited", FIELDS)


def attrs() -> type[Any]:
    from attrs import field, make_class

    cls: type[Any] = make_class("Deposited", {name: field(type=cls) for name, cls in FIELDS})
    return cls


def pydantic() -> type[Any]:
    from pydantic import create_model

    fields: dict[str, Any] = {name: (cls, ...) for name, cls in FIELDS}
    model: type[Any] = create_model("Deposited", **fields)
    return model


FIELDS: list[Any] = [("amount", int), ("currency", str), ("reference", str), ("note", str)]
KINDS: dict[str, Callable[[], type[Any]]] = {
    "msgspec Struct": struct,
    "msgspec Struct with get_message_id()": struct_with_id,
    "msgspec Struct, each with metadata": struct,
    "dataclass": dataclass,
    "attrs class": attrs,
    "pydantic model": pydantic,
}


def batches_of_kind(client: Any, place: Place, *, kind: str, size: int, seconds: float) -> Task:
    """Write batches of new events of a class, each to a stream of its own; the time of each."""
    from pgstore import MessageStore

    cls = KINDS[kind]()
    key = random.getrandbits(48)
    times: list[float] = []
    with MessageStore(client.conninfo, messages=cls) as store:

        def write(number: int) -> None:
            facts = [
                cls(amount=n, currency="EUR", reference=f"{key}-{number}-{n}", note=NOTE)
                for n in range(size)
            ]
            metadata = [{"user": f"ada-{n}"} for n in range(size)] if "metadata" in kind else None
            start = time.perf_counter()
            store.write_many(f"kind-{key}-{number}", facts, metadata=metadata)
            times.append(time.perf_counter() - start)

        for number in range(2):
            write(number)
        yield
        until = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < until:
            write(len(times))
    reference = f"{key}-{len(times) - 1}-{size - 1}"
    return {"times": times[2:], "stored": len(times) * size, "reference": reference}
