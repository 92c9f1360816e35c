"""How much is measured: a full run, and a quick one that only sees whether figures come out."""

import msgspec


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of a run."""

    peers_in: frozenset[str]
    """Workloads that peers take part in; if empty, all."""
    rounds: int
    settles: bool
    """Whether tables are vacuumed, and all is flushed, before something is timed."""
    seconds: float
    """Of each timed round of writers."""
    python_clients: tuple[int, ...]
    pgbench_clients: tuple[int, ...]
    slow_clients: tuple[int, ...]
    """Both kinds, where a flush takes 1 ms."""
    processes: int
    threads: int
    """Of each of the processes."""
    tasks: tuple[int, ...]
    """Of one process."""
    lone_writes: int
    """Of one client, each of them timed."""
    streams: int
    busy_streams: bool
    """Whether single writes are measured on few busy streams too."""
    batches: tuple[int, ...]
    batch_seconds: float
    long_stream: int
    everything: int
    peers_everything: int
    """How many messages a peer is filled with for the same, if that is less."""
    short_streams: int
    catch_up: int
    peers_catch_up: int
    slow_catch_up: int
    """The same for those that keep a checkpoint for each message."""
    defaults_catch_up: int
    rare_messages: int
    jobs: int
    """Jobs that a worker takes one after the other; ten times as many where it takes several."""
    probes: int
    consumers: tuple[int, ...]
    order_seconds: float
    order_quiet: float
    """Seconds without any message after which a reader is taken to have seen all it will see."""
    order_writers: int
    growth: tuple[int, ...]
    history: tuple[int, ...]
    """Of a store each; multiples of 1,000, and of a million if they are above."""
    writers: tuple[int, ...]
    """Of the chart of writers, by pgbench."""
    single_messages: int
    """Messages that bytes are counted of."""


FULL = Sizes(
    peers_in=frozenset(),
    rounds=5,
    settles=True,
    seconds=1,
    python_clients=(1, 32),
    pgbench_clients=(1, 8, 32),
    slow_clients=(32,),
    processes=4,
    threads=8,
    tasks=(32, 200),
    lone_writes=2_000,
    streams=10_000,
    busy_streams=True,
    batches=(10, 100, 1_000),
    batch_seconds=0.4,
    long_stream=10_000,
    everything=1_000_000,
    peers_everything=100_000,
    short_streams=500,
    catch_up=200_000,
    peers_catch_up=20_000,
    slow_catch_up=5_000,
    defaults_catch_up=1_000,
    rare_messages=1_000_000,
    jobs=1_000,
    probes=80,
    consumers=(0, 10),
    order_seconds=4,
    order_quiet=2,
    order_writers=32,
    growth=(10_000, 100_000, 1_000_000, 10_000_000),
    history=(1_000_000, 5_000_000, 30_000_000),
    writers=(1, 2, 4, 8, 16, 32, 64),
    single_messages=10_000,
)

QUICK = Sizes(
    peers_in=frozenset({"writes", "catch-up", "order", "jobs", "application"}),
    rounds=1,
    settles=False,
    seconds=0.2,
    python_clients=(2,),
    pgbench_clients=(2,),
    slow_clients=(2,),
    processes=2,
    threads=2,
    tasks=(4,),
    lone_writes=20,
    streams=100,
    busy_streams=False,
    batches=(10, 100),
    batch_seconds=0.05,
    long_stream=1_000,
    everything=10_000,
    peers_everything=1_000,
    short_streams=20,
    catch_up=2_000,
    peers_catch_up=200,
    slow_catch_up=200,
    defaults_catch_up=100,
    rare_messages=10_000,
    jobs=50,
    probes=5,
    consumers=(0, 1),
    order_seconds=0.5,
    order_quiet=1,
    order_writers=4,
    growth=(1_000, 10_000),
    history=(2_000, 6_000),
    writers=(1, 2),
    single_messages=200,
)
