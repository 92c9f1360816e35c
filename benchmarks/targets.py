"""What pgstore is to reach, each as a ratio of figures of one run."""

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from benchmarks.figures import Figure, base
from benchmarks.record import Record

NOT_PEERS = {"raw", "echo", "notified", "pgstore"}
NO_CLIENT = frozenset({"message-db"})
US = "pgstore"


class Target(msgspec.Struct, frozen=True):
    """A row of the table of targets; `value` is None if it was not measured."""

    what: str
    against: str
    relation: Literal["≥", "≤", ">"]
    bound: float
    value: float | None

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
        Target(what, against, relation, bound, ratio(record.figure(key), of) if key else None)
        for what, against, relation, bound, key, of in _rows(record)
    ]


Ratio = Callable[[Figure], float | None]
Row = tuple[str, str, Literal["≥", "≤", ">"], float, str, Ratio]


def ratio(figure: Figure | None, of: Ratio) -> float | None:
    return None if figure is None else of(figure)


def share_of(other: str) -> Ratio:
    """How good pgstore is against another contender: 1 is as good."""

    def of(figure: Figure) -> float | None:
        both = US in figure.rounds and other in figure.rounds
        return figure.share(US, other) if both else None

    return of


def times(mine: str, other: str) -> Ratio:
    """How many times the other's value."""

    def of(figure: Figure) -> float | None:
        both = mine in figure.rounds and other in figure.rounds
        return figure.times(mine, other) if both else None

    return of


def best_peer(figure: Figure, *, without: frozenset[str] = frozenset()) -> float | None:
    others = NOT_PEERS | without
    best = figure.best(without={name for name in figure.rounds if base(name) in others})
    return share_of(best)(figure) if best else None


def best_client(figure: Figure) -> float | None:
    """Against the best peer that has a client, or consumers: Message DB's are loops of ours."""
    return best_peer(figure, without=NO_CLIENT)


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
    most = _largest(record, "writes/pgbench/spread/")
    slow = _largest(record, "writes-slow-disk/pgbench/spread/")
    raw = share_of("raw")
    clients = f"{most.rpartition('/')[2] or 32} clients"
    yield "Single writes, pgbench, 1 client", "INSERT", "≥", 0.7, "writes/pgbench/spread/1", raw
    yield f"Single writes, pgbench, {clients}", "INSERT", "≥", 0.75, most, raw
    yield f"The same, {clients}, a flush takes 1 ms", "INSERT", "≥", 0.75, slow, raw
    for peer in ("depeche", "message-db"):
        what = f"The same, {clients}, a flush takes 1 ms"
        yield what, f"{title(record, peer)}, in one category", "≥", 5, slow, share_of(peer)
    by_clients = _largest(record, "writes-slow-disk/clients/spread/")
    for peer in ("depeche", "message-db", "eventsourcing", "emmett"):
        what = "The same by the stores' clients"
        against = f"{title(record, peer)}, which has a global order"
        yield what, against, ">", 1, by_clients, share_of(peer)
    yield (
        *("Single writes from Python, 1 client", "prepared psycopg INSERT", "≥", 0.75),
        *("writes/clients/spread/1", raw),
    )
    yield "Batches of 1,000 from Python", "binary COPY", "≥", 0.8, "batches/1000", raw
    yield "Batches of 1,000 from Python", "the best peer", "≥", 1.5, "batches/1000", best_peer
    yield "A stream read and decoded", "psycopg and msgspec", "≥", 0.85, "reads/stream", raw
    client = named_best(record, "reads/stream")
    yield "A stream read and decoded", client, "≥", 1.2, "reads/stream", best_client
    what = "Message DB's functions by bare psycopg: it has no client"
    yield "A stream read and decoded", what, "≥", 1.2, "reads/stream", share_of("message-db")
    everything = _largest(record, "reads/everything/")
    yield "Everything in order, decoded", "psycopg and msgspec", "≥", 0.85, everything, raw
    yield (
        *("Its peak memory, ten times the messages", "MB more", "≤", 5.0),
        *(_largest(record, "reads/memory/"), memory_growth(record)),
    )
    yield "Catch-up of a subscription", "plain paged read", "≥", 0.6, "catch-up/plain", raw
    what, key = "Catch-up of a subscription, all with 1,000 at once", "catch-up/plain"
    yield what, named_best(record, key), "≥", 30, key, best_client
    what, key = "Catch-up of a subscription, all with their defaults", "catch-up/defaults"
    yield what, named_best(record, key), "≥", 30, key, best_client
    for part, name in (("p50", "median"), ("p99", "99th percentile")):
        what = f"From write to handler, idle, {name}"
        yield what, "LISTEN/NOTIFY echo", "≤", 1.5, f"latency/idle/{part}", times(US, "echo")
    for kind, consumers in (("quiet", "of another category"), ("following", "of all messages")):
        key = f"consumers/{kind}"
        none, many = _variants(record, key)
        count = many.partition("/")[2]
        yield f"Writes with {count} consumers {consumers}", "none", "≥", 0.9, key, times(many, none)
    small, large = _variants(record, "growth/writes")
    sizes = [f"{int(name.partition('/')[2] or 0):,}" for name in (small, large)]
    yield f"Writes on {sizes[1]} messages", sizes[0], "≥", 0.9, "growth/writes", times(large, small)
    held = times(f"{US}/held", f"{US}/free")
    yield "Busy streams, a snapshot is held", "none is held", "≥", 0.9, "snapshot", held
    for kind, name in (("wal", "Write-ahead log"), ("disk", "Disk")):
        what = f"{name} for a message"
        yield what, "the raw table", "≤", 1.15, f"growth/{kind}", times(US, "raw")
