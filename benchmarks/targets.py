"""What pgstore is to reach, each as a ratio of figures of one run."""

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from benchmarks.figures import Figure, base
from benchmarks.record import Record

NOT_PEERS = {"raw", "echo", "notified", "floor", "skip-locked", "pgstore", "pgstore-grouped"}
NO_CLIENT = frozenset({"message-db"})
US = "pgstore"


class Target(msgspec.Struct, frozen=True):
    """A row of the table of targets; `value` is None if it was not measured."""

    what: str
    against: str
    relation: Literal["≥", "≤", ">"]
    bound: float
    value: float | None
    floor: float | None = None
    """What the same work reaches with nothing around it, where that was measured."""

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        if self.relation == "≤":
            return self.value <= self.bound
        return self.value >= self.bound if self.relation == "≥" else self.value > self.bound


def targets(record: Record) -> list[Target]:
    """Every target, with what the run found."""
    return [
        Target(
            *(row.what, row.against, row.relation, row.bound),
            *(ratio(record.figure(row.key), of) for of in (row.of, row.floor)),
        )
        for row in _rows(record)
    ]


Ratio = Callable[[Figure], float | None]


class Row(msgspec.Struct, frozen=True):
    """A target before it is measured: the figure it is about, and the ratio of what it holds."""

    what: str
    against: str
    relation: Literal["≥", "≤", ">"]
    bound: float
    key: str
    of: Ratio
    floor: Ratio | None = None


def ratio(figure: Figure | None, of: Ratio | None) -> float | None:
    return None if figure is None or of is None else of(figure)


def share_of(other: str, mine: str = US) -> Ratio:
    """How good pgstore is against another contender: 1 is as good."""

    def of(figure: Figure) -> float | None:
        both = mine in figure.rounds and other in figure.rounds
        return figure.share(mine, other) if both else None

    return of


def times(mine: str, other: str) -> Ratio:
    """How many times the other's value."""

    def of(figure: Figure) -> float | None:
        both = mine in figure.rounds and other in figure.rounds
        return figure.times(mine, other) if both else None

    return of


def best_peer(
    figure: Figure, *, without: frozenset[str] = frozenset(), mine: str = US
) -> float | None:
    others = NOT_PEERS | without
    best = figure.best(without={name for name in figure.rounds if base(name) in others})
    return share_of(best, mine)(figure) if best else None


def best_client(figure: Figure) -> float | None:
    """Against the best peer that has a client, or consumers: Message DB's are loops of ours."""
    return best_peer(figure, without=NO_CLIENT)


def best_grouped(figure: Figure) -> float | None:
    return best_peer(figure, mine="pgstore-grouped")


def limit_of_best_peer(figure: Figure) -> float | None:
    return best_peer(figure, mine="raw")


def limit_of_best_client(figure: Figure) -> float | None:
    return best_peer(figure, without=NO_CLIENT, mine="raw")


def named_best(record: Record, key: str) -> str:
    """Who the best peer with a client is."""
    figure = record.figure(key)
    others = NOT_PEERS | NO_CLIENT
    names = figure.rounds if figure else ()
    best = figure.best(without={n for n in names if base(n) in others}) if figure else None
    return f"the best peer, {title(record, best)}" if best else "the best peer"


def title(record: Record, name: str) -> str:
    """What a contender is called."""
    return record.contenders.get(name, {}).get("title") or name


def memory_growth(record: Record) -> Ratio:
    """Peak memory of the largest read in MB more than of the smaller one."""

    def of(largest: Figure) -> float | None:
        smallest = min(_of_workload(record, "reads/memory/"), key=size_of)
        if size_of(smallest) == size_of(largest) or US not in largest.rounds:
            return None
        return largest.median(US) - smallest.median(US)

    return of


def times_alone(record: Record) -> Ratio:
    """How many times the catch-up of one partition, with empty handlers too."""

    def of(figure: Figure) -> float | None:
        alone = record.figure("catch-up/plain")
        if alone is None or US not in alone.rounds or US not in figure.rounds:
            return None
        return figure.median(US) / alone.median(US)

    return of


