"""Growth: the same work on 100,000 messages and on millions, and the bytes of each message."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench, Database
from benchmarks.workloads.writes import script

SHORT = 100


def run(bench: Bench) -> None:
    bytes_of_messages(bench)
    sizes = bench.sizes.growth
    own = [each for each in bench.offered("growth") if each.fill(10)]
    stores: dict[str, Database] = {}
    with bench.several(own, len(sizes)) as databases:
        for contender in own:
            for size, database in zip(sizes, databases[contender.name], strict=True):
                if contender.name == "raw" and size > sizes[0] * 10:
                    continue
                bulk_fill(database, size)
                stores[f"{contender.name}/{size}"] = database
        written: dict[str, int] = {}
        bench.measure(
            "growth/writes",
            f"Writes by pgbench, {clients(bench)} clients, on so many messages",
            "messages/s",
            {name: writes(bench, database, name, written) for name, database in stores.items()},
            limit=None,
        )
        bench.measure(
            "growth/reads",
            f"Read {SHORT} streams of 10, on so many messages",
            "messages/s",
            {name: reads(database, name) for name, database in stores.items()},
            limit=None,
        )
        bench.measure(
            "growth/catch-up",
            "Catch-up of the last messages, on so many messages",
            "messages/s",
            {name: catch_up(database, name, written) for name, database in stores.items()},
            limit=None,
            rounds=1,
        )


def clients(bench: Bench) -> int:
    return max(bench.sizes.pgbench_clients)


def bulk_fill(database: Database, size: int) -> None:
    *parts, end = database.contender.fill(size)
    with ThreadPoolExecutor() as pool:
        list(pool.map(database.execute, parts))
    database.execute(end)
    database.written = size
    database.settle()


def writes(
    bench: Bench, database: Database, name: str, written: dict[str, int]
) -> Callable[[], float]:
    text = script(database, bench.sizes.streams)
    database.agent.run("create_consumer", name=f"growth-{name}", at_end=True)
    database.pgbench(text, clients(bench), 1)  # warms up

    def once() -> float:
        before = database.written
        found = database.pgbench(text, clients(bench), bench.sizes.seconds)
        written[name] = written.get(name, 0) + database.written - before
        return found

    return once


def reads(database: Database, name: str) -> Callable[[], float]:
    size = int(name.partition("/")[2])
    streams = [f"account-filled{n}" for n in range(1, size // 10 + 1, max(1, size // 10 // SHORT))]

    def once() -> float:
        (result,) = database.agent.run("read", streams=streams[:SHORT])
        if result["count"] != SHORT * 10:
            raise TaskFailed(f"{name}: read {result['count']} of {SHORT * 10}")
        return float(result["count"] / result["seconds"])

    return once


def catch_up(database: Database, name: str, written: dict[str, int]) -> Callable[[], float]:
    def once() -> float:
        (result,) = database.agent.run("catch_up", name=f"growth-{name}", expected=written[name])
        return float(result["count"] / result["seconds"])

    return once


def bytes_of_messages(bench: Bench) -> None:
    """Disk and write-ahead log of single writes by one client, in streams of 10."""
    total = bench.sizes.single_messages
    found: dict[str, dict[str, float]] = {"disk": {}, "wal": {}}
    with bench.databases(bench.offered("growth")) as databases:

        def one(database: Database) -> None:
            database.settle()
            size = database.value("SELECT pg_database_size(current_database())")
            wal = database.value("SELECT pg_current_wal_insert_lsn() - '0/0'")
            database.agent.run("fill_singly", 4, count=total, each=10)
            name = database.contender.name
            found["wal"][name] = (
                database.value("SELECT pg_current_wal_insert_lsn() - '0/0'") - wal
            ) / total
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
