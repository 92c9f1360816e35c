"""How much is measured: a full run, and a quick one that only sees whether figures come out."""

import msgspec


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of a run."""

    peers_in: frozenset[str]
    """Workloads that peers take part in; if empty, all."""
    rounds: int
    seconds: float
    """Of each timed round of writers."""
    python_clients: tuple[int, ...]
    pgbench_clients: tuple[int, ...]
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
    probes: int
    consumers: tuple[int, ...]
    order_seconds: float
    order_quiet: float
    """Seconds without any message after which a reader is taken to have seen all it will see."""
    order_writers: int
    growth: tuple[int, ...]
    single_messages: int
    """Messages that bytes are counted of."""


FULL = Sizes(
    peers_in=frozenset(),
    rounds=3,
    seconds=2,
    python_clients=(1, 8, 32),
    pgbench_clients=(1, 8, 32),
    streams=10_000,
    busy_streams=True,
    batches=(10, 100, 1_000, 10_000),
    batch_seconds=0.7,
    long_stream=10_000,
    everything=1_000_000,
    peers_everything=100_000,
    short_streams=1_000,
    catch_up=500_000,
    peers_catch_up=100_000,
    slow_catch_up=20_000,
    defaults_catch_up=2_000,
    rare_messages=5_000_000,
    probes=200,
    consumers=(0, 1, 10),
    order_seconds=8,
    order_quiet=3,
    order_writers=32,
    growth=(100_000, 1_000_000, 10_000_000),
    single_messages=10_000,
)

QUICK = Sizes(
    peers_in=frozenset({"writes", "catch-up", "order"}),
    rounds=1,
    seconds=0.2,
    python_clients=(2,),
    pgbench_clients=(2,),
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
    probes=5,
    consumers=(0, 1),
    order_seconds=0.5,
    order_quiet=1,
    order_writers=4,
    growth=(1_000, 10_000),
    single_messages=200,
)