def _of_workload(record: Record, prefix: str) -> list[Figure]:
    return [each for each in record.figures if each.key.startswith(prefix)]


def size_of(figure: Figure) -> int:
    """The number at the end of a figure's key."""
    return int(figure.key.rpartition("/")[2])


def _largest(record: Record, prefix: str) -> str:
    found = _of_workload(record, prefix)
    return max(found, key=size_of).key if found else ""


def _variants(record: Record, key: str) -> tuple[str, str]:
    """The first and the last variant of pgstore in a figure, by number."""
    figure = record.figure(key)
    names = [name for name in (figure.rounds if figure else {}) if base(name) == US]
    names.sort(key=lambda name: int(name.partition("/")[2]))
    return (names[0], names[-1]) if names else ("", "")


def _rows(record: Record) -> Iterator[Row]:
    yield from _writes(record)
    yield from _applications(record)
    yield from _batches_and_reads(record)
    yield from _subscriptions(record)
    yield from _costs(record)


def _writes(record: Record) -> Iterator[Row]:
    most = _largest(record, "writes/pgbench/spread/")
    slow = _largest(record, "writes-slow-disk/pgbench/spread/")
    raw, floor = share_of("raw"), share_of("raw", "floor")
    clients = f"{most.rpartition('/')[2] or 32} clients"
    alone = "writes/pgbench/spread/1"
    yield Row("Single writes, pgbench, 1 client", "INSERT", "≥", 0.7, alone, raw, floor)
    yield Row(f"Single writes, pgbench, {clients}", "INSERT", "≥", 0.75, most, raw, floor)
    several, spread = "writes/pgbench/spread/8", "message-db-categories"
    what, against = "Single writes, pgbench, 8 clients", "Message DB, in 1,000 categories"
    yield Row(what, against, ">", 1, several, share_of(spread), share_of(spread, "floor"))
    what = f"The same, {clients}, a flush takes 1 ms"
    yield Row(what, "INSERT", "≥", 0.75, slow, raw, floor)
    for peer in ("depeche", "message-db"):
        against = f"{title(record, peer)}, in one category"
        yield Row(what, against, "≥", 5, slow, share_of(peer), share_of(peer, "floor"))
    by_clients = _largest(record, "writes-slow-disk/clients/spread/")
    for peer in ("depeche", "message-db", "eventsourcing", "emmett"):
        what = "The same by the stores' clients"
        against = f"{title(record, peer)}, which has a global order"
        yield Row(what, against, ">", 1, by_clients, share_of(peer), share_of(peer, "raw"))


def _applications(record: Record) -> Iterator[Row]:
    what, against, key = "One Python client", "prepared psycopg INSERT", "writes/clients/spread/1"
    yield Row(what, against, "≥", 0.8, key, share_of("raw"))
    what, key = "32 Python clients", "writes/clients/spread/32"
    yield Row(what, against, "≥", 0.8, key, share_of("raw"))
    what, against = "One Python client over TCP", "Message DB's bare function"
    bare = "message-db"
    key = "application/processes/1"
    yield Row(what, against, "≥", 1, key, share_of(bare), share_of(bare, "raw"))
    recorder = "eventsourcing-aggregates"
    for workload, disk in (
        ("application", ""),
        ("application-slow-disk", ", a flush takes 1 ms"),
    ):
        key = _largest(record, f"{workload}/threads/")
        what, against = "Processes of 8 threads over TCP", "eventsourcing's aggregate recorder"
        limit = share_of(recorder, "raw")
        yield Row(f"{what}{disk}", against, "≥", 1, key, share_of(recorder), limit)
        grouped = share_of(recorder, "pgstore-grouped")
        yield Row(f"{what}{disk}, grouped", against, "≥", 1, key, grouped, limit)

    for workload, disk in (
        ("application", ""),
        ("application-slow-disk", ", a flush takes 1 ms"),
    ):
        key = f"{workload}/tasks/32"
        what = f"One process of 32 tasks{disk}, grouped"
        against = "one INSERT a transaction"
        yield Row(what, against, "≥", 2, key, share_of("raw", "pgstore-grouped"))
        yield Row(what, "the best peer", "≥", 5, key, best_grouped, limit_of_best_peer)
    what, against = "A lone write, grouped, 99th percentile", "not grouped"
    yield Row(what, against, "≤", 1.1, "application/lone/p99", times("pgstore-grouped", US))


