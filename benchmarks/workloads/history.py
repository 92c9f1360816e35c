"""Big history: the same work in a store of a million messages and in one of thirty million.

The stores share a server, and are measured in turns. Together with their indexes they have to fit
into the machine's memory: 16 GB.

Only pgstore's own: each figure is compared with that of the smallest store. The messages of a
stream are spread over 100,000 positions, as those of streams are that live for a while beside
others: a stream that is read is not on one page.
"""

import random
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory

import psycopg

import pgstore
from benchmarks.agents import TaskFailed
from benchmarks.bench import Bench, Database
from benchmarks.contenders.pgstore import Pgstore
from benchmarks.payload import SAMPLE, TYPE, Deposited
from benchmarks.spread import IN_STREAM, RARE, fill
from benchmarks.workloads.batches import rate as batch_rate
from benchmarks.workloads.bytes import log_position
from benchmarks.workloads.growth import catch_up
from benchmarks.workloads.writes import begin, script
from benchmarks.workloads.writes import rate as write_rate
from pgstore import transfer

BATCH = 1_000
MORE = 100_000
READ_IN_ORDER = 200_000
READ_OF_CATEGORY = 5_000
"""Messages that are read: of a store that has fewer, half of them."""

NEWEST = 1_000_000
WHICH = (
    ("newest", "streams of the newest million messages", NEWEST),
    ("any", "any stream", 10**12),
)
"""The newest ones are as many in each store, and in `shared_buffers` before they are read."""

Work = Callable[[], float]

WRITE = f"SELECT pgstore.write_message('account-filled' || :stream, '{TYPE}', '{SAMPLE}');"
READ = "SELECT count(*) FROM pgstore.read_stream('account-filled' || :stream);"
LOOK = "SELECT pgstore.claim_partition('{idle}', worker => 'benchmark');"

names = (f"history-{n}" for n in count())


class Recent(Pgstore):
    """pgstore; what was written is counted after the filled messages, and looked for there.

    To count thirty million messages after each round would read them all, and leave them in memory
    instead of what is measured next.
    """

    def __init__(self, filled: int = 0) -> None:
        self.count = (
            f"SELECT {filled} + count(*) FROM pgstore.messages AS m"
            f" WHERE m.global_position > {filled}"
        )

    find = """
        SELECT count(*) FROM pgstore.messages AS m
        WHERE m.global_position > pgstore.last_position() - 200000
          AND m.data ->> 'reference' = %s"""


def run(bench: Bench) -> None:
    sizes = bench.sizes.history
    with bench.several([Recent()], len(sizes)) as databases:
        stores = {
            f"pgstore/{size}": database
            for size, database in zip(sizes, databases["pgstore"], strict=True)
        }
        for name, database in stores.items():
            print(f"  filled {name} in {fill(database, size_of(name)):.0f} s", flush=True)
            database.contender = Recent(size_of(name))
        History(bench, stores).measure()


def size_of(name: str) -> int:
    return int(name.partition("/")[2])


