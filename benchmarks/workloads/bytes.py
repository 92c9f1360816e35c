"""The bytes of a message, on disk and in the write-ahead log."""

from collections.abc import Callable

from benchmarks.bench import Bench, Database


def log_position(database: Database) -> float:
    return database.value("SELECT pg_current_wal_insert_lsn() - '0/0'")


def run(bench: Bench) -> None:
    """Disk and write-ahead log of single writes by the stores' clients, in streams of 10."""
    total = bench.sizes.single_messages
    found: dict[str, dict[str, float]] = {"disk": {}, "wal": {}}
    with bench.databases(bench.offered("bytes")) as databases:

        def one(database: Database) -> None:
            database.settle()
            size = database.value("SELECT pg_database_size(current_database())")
            before = log_position(database)
            database.agent.run("fill_singly", 4, count=total, each=10)
            name = database.contender.name
            found["wal"][name] = (log_position(database) - before) / total
            database.verify(total, [])
            database.execute("VACUUM")
            found["disk"][name] = (
                database.value("SELECT pg_database_size(current_database())") - size
            ) / total

        bench.each(databases, one)
    for kind, title in (("disk", "Disk"), ("wal", "Write-ahead log")):

        def of(name: str, kind: str = kind) -> Callable[[], float]:
            return lambda: found[kind][name]

        bench.measure(
            f"growth/{kind}",
            f"{title} for a message of 200 bytes, single writes, indexes included",
            "bytes/message",
            {name: of(name) for name in found[kind]},
            better="lower",
            rounds=1,
        )
