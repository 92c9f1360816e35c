"""Subscriptions, their partitions and the horizon, as pages show them."""

from collections import Counter
from datetime import datetime

import msgspec

from pgstore._core.progress import reads, time_left
from pgstore._core.subscriptions import ParkedMessage, State
from pgstore.errors import StandbyError
from pgstore.ui import operations, samples
from pgstore.ui.pages import Page
from pgstore.ui.problems import Refusal
from pgstore.ui.samples import Place

# The state that needs attention most comes first.
STATES: tuple[State, ...] = ("stopped", "retrying", "paused", "waiting", "working", "idle")

# Open transactions that have written, on a page.
_WRITERS = 20

# Points of a line in a list.
_POINTS = 60


class Subscription(msgspec.Struct, frozen=True):
    """A row of `list_subscriptions`."""

    name: str
    categories: list[str] | None
    types: list[str] | None
    stream_pattern: str | None
    metadata: str | None
    tags: list[str] | None
    partition_by: str
    on_failure: str
    max_attempts: int
    retry_delay: float
    partitions: int
    next_partitions: int | None
    paused: bool
    created_at: datetime

    @property
    def reads(self) -> str:
        """Its filters, in words."""
        return reads(msgspec.structs.asdict(self))


class Overview(Subscription, frozen=True):
    """A subscription with its partitions summed up."""

    state: State
    position: int
    behind: int
    seconds: float | None
    states: list[State]
    workers: list[str] | None
    error: str | None
    parked: int | None


class Partition(Place, frozen=True):
    """A partition of a subscription."""

    state: State
    worker: str | None
    leased_until: datetime | None
    retry_at: datetime | None
    attempts: int
    failed_position: int | None
    error: str | None

    @property
    def has_failed(self) -> bool:
        """Whether a message has failed that was not handled since."""
        return self.failed_position is not None and self.state != "idle" and self.error is not None

    @property
    def can_retry(self) -> bool:
        """Whether a message waits for another attempt."""
        return self.has_failed and self.state in ("stopped", "retrying", "paused")


class Parked(ParkedMessage, frozen=True):
    """A message that was put aside; `total` is how many there are from this one on."""

    total: int


class Writer(msgspec.Struct, frozen=True):
    """An open transaction that has written."""

    pid: int | None
    prepared: str | None
    seconds: float | None
    role: str | None
    application: str | None
    state: str | None
    after_position: int
    waiting: int
    may_write: bool | None


class Horizon(msgspec.Struct, frozen=True):
    """How far the store can be read in its order, and the transactions that hold that back."""

    safe: int | None
    last: int | None
    in_flight: bool | None
    writers: list[Writer] | None = None
    problem: str = ""


async def subscription_of(page: Page, name: str) -> Subscription:
    """The subscription of a name; a page that says so if there is none."""
    found = await page.console.read(Subscription, operations.SUBSCRIPTION, name)
    if not found:
        raise absent()
    return found[0]


def absent() -> Refusal:
    """There is no subscription of this name, or no more."""
    return Refusal.of_absence(
        "There is no such subscription",
        "It may have been dropped, or its program has not run yet.",
        "Look at the list of subscriptions.",
    )


async def partitions_of(page: Page, name: str) -> list[Partition]:
    """The partitions of a subscription."""
    reads = page.may("all_messages")
    statement = operations.PARTITIONS if reads else operations.PARTITIONS_ALONE
    found = await page.console.read(Partition, statement, name, samples.PARTITIONS)
    if not found:  # it was dropped a moment ago
        raise absent()
    late = page.console.samples.seconds
    return [msgspec.structs.replace(each, seconds=late(each)) for each in found]


async def horizon_of(page: Page) -> Horizon | None:
    """The horizon, and the transactions that hold it; None for a role that may not see it."""
    if not page.may("horizon", "last_position"):
        return None
    try:
        ((safe, in_flight, last),) = await page.console.rows(operations.HORIZON)
    except StandbyError as error:
        return Horizon(None, None, None, problem=str(error))
    writers = None
    if in_flight is not None and page.may("writers_in_flight"):
        writers = await page.console.read(Writer, operations.WRITERS, _WRITERS)
    return Horizon(safe, last, in_flight, writers)


def tally(states: list[State]) -> list[tuple[State, int]]:
    """How many partitions are in which state."""
    counts = Counter(states)
    return [(state, counts[state]) for state in STATES if counts[state]]


def worst(states: list[State]) -> State:
    """The state that needs attention most."""
    return next(state for state in STATES if state in states)


def line(values: list[float | None], width: int = 96, height: int = 22) -> str:
    """The points of a line through the last values, for an SVG of this size."""
    step = max(len(values) // _POINTS, 1)
    known = [0.0 if each is None else each for each in values[::-1][::step][::-1]]
    if len(known) < 2:
        return ""
    highest = max(known) or 1.0
    across = width / (len(known) - 1)
    return " ".join(
        f"{n * across:.1f},{height - 1 - each / highest * (height - 2):.1f}"
        for n, each in enumerate(known)
    )


def left(partition: Partition, rate: float | None) -> float | None:
    """Seconds until a partition has caught up at its rate, if nothing holds it."""
    if partition.state not in ("working", "waiting") or rate is None or rate < 0.05:
        return None
    return time_left(partition.behind, rate)