class History:
    """The figures, each of all stores."""

    def __init__(self, bench: Bench, stores: dict[str, Database]) -> None:
        self.bench = bench
        self.stores = stores

    def measure(self) -> None:
        # The order counts: what follows the filling first, before anything is vacuumed.
        self._once("vacuum-first", "The first VACUUM", timed("VACUUM pgstore.messages"), "s")
        self._once("analyze", "ANALYZE", timed("ANALYZE pgstore.messages"), "s")
        self._once("table", "Table", relation("pg_table_size", "messages"), "bytes/message")
        self._once("index", "Indexes", relation("pg_indexes_size", "messages"), "bytes/message")
        streams = relation("pg_total_relation_size", "streams")
        self._once("streams", "Streams, with their indexes", streams, "bytes/message")
        for database in self.stores.values():
            begin(database, self.bench.sizes.streams)
            made_idle(database)
            database.settle()
        self._writes()
        self._reads()
        self._consumers()
        self._upkeep()

    def _writes(self) -> None:
        sizes = self.bench.sizes
        clients = max(sizes.pgbench_clients)

        def by_client(_: str, database: Database) -> Work:
            return lambda: write_rate(database, 1, sizes.seconds, sizes.streams)

        def by_pgbench(_: str, database: Database) -> Work:
            text = script(database, sizes.streams)
            return lambda: database.pgbench(text, clients, sizes.seconds)

        def to_streams(of_newest: int) -> Callable[[str, Database], Work]:
            def work(name: str, database: Database) -> Work:
                text = f"{any_stream(name, of_newest)}{WRITE}\n"
                return lambda: database.pgbench(text, 1, sizes.seconds)

            return work

        def in_batches(_: str, database: Database) -> Work:
            return lambda: batch_rate(database, "batches", BATCH, sizes.batch_seconds)

        self._rates("client", "Single writes by the store's client, 1 client", by_client)
        self._rates("writes", f"Single writes by pgbench, {clients} clients", by_pgbench)
        for key, which, newest in WHICH:
            title = f"Single writes to {which}, by pgbench, 1 client"
            self._rates(f"writes-{key}", title, to_streams(newest))
        self._rates("batches", f"Batches of {BATCH:,}, one client", in_batches)
        log = log_of(sizes.seconds, clients, sizes.streams)
        self._once(
            "log",
            "Write-ahead log of single writes, right after a checkpoint",
            log,
            "bytes/message",
        )

    def _reads(self) -> None:
        def of_streams(of_newest: int) -> Callable[[str, Database], Work]:
            def work(name: str, database: Database) -> Work:
                text = f"{any_stream(name, of_newest)}{READ}\n"

                def once() -> float:
                    if of_newest == NEWEST:
                        remember_newest(name, database)
                    # The indexes too: the other stores were measured meanwhile.
                    database.pgbench(text, 1, self.bench.sizes.seconds, writes=False)
                    return database.pgbench(text, 1, self.bench.sizes.seconds, writes=False)

                return once

            return work

        for key, which, newest in WHICH:
            title = f"Reads of {which}, of {IN_STREAM} messages, by pgbench, 1 client"
            self._rates(f"reads-{key}", title, of_streams(newest), "streams/s")
        self._rates("all", "Read in global order, from any position", in_order)
        self._rates("category", f"Read a category of one stream in {RARE}", of_category)

    def _consumers(self) -> None:
        def idle(_: str, database: Database) -> Work:
            return lambda: database.pgbench(f"{LOOK}\n", 1, self.bench.sizes.seconds, writes=False)

        self._rates("claim", "Look for work when there is none, by pgbench", idle, "looks/s")
        self._rates("catch-up", "Catch-up of the last 10,000", catch_up)
        self._rates("sweep", "A new subscription of 8 partitions, its first messages", sweep)

    def _upkeep(self) -> None:
        more = f"VACUUM after {MORE:,} more messages"
        self._once("vacuum", more, vacuum_after_more, "s", rounds=self.bench.sizes.rounds)
        self._once("verify", "pgstore verify", verified, "messages/s")
        first, *_ = self.stores
        smallest = {first: self.stores[first]}
        for key, title, work in (
            ("dump", "pg_dump, custom format", dumped_by("default")),
            ("dump-plain", "pg_dump, custom format, not compressed", dumped_by("none")),
            ("export", "pgstore export, .jsonl.gz", exported),
        ):
            self._once(key, title, work, "bytes/message", on=smallest)

    def _rates(
        self,
        key: str,
        title: str,
        work: Callable[[str, Database], Work],
        unit: str = "messages/s",
    ) -> None:
        self.bench.measure(
            f"history/{key}",
            title,
            unit,
            {name: work(name, database) for name, database in self.stores.items()},
            on=self.stores,
            limit=None,
        )

    def _once(
        self,
        key: str,
        title: str,
        work: Callable[[str, Database], Work],
        unit: str,
        rounds: int = 1,
        on: dict[str, Database] | None = None,
    ) -> None:
        """What is measured as it is, without a VACUUM before it."""
        self.bench.measure(
            f"history/{key}",
            title,
            unit,
            {name: work(name, database) for name, database in (on or self.stores).items()},
            better="higher" if unit == "messages/s" else "lower",
            rounds=rounds,
            limit=None,
        )


