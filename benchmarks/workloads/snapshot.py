"""Busy streams while another session holds a snapshot: dead rows cannot be removed meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import psycopg

from benchmarks.bench import Bench, Database
from benchmarks.workloads.writes import HOT, rate

CONTENDERS = ("raw", "pgstore", "depeche", "message-db")


def run(bench: Bench) -> None:
    clients = max(bench.sizes.python_clients)
    chosen = [each for each in bench.offered("snapshot") if each.name in CONTENDERS]
    with bench.databases(chosen) as databases:

        def one(database: Database, held: bool) -> Callable[[], float]:
            def measured() -> float:
                with snapshot(database) if held else nullcontext():
                    return rate(database, clients, bench.sizes.seconds, HOT)

            return measured

        bench.measure(
            "snapshot",
            f"Writes by {clients} clients to {HOT} busy streams, a snapshot held or not",
            "messages/s",
            {
                f"{name}/{variant}": one(database, variant == "held")
                for name, database in databases.items()
                for variant in ("free", "held")
            },
            on=databases,
            limit=None,
        )


@contextmanager
def snapshot(database: Database) -> Iterator[None]:
    with psycopg.connect(database.conninfo) as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.execute("SELECT 1 FROM pg_class LIMIT 1")
        yield
        conn.rollback()