def _batches_and_reads(record: Record) -> Iterator[Row]:
    raw = share_of("raw")
    what, key = "Batches of 1,000 from Python", "batches/1000"
    yield Row(what, "binary COPY", "≥", 0.8, key, raw, share_of("raw", "floor"))
    yield Row(what, "the best peer", "≥", 2.5, key, best_peer)
    what, key = "A stream read and decoded", "reads/stream"
    yield Row(what, "psycopg and msgspec", "≥", 0.85, key, raw)
    yield Row(what, named_best(record, key), "≥", 1.2, key, best_client, limit_of_best_client)
    bare = "Message DB's functions by bare psycopg: it has no client"
    peer = "message-db"
    yield Row(what, bare, "≥", 1, key, share_of(peer), share_of(peer, "raw"))
    everything = _largest(record, "reads/everything/")
    yield Row("Everything in order, decoded", "psycopg and msgspec", "≥", 0.85, everything, raw)
    what, key = "Its peak memory, ten times the messages", _largest(record, "reads/memory/")
    yield Row(what, "MB more", "≤", 5.0, key, memory_growth(record))


def _subscriptions(record: Record) -> Iterator[Row]:
    what, key = "Catch-up of a subscription", "catch-up/plain"
    yield Row(what, "plain paged read", "≥", 0.85, key, share_of("raw"))
    rows = "Catch-up with a row for each message"
    yield Row(rows, "the plain loop", "≥", 0.9, "catch-up/once", share_of("raw"))
    several, two = "Catch-up of 8 partitions by 2 processes", "catch-up/partitions/2"
    yield Row(several, "one partition", "≥", 1.5, two, times_alone(record), None)
    for how, key in (("1,000 at once", "plain"), ("their defaults", "defaults")):
        key = f"catch-up/{key}"
        against = named_best(record, key)
        yield Row(
            f"{what}, all with {how}", against, "≥", 30, key, best_client, limit_of_best_client
        )
    for part, name in (("p50", "median"), ("p99", "99th percentile")):
        what, key = f"From write to handler, idle, {name}", f"latency/idle/{part}"
        echo, floor = times(US, "echo"), times("notified", "echo")
        yield Row(what, "LISTEN/NOTIFY echo", "≤", 1.9, key, echo, floor)
        yield Row(what, "INSERT and NOTIFY", "≤", 1, key, times(US, "notified"))
    for kind, consumers in (("quiet", "of another category"), ("following", "of all messages")):
        key = f"consumers/{kind}"
        none, many = _variants(record, key)
        count = many.partition("/")[2]
        floor = times(f"raw/{count}", "raw/0")
        what = f"Writes with {count} consumers {consumers}"
        yield Row(what, "none", "≥", 0.9, key, times(many, none), floor)


def _costs(record: Record) -> Iterator[Row]:
    small, large = _variants(record, "growth/writes")
    sizes = [f"{int(name.partition('/')[2] or 0):,}" for name in (small, large)]
    limits = [name.replace(US, "raw") for name in (large, small)]
    what, key = f"Writes on {sizes[1]} messages", "growth/writes"
    yield Row(what, sizes[0], "≥", 0.9, key, times(large, small), times(*limits))
    held, floor = times(f"{US}/held", f"{US}/free"), times("raw/held", "raw/free")
    what = "Busy streams, a snapshot is held"
    yield Row(what, "none is held", "≥", 0.9, "snapshot", held, floor)
    for kind, name in (("wal", "Write-ahead log"), ("disk", "Disk")):
        what = f"{name} for a message"
        yield Row(what, "the raw table", "≤", 1.15, f"growth/{kind}", times(US, "raw"))
