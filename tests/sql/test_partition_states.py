"""The drawing of a partition's states, held against the store: each of its moves is done."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from tests.conventions.sqlfiles import FUNCTIONS, ROOT, code_of
from tests.sql.store import Store
from tests.sql.subscriptions import Batch, Lease, Subscription

DRAWING = ROOT / "docs/concepts/partition-states.svg"
SVG = "{http://www.w3.org/2000/svg}"
Move = tuple[str, str, str]


def drawn() -> set[Move]:
    """From which state to which, and by what."""
    return {
        (group.attrib["data-from"], group.attrib["data-to"], by)
        for group in ElementTree.parse(DRAWING).iter(f"{SVG}g")
        if group.get("class") == "move"
        for text in group.iter(f"{SVG}text")
        for by in (text.text or "").split(", ")
    }


class Reader(Subscription):
    """A subscription with one partition; each step brings it further."""

    lease: Lease
    batch: Batch
    failing: int

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.drop()

    def partition_state(self) -> str | None:
        rows = self.partitions()
        return str(rows[0]["state"]) if rows else None

    def _call(self, function: str, *given: object) -> None:
        self.store.call(function, *given)

    # How it is made.
    def make(self) -> None:
        self.create(categories=[self.category], max_attempts=2)

    def make_at_the_end(self) -> None:
        self.write_elsewhere()
        self.create(categories=[self.category], start_position=None)

    def make_with_one_attempt(self) -> None:
        self.create(categories=[self.category], max_attempts=1)

    def make_that_parks(self) -> None:
        self.create(categories=[self.category], max_attempts=1, on_failure="park")

    # What its functions are called for.
    def write_one(self) -> None:
        self.failing = self.write()

    def write_elsewhere(self) -> None:
        self.store.write(f"other{self.category}-1")

    def claim_it(self) -> None:
        self.lease = self.claimed()

    def claim_nothing(self) -> None:
        assert self.claim() is None

    def claim_by_batch(self) -> None:
        self._call("claim_batch", [self.name], "w")

    def claim_by_partition(self) -> None:
        self._call("claim_partition", [self.name], "w")

    def fetch(self) -> None:
        self.batch = self.lease.fetch()

    def fetch_one(self) -> None:
        self.batch = self.lease.fetch(1)

    def acknowledge(self) -> None:
        self.lease.acknowledge(self.batch.checkpoint)

    def acknowledge_and_release(self) -> None:
        self._call("acknowledge", *self.lease.key, self.batch.checkpoint, True)

    def acknowledge_first_and_release(self) -> None:
        self._call("acknowledge", *self.lease.key, self.batch.positions[0], True)

    def extend(self) -> None:
        self.lease.extend()

    def fail(self) -> None:
        self.lease.fail(self.failing)

    def release(self) -> None:
        assert self.lease.release()

    def abandon(self) -> None:
        self._call("abandon_partition", *self.lease.key, "E")

    def rewind(self) -> None:
        self._call("rewind_subscription", self.name, 0)

    def skip(self) -> None:
        ((safe,),) = self.store.call("safe_position")
        self._call("rewind_subscription", self.name, safe)

    def refilter(self) -> None:
        self._call("refilter_subscription", self.name, [self.category])

    def refilter_at_the_end(self) -> None:
        ((safe,),) = self.store.call("safe_position")
        self._call("refilter_subscription", self.name, [self.category], None, None, None, safe)

    def pause(self) -> None:
        self._call("pause_subscription", self.name)

    def resume(self) -> None:
        self._call("resume_subscription", self.name)

    def empty(self) -> None:
        self._call("empty_store", self.store.name)

    def drop(self) -> None:
        self._call("drop_subscription", self.name)


Step = Callable[[Reader], None]
R = Reader

WAITING: list[Step] = [R.make, R.write_one]
IDLE: list[Step] = [R.make, R.write_elsewhere, R.claim_nothing]
WORKING: list[Step] = [*WAITING, R.claim_it]
HANDLED: list[Step] = [*WORKING, R.fetch, R.acknowledge]
RETRYING: list[Step] = [*WORKING, R.fetch, R.fail]
STOPPED: list[Step] = [R.make_with_one_attempt, R.write_one, R.claim_it, R.fetch, R.fail]
# Its worker has ended once with the only message; the next lease that ends so is an attempt.
ALONE: list[Step] = [R.make_with_one_attempt, R.write_one, R.claim_it, R.fetch_one]
LOST: list[Step] = [*ALONE, R.expire]
PAUSED: list[Step] = [*WAITING, R.pause]
OF = {"waiting": WAITING, "idle": IDLE, "working": WORKING, "retrying": RETRYING}
ANY = OF | {"stopped": STOPPED, "paused": PAUSED}

# What comes before each move, and the move.
MOVES: dict[Move, tuple[list[Step], Step]] = {
    ("new", "idle", "create_subscription"): ([], R.make_at_the_end),
    ("new", "waiting", "create_subscription"): ([R.write_one], R.make),
    ("idle", "waiting", "write_message"): (IDLE, R.write_one),
    ("idle", "waiting", "rewind_subscription"): (IDLE, R.rewind),
    ("waiting", "idle", "claim_batch"): ([R.make, R.write_elsewhere], R.claim_by_batch),
    ("waiting", "idle", "claim_partition"): ([R.make, R.write_elsewhere], R.claim_by_partition),
    ("waiting", "idle", "rewind_subscription"): (WAITING, R.skip),
    ("waiting", "idle", "refilter_subscription"): (
        [R.make, R.write_elsewhere],
        R.refilter_at_the_end,
    ),
    ("waiting", "working", "claim_batch"): (WAITING, R.claim_by_batch),
    ("waiting", "working", "claim_partition"): (WAITING, R.claim_by_partition),
    ("waiting", "stopped", "claim_batch"): (LOST, R.claim_by_batch),
    ("waiting", "stopped", "claim_partition"): (LOST, R.claim_by_partition),
    ("working", "waiting", "acknowledge"): (
        [R.make, R.write_one, R.write_one, R.claim_it, R.fetch],
        R.acknowledge_first_and_release,
    ),
    ("working", "waiting", "release_partition"): (WORKING, R.release),
    ("working", "waiting", "abandon_partition"): (WORKING, R.abandon),
    ("working", "waiting", "rewind_subscription"): (WORKING, R.rewind),
    ("working", "waiting", "refilter_subscription"): (WORKING, R.refilter),
    ("working", "waiting", "the lease ends"): (WORKING, R.expire),
    ("working", "idle", "acknowledge"): ([*WORKING, R.fetch], R.acknowledge_and_release),
    ("working", "idle", "release_partition"): (HANDLED, R.release),
    ("working", "working", "fetch_batch"): (WORKING, R.fetch),
    ("working", "working", "extend_lease"): (WORKING, R.extend),
    ("working", "working", "acknowledge"): ([*WORKING, R.fetch], R.acknowledge),
    ("working", "working", "fail_message"): (
        [R.make_that_parks, R.write_one, R.claim_it, R.fetch],
        R.fail,
    ),
    ("working", "retrying", "fail_message"): ([*WORKING, R.fetch], R.fail),
    ("working", "stopped", "fail_message"): (ALONE, R.fail),
    ("working", "stopped", "abandon_partition"): (ALONE, R.abandon),
    ("retrying", "waiting", "resume_subscription"): (RETRYING, R.resume),
    ("retrying", "waiting", "rewind_subscription"): (RETRYING, R.rewind),
    ("retrying", "waiting", "empty_store"): (RETRYING, R.empty),
    ("retrying", "waiting", "the pause ends"): (RETRYING, R.expire),
    ("stopped", "waiting", "resume_subscription"): (STOPPED, R.resume),
    ("stopped", "waiting", "rewind_subscription"): (STOPPED, R.rewind),
    ("stopped", "waiting", "empty_store"): (STOPPED, R.empty),
    ("paused", "any", "resume_subscription"): (PAUSED, R.resume),
}


def test_every_move_is_drawn_and_every_drawn_move_is_done_here() -> None:
    of_any = {("any", "paused", "pause_subscription"), ("any", "gone", "drop_subscription")}
    assert drawn() == {*MOVES} | of_any


@pytest.mark.parametrize("move", MOVES, ids=" ".join)
def test_move(store: Store, move: Move) -> None:
    before, after, _ = move
    steps, call = MOVES[move]
    reader = Reader(store)
    for step in steps:
        step(reader)
    assert reader.partition_state() == (None if before == "new" else before)
    call(reader)
    assert reader.partition_state() == ("waiting" if after == "any" else after)


@pytest.mark.parametrize("state", sorted({*ANY} - {"working"}))
def test_another_filter_leaves_the_state(store: Store, state: str) -> None:
    reader = Reader(store)
    for step in ANY[state]:
        step(reader)
    reader.refilter()
    assert reader.partition_state() == state


@pytest.mark.parametrize("state", ANY)
def test_move_of_every_state(store: Store, state: str) -> None:
    reader = Reader(store)
    for step in ANY[state]:
        step(reader)
    assert reader.partition_state() == state
    reader.pause()
    assert reader.partition_state() == "paused"
    reader.drop()
    assert reader.partition_state() is None


# The columns that list_partitions computes a state of.
_STATE = re.compile(
    r"\b(?:INSERT INTO|DELETE FROM) subscription_partitions\b"
    r"|\bUPDATE subscription_partitions AS p\s+SET\b[^;]*?"
    r"\b(?:checkpoint|swept_position|leased_until|retry_at|stopped) ="
    r"|\bUPDATE subscriptions AS s SET paused\b"
)


def test_every_function_that_moves_a_partition_is_drawn() -> None:
    code = {path.stem: code_of(path).partition("COMMENT ON")[0] for path in FUNCTIONS}
    moving = {name for name, text in code.items() if _STATE.search(text)}
    while more := {
        name
        for name, text in code.items()
        if name not in moving and any(re.search(rf"\b{other}\(", text) for other in moving)
    }:
        moving |= more
    # The doors that answer JSON move what the functions of their names move.
    public = {name.removesuffix("_json") for name in moving if not name.startswith("_")}
    by = {by for _, _, by in drawn()} - {"the lease ends", "the pause ends", "write_message"}
    assert by == public
