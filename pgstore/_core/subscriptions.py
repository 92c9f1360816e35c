"""The values around subscriptions."""

import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg.rows import TupleRow

from pgstore._core.arguments import wrong
from pgstore._core.failures import ends
from pgstore._core.log import log
from pgstore._core.messages import POSITION, StoredMessage
from pgstore._core.upcasters import SkippedMessage
from pgstore.errors import InvalidArgumentError

State = Literal["idle", "waiting", "working", "retrying", "stopped", "paused"]


class PartitionStatus(msgspec.Struct, frozen=True):
    """How far a partition of a subscription is.

    Everything of it up to the global position `checkpoint` has been dealt with, which is `behind`
    positions before the safe one. `worker` has, or last had, the lease.
    """

    subscription: str
    partition: int
    state: State
    checkpoint: int
    behind: int
    worker: str | None
    leased_until: datetime | None
    retry_at: datetime | None
    attempts: int
    failed_position: int | None
    error: str | None


def progress(position: int, partitions: list[PartitionStatus]) -> str:
    """The position, state and worker of the partition furthest behind, in a sentence."""
    last = min(partitions, key=lambda each: each.checkpoint)
    text = f"it is at {position}, its partition {last.partition} is {last.state}"
    if last.error is not None:
        text += f" after {last.error.partition(chr(10))[0][:200]!r}"
    if last.state == "working":
        return f"{text}, {last.worker} works on it"
    remedy = {"paused": "resume()", "stopped": "mend its handler, then resume()"}
    return f"{text}; {remedy.get(last.state, 'nobody works on it: store.run(subscription)')}"


class ParkedMessage(msgspec.Struct, frozen=True):
    """A message that a subscription has put aside after `attempts` attempts.

    Of one that was deleted since, `stream`, `version`, `type` and `message_id` are None.
    """

    global_position: int
    stream: str | None
    version: int | None
    type: str | None
    message_id: UUID | None
    partition: int
    attempts: int
    parked_at: datetime
    replay: bool
    error: str | None


# Columns of a batch's rows after those of a message; and of a claim after those.
_CHECKPOINT, _PARKED = 9, 10
SUBSCRIPTION, PARTITION, TOKEN, PAUSE = 11, 12, 13, 14


class Undecoded(msgspec.Struct):
    """In place of a message that could not be decoded."""

    global_position: int
    error: BaseException
    message: None = None


class Skipped(msgspec.Struct):
    """In place of a message that an upcaster has left out: it is acknowledged with the others."""

    global_position: int
    message: None = None


class Batch(msgspec.Struct, eq=False):
    """Messages that a worker handles at once, and the checkpoint after all of them.

    If nothing comes after the `last` ones, the lease is given back with their acknowledgement. A
    message that was `parked` is alone. Some messages of a `foreign` batch are none that the program
    declares to read.
    """

    messages: list[StoredMessage[Any] | Undecoded | Skipped]
    undecoded: list[Undecoded]
    checkpoint: int
    last: bool = False
    parked: bool = False
    foreign: bool = False

    @staticmethod
    def of(rows: list[TupleRow], decode: Callable[[TupleRow], StoredMessage[Any]]) -> "Batch":
        """Make a batch of fetched rows; the last row may only have the checkpoint."""
        batch = Batch([], [], 0, last=not rows)
        if not rows:
            return batch
        row = rows[-1]
        if row[0] is None:
            del rows[-1]
            batch.checkpoint, batch.last = row[_CHECKPOINT] or 0, True
        else:
            batch.checkpoint, batch.parked = row[POSITION], row[_PARKED] is not None
        # Each row goes when its message comes: fewer objects for the garbage collector to look at.
        rows.reverse()
        while rows:
            row = rows.pop()
            try:
                batch.messages.append(decode(row))
            except SkippedMessage:
                batch.messages.append(Skipped(row[POSITION]))
            except BaseException as error:
                if ends(error):
                    raise
                batch.undecoded.append(Undecoded(row[POSITION], error))
                batch.messages.append(batch.undecoded[-1])
        return batch

    def before(self, position: int) -> "Batch":
        """The messages before that position, as if no others had been fetched."""
        messages = [each for each in self.messages if each.global_position < position]
        undecoded = [each for each in self.undecoded if each.global_position < position]
        return Batch(messages, undecoded, messages[-1].global_position if messages else 0)

    def without(self, handled: int) -> "Batch":
        """The rest, after its first so many messages were handled and acknowledged."""
        return Batch(
            self.messages[handled:], self.undecoded, self.checkpoint, self.last, self.parked
        )

    def each(self) -> "list[Batch]":
        """Every message as a batch of its own."""
        ones = [
            Batch([one], [one] if isinstance(one, Undecoded) else [], one.global_position)
            for one in self.messages
        ]
        last = ones[-1]
        last.checkpoint, last.last, last.parked = self.checkpoint, self.last, self.parked
        return ones


class RunnerHooks:
    """Methods that a runner's workers call, for metrics: override the ones that you need."""

    def handled(self, subscription: str, partition: int, count: int, seconds: float) -> None:
        """So many messages have been handled and acknowledged."""

    def failed(self, subscription: str, partition: int, error: BaseException, action: str) -> None:
        """Handling failed; action is `retry`, `stop` or `park`."""

    def behind(self, subscription: str, behind: int) -> None:
        """How many positions the partition that is furthest behind has to go; now and then."""


class GuardedHooks(RunnerHooks):
    """The hooks of a caller, whose errors are logged: they are not to end the work."""

    def __init__(self, hooks: RunnerHooks | None) -> None:
        self._hooks = RunnerHooks() if hooks is None else hooks
        if not isinstance(self._hooks, RunnerHooks):
            raise wrong("hooks must be a RunnerHooks object", hooks)
        for hook in (self._hooks.handled, self._hooks.failed, self._hooks.behind):
            if inspect.iscoroutinefunction(hook):
                raise InvalidArgumentError(
                    f"{hook.__qualname__} is an async function, which is not awaited: write def"
                )

    def handled(self, subscription: str, partition: int, count: int, seconds: float) -> None:
        self._guard(lambda: self._hooks.handled(subscription, partition, count, seconds))

    def failed(self, subscription: str, partition: int, error: BaseException, action: str) -> None:
        self._guard(lambda: self._hooks.failed(subscription, partition, error, action))

    def behind(self, subscription: str, behind: int) -> None:
        self._guard(lambda: self._hooks.behind(subscription, behind))

    @staticmethod
    def _guard(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            if ends(error):
                raise
            log.exception("subscriptions: a hook failed")
