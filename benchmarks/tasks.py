"""What the clients of a contender do, each in a process of its own.

A task is a generator: what comes before its `yield` is preparation, what comes after it is timed.
It returns its result. `shared` is a number that all clients of a task share.
"""

import random
import resource
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from benchmarks.contenders.contract import Client, Stop
from benchmarks.payload import Deposited, deposited

Result = dict[str, Any]
Task = Generator[None, None, Result]

PROBE = "XXX"
WARM_UP = 12
"""Writes: drivers prepare a statement, and servers keep its plan, after 5 to 10 executions."""


class Shared(Protocol):
    """A number of several processes."""

    value: int

    def get_lock(self) -> Any: ...


class Place:
    """Which client of a task this is."""

    def __init__(self, number: int, clients: int, stop: Stop, shared: Shared) -> None:
        self.number = number
        self.clients = clients
        self.stop = stop
        self.shared = shared

    def count(self, more: int) -> int:
        """Add to the number that all clients share."""
        with self.shared.get_lock():
            self.shared.value += more
            return self.shared.value

    def share(self, everything: range) -> range:
        """This client's part of something."""
        return everything[self.number :: self.clients]


def failure(error: Exception) -> Result:
    """What a client's process answers in the place of its result; the place is where it raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error}"[:300]
    return {"error": f"{text} ({last.name}, line {last.lineno})"}


def install(client: Client, place: Place) -> Task:
    yield
    client.install()
    return {}


def write(
    client: Client,
    place: Place,
    *,
    seconds: float,
    streams: int,
    category: str = "account",
    warm_up: int = WARM_UP,
    per_second: float = 0,
) -> Task:
    """Write single messages for some time, at most so many a second.

    To random streams, each client to its own; if there are fewer than clients, all to all.
    """
    chance = random.Random(place.number)
    mine = place.share(range(1, streams + 1)) if streams >= place.clients else range(1, streams + 1)
    for _ in range(warm_up):
        client.write(f"{category}-{chance.choice(mine)}", deposited())
    written, reference = 0, ""
    yield
    start = time.perf_counter()
    until = start + seconds
    while (now := time.perf_counter()) < until and not place.stop.is_set():
        if per_second and (ahead := start + written / per_second - now) > 0:
            time.sleep(ahead)
        fact = deposited()
        client.write(f"{category}-{chance.choice(mine)}", fact)
        reference = fact.reference
        written += 1
    elapsed = time.perf_counter() - start
    return {
        "written": written,
        "seconds": elapsed,
        "stored": written + warm_up,
        "reference": reference,
    }


def lone(client: Client, place: Place, *, count: int, streams: int) -> Task:
    """Write single messages to random streams, one after the other; the seconds that each took."""
    chance = random.Random(place.number)
    for _ in range(WARM_UP):
        client.write(f"account-{chance.randint(1, streams)}", deposited())
    times: list[float] = []
    yield
    for _ in range(count):
        fact, stream = deposited(), f"account-{chance.randint(1, streams)}"
        start = time.perf_counter()
        client.write(stream, fact)
        times.append(time.perf_counter() - start)
    return {"times": times, "stored": count + WARM_UP, "reference": fact.reference}


def batches(client: Client, place: Place, *, size: int, seconds: float, most: int = 10_000) -> Task:
    """Write batches of a size, each to a stream of its own; the time of each."""
    facts = [deposited(n) for n in range(size)]
    key = random.getrandbits(48)
    for n in range(2):
        client.write_many(f"warm-{key}-{n}", facts)
    times: list[float] = []
    yield
    until = time.perf_counter() + seconds
    while not times or (time.perf_counter() < until and len(times) < most):
        start = time.perf_counter()
        client.write_many(f"batch-{key}-{len(times)}", facts)
        times.append(time.perf_counter() - start)
    written = (len(times) + 2) * size
    return {"times": times, "stored": written, "reference": facts[-1].reference}


def copies(client: Any, place: Place, *, size: int, seconds: float) -> Task:
    """The raw limit of batches: a binary COPY of events that are encoded already."""
    from benchmarks.payload import encode

    facts = [deposited(n) for n in range(size)]
    ready = [encode(fact) for fact in facts]
    for _ in range(2):
        client.copy(client.rows("warm-1", ready))
    times: list[float] = []
    yield
    until = time.perf_counter() + seconds
    while not times or time.perf_counter() < until:
        rows = client.rows("batch-1", ready)  # bytes that are ready to be sent
        start = time.perf_counter()
        client.copy(rows)
        times.append(time.perf_counter() - start)
    stored = (len(times) + 2) * size
    return {"times": times, "stored": stored, "reference": facts[-1].reference}


def fill(
    client: Client,
    place: Place,
    *,
    count: int,
    each: int,
    category: str = "account",
    name: str = "filled",
) -> Task:
    """Write `count` messages, `each` of them to a stream; `amount` counts them from 1."""
    yield
    for first in place.share(range(1, count + 1, each)):
        facts = [deposited(n, f"{name}-{n}") for n in range(first, min(first + each, count + 1))]
        for start in range(0, each, 1_000):
            if part := facts[start : start + 1_000]:
                client.write_many(f"{category}-{name}{1 + (first - 1) // each}", part)
    return {}


def fill_singly(client: Client, place: Place, *, count: int, each: int) -> Task:
    """Write `count` single messages, `each` of them to a stream, one stream after the other."""
    yield
    for first in place.share(range(1, count + 1, each)):
        for n in range(first, min(first + each, count + 1)):
            client.write(f"account-single{1 + first // each}", deposited(n))
    return {}


def read(client: Client, place: Place, *, streams: Sequence[str], bare: bool = False) -> Task:
    """Read streams one after the other, decoded."""
    reader: Callable[[str], Any] = getattr(client, "read_bare" if bare else "read")
    for _ in reader(streams[0]):
        pass
    yield
    count = 0
    start = time.perf_counter()
    for stream in streams:
        for _ in reader(stream):
            count += 1
    return {"count": count, "seconds": time.perf_counter() - start}


def read_all(client: Client, place: Place) -> Task:
    """Read everything in order, decoded; the sum of amounts tells whether it was everything."""
    for _ in client.read("account-none"):  # connects
        pass
    yield
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = amount = 0
    start = time.perf_counter()
    for fact in client.read_all():
        count += 1
        amount += fact.amount
    elapsed = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"count": count, "amount": amount, "seconds": elapsed, "peak": peak * 1024}


def create_consumer(
    client: Client,
    place: Place,
    *,
    name: str,
    category: str | None = None,
    partitions: int = 1,
    at_end: bool = False,
) -> Task:
    yield
    client.create_consumer(name, category, partitions, at_end)
    return {}


def catch_up(
    client: Client,
    place: Place,
    *,
    name: str,
    expected: int,
    category: str | None = None,
    partitions: int = 1,
    once: bool = False,
    batch: int | None = 1_000,
) -> Task:
    """Handle what there is by a durable subscription, until the last message was handled."""
    count = amount = 0
    finished = 0.0
    client.batch = batch

    def handle(facts: list[Deposited]) -> None:
        nonlocal count, amount, finished
        count += len(facts)
        amount += sum([fact.amount for fact in facts])
        if place.count(len(facts)) >= expected:
            finished = time.perf_counter()
            place.stop.set()

    yield
    start = time.perf_counter()
    if once:
        client.consume_once(name, place.stop, handle)
    else:
        client.consume(name, handle, place.stop, category, partitions)
    # Of several clients one handles the last message, and tells the time.
    return {
        "count": count,
        "amount": amount,
        "seconds": finished - start if finished else 0.0,
    }


def consume(client: Client, place: Place, *, name: str, category: str | None = None) -> Task:
    """Handle what comes until stopped; the delays of probes, in seconds."""
    count = 0
    delays: list[float] = []

    def handle(facts: list[Deposited]) -> None:
        nonlocal count
        now = time.time()
        count += len(facts)
        place.count(len(facts))
        delays.extend([now - float(f.reference) for f in facts if f.currency == PROBE])

    yield
    client.consume(f"{name}-{place.number}", handle, place.stop, category, 1)
    return {"count": count, "delays": delays}


def probe(
    client: Client, place: Place, *, count: int, pause: float, category: str = "account"
) -> Task:
    """Write messages that hold the time of their writing, at random moments."""
    chance = random.Random(place.number)
    for _ in range(WARM_UP):
        client.write(f"{category}-probe", deposited())
    yield
    for n in range(count):
        time.sleep(pause * chance.uniform(0.5, 1.5))
        fact = deposited(n)
        fact.currency, fact.reference = PROBE, repr(time.time())
        client.write(f"{category}-probe", fact)
    return {"stored": count + WARM_UP}


def write_several(
    client: Client,
    place: Place,
    *,
    seconds: float,
    streams: int,
    per_second: float,
    most: int = 4,
) -> Task:
    """Write transactions of several streams, so many a second; references of what was committed."""
    chance = random.Random(place.number)
    written: list[str] = []
    yield
    start = time.perf_counter()
    turn = 0
    while time.perf_counter() < start + seconds:
        if (ahead := start + turn / per_second - time.perf_counter()) > 0:
            time.sleep(ahead * chance.uniform(0, 2))  # so that they do not march in step
        turn += 1
        chosen = sorted(chance.sample(range(streams), chance.randint(1, most)))
        facts = [deposited(n, f"{place.number}/{turn}/{n}") for n in range(len(chosen))]
        client.write_several([f"account-order{n}" for n in chosen], facts)
        written += [fact.reference for fact in facts]
    return {"references": written, "transactions": turn}


def follow(client: Client, place: Place, *, name: str | None = None) -> Task:
    """Follow the global order until stopped, by a subscription if it has a name."""
    seen: list[str] = []

    def handle(facts: list[Deposited]) -> None:
        seen.extend([fact.reference for fact in facts])
        place.count(len(facts))

    yield
    if name is None:
        client.follow(handle, place.stop)
    else:
        client.consume(name, handle, place.stop, None, 1)
    return {"references": seen}


def begin_streams(client: Client, place: Place, *, streams: int) -> Task:
    """Write one message to each stream."""
    yield
    for first in range(1, streams + 1, 100):
        numbers = range(first, min(first + 100, streams + 1))
        client.write_several([f"account-{n}" for n in numbers], [deposited() for _ in numbers])
    return {"stored": streams}


def fill_rare(client: Client, place: Place, *, count: int, every: int) -> Task:
    """Write `count` messages, of which one in `every` is of the category `rare`."""
    yield
    for n in range(1, count // every + 1):
        facts = [deposited(m, f"usual-{n}-{m}") for m in range(every - 1)]
        client.write_many(f"usual-{n}", facts)
        client.write(f"rare-{n}", deposited(n, f"rare-{n}"))
    return {}


TASKS: dict[str, Callable[..., Task]] = {
    task.__name__: task
    for task in (
        *(install, write, lone, batches, copies, fill, read, read_all, create_consumer, catch_up),
        *(consume, probe, write_several, follow, begin_streams, fill_rare, fill_singly),
    )
}
