"""The stores that are compared, one module each; see contract.py."""

from importlib import import_module

from benchmarks.contenders.contract import Contender

CLASSES = {
    "raw": ("raw", "Raw"),
    "echo": ("notified", "Echo"),
    "notified": ("notified", "Notified"),
    "floor": ("raw", "Floor"),
    "skip-locked": ("queues", "SkipLocked"),
    "pgstore": ("pgstore", "Pgstore"),
    "pgstore-grouped": ("pgstore", "Grouped"),
    "depeche": ("depeche", "Depeche"),
    "message-db": ("message_db", "MessageDb"),
    "message-db-categories": ("message_db", "ManyCategories"),
    "eventsourcing": ("eventsourcing", "Eventsourcing"),
    "eventsourcing-aggregates": ("eventsourcing", "Aggregates"),
    "emmett": ("emmett", "Emmett"),
    "pgmq": ("queues", "Pgmq"),
    "procrastinate": ("queues", "Procrastinate"),
}


def named(name: str) -> Contender:
    module, cls = CLASSES[name]
    contender = getattr(import_module(f"{__name__}.{module}"), cls)()
    assert isinstance(contender, Contender)
    return contender