def any_stream(name: str, of_newest: int) -> str:
    """pgbench's choice of a filled stream, of those of the category `account`."""
    end = size_of(name) // IN_STREAM // RARE
    start = max(0, end - of_newest // IN_STREAM // RARE)
    return f"\\set stream random({start}, {end - 1}) * {RARE} + random(1, {RARE - 1})\n"


def remember_newest(name: str, database: Database) -> None:
    """Have the newest of the filled messages in memory, as readers of a store in use do."""
    last = size_of(name)
    database.execute(
        "SELECT count(m.data) FROM pgstore.messages AS m"
        f" WHERE m.global_position > {last - NEWEST} AND m.global_position <= {last}"
    )


def timed(statement: str) -> Callable[[str, Database], Work]:
    def work(_: str, database: Database) -> Work:
        def once() -> float:
            start = time.monotonic()
            database.execute(statement)
            return time.monotonic() - start

        return once

    return work


def relation(size: str, table: str) -> Callable[[str, Database], Work]:
    def work(name: str, database: Database) -> Work:
        return lambda: database.value(f"SELECT {size}('pgstore.{table}')") / size_of(name)

    return work


def log_of(seconds: float, clients: int, streams: int) -> Callable[[str, Database], Work]:
    def work(_: str, database: Database) -> Work:
        def once() -> float:
            database.settle()
            before, written = log_position(database), database.written
            database.pgbench(script(database, streams), clients, seconds)
            return (log_position(database) - before) / (database.written - written)

        return once

    return work


def made_idle(database: Database) -> None:
    """Have a subscription `idle` that has handled everything, and reads what is never written."""
    database.execute("SELECT pgstore.create_subscription('idle', categories => '{never}')")
    database.execute("SELECT pgstore.rewind_subscription('idle', pgstore.safe_position())")


def places(name: str) -> Iterator[float]:
    """Where to read, as shares of the store: the same in each run, another one each time."""
    chance = random.Random(name)
    while True:
        yield chance.random()


def in_order(name: str, database: Database) -> Work:
    """Read and decode messages from somewhere on."""
    wanted = min(READ_IN_ORDER, size_of(name) // 2)
    place = places(name)

    def once() -> float:
        after = int(next(place) * (size_of(name) - wanted))
        return read(database, wanted, after)

    return once


def of_category(name: str, database: Database) -> Work:
    wanted = min(READ_OF_CATEGORY, size_of(name) // RARE // 2)
    place = places(name)

    def once() -> float:
        after = int(next(place) * (size_of(name) - wanted * RARE))
        return read(database, wanted, after, "rare")

    return once


def read(
    database: Database, wanted: int, after_position: int, category: str | None = None
) -> float:
    with pgstore.MessageStore[Deposited](database.conninfo, messages=Deposited) as store:
        store.safe_position()  # connects
        start = time.perf_counter()
        found = len(
            list(store.read_all(after_position=after_position, max_count=wanted, category=category))
        )
        seconds = time.perf_counter() - start
    if found != wanted:
        raise TaskFailed(f"read {found} of {wanted}")
    return wanted / seconds


def sweep(name: str, database: Database) -> Work:
    """Claims, sweeps and fetches from the beginning of the store, until enough is handled."""
    expected = min(MORE, size_of(name) // 2)

    def once() -> float:
        subscription = next(names)
        database.agent.run("create_consumer", name=subscription, partitions=8)
        (result,) = database.agent.run(
            "catch_up", name=subscription, expected=expected, partitions=8
        )
        database.execute(f"SELECT pgstore.drop_subscription('{subscription}')")
        return float(result["count"] / result["seconds"])

    return once


def vacuum_after_more(name: str, database: Database) -> Work:
    more = min(MORE, size_of(name) // 2)

    def once() -> float:
        database.agent.run("fill", count=more, each=BATCH, name=f"{next(names)}-")
        database.verify(more, [])
        return timed("VACUUM pgstore.messages")(name, database)()

    return once


def verified(name: str, database: Database) -> Work:
    def once() -> float:
        with psycopg.connect(database.conninfo, autocommit=True) as conn:
            start = time.monotonic()
            failed = [check for check in transfer.verify(conn) if check.wrong]
            seconds = time.monotonic() - start
        if failed:
            raise TaskFailed(f"{name}: {failed}")
        return database.written / seconds

    return once


def dumped_by(compression: str) -> Callable[[str, Database], Work]:
    """What `pg_dump` gives. The payloads differ in a number only, so they compress very well."""
    options = [] if compression == "default" else ["--compress", compression]

    def work(_: str, database: Database) -> Work:
        def once() -> float:
            command = [str(database.bench.bin / "pg_dump"), "--format", "custom", *options]
            size = 0
            with Popen([*command, database.conninfo], stdout=PIPE) as process:
                assert process.stdout is not None
                while part := process.stdout.read(2**20):
                    size += len(part)
            if process.returncode:
                raise TaskFailed(f"pg_dump ended with {process.returncode}")
            return size / database.written

        return once

    return work


def exported(name: str, database: Database) -> Work:
    def once() -> float:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "messages.jsonl.gz"
            with psycopg.connect(database.conninfo, autocommit=True) as conn:
                found = transfer.export_file(conn, path, store="pgstore")
            return path.stat().st_size / found.messages

    return once
