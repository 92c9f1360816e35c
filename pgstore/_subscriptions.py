"""The values around subscriptions."""

import inspect
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from pgstore.errors import InvalidArgumentError

_log = logging.getLogger("pgstore")

State = Literal["idle", "waiting", "working", "retrying", "stopped", "paused"]


class PartitionStatus(msgspec.Struct, frozen=True):
    """How far a partition of a subscription is.

    Everything of it up to the global position `checkpoint` has been dealt with, which is `behind`
    positions before the safe one. `owner` has, or last had, the lease.
    """

    subscription: str
    partition: int
    state: State
    checkpoint: int
    behind: int
    owner: str | None
    leased_until: datetime | None
    retry_at: datetime | None
    attempts: int
    failed_position: int | None
    error: str | None


class ParkedMessage(msgspec.Struct, frozen=True):
    """A message that a subscription has put aside after `attempts` attempts."""

    global_position: int
    stream: str
    version: int
    type: str
    message_id: UUID
    partition: int
    attempts: int
    parked_at: datetime
    replay: bool
    error: str | None


class RunnerHooks:
    """What a runner tells, for metrics: override what you need. Called by its workers."""

    def processed(self, subscription: str, partition: int, count: int, seconds: float) -> None:
        """So many messages have been handled and acknowledged."""

    def failed(self, subscription: str, partition: int, error: Exception, action: str) -> None:
        """Handling failed; action is `retry`, `stop` or `park`."""

    def lag(self, subscription: str, behind: int) -> None:
        """How many positions the partition that is furthest behind has to go; now and then."""


class GuardedHooks(RunnerHooks):
    """The hooks of a caller, whose errors are logged: they are not to end the work."""

    def __init__(self, hooks: RunnerHooks | None) -> None:
        self._hooks = RunnerHooks() if hooks is None else hooks
        if not isinstance(self._hooks, RunnerHooks):
            raise InvalidArgumentError(f"hooks must be a RunnerHooks object, not {hooks!r}")
        for hook in (self._hooks.processed, self._hooks.failed, self._hooks.lag):
            if inspect.iscoroutinefunction(hook):
                raise InvalidArgumentError(f"hooks are ordinary functions: {hook.__qualname__}")

    def processed(self, subscription: str, partition: int, count: int, seconds: float) -> None:
        self._guard(lambda: self._hooks.processed(subscription, partition, count, seconds))

    def failed(self, subscription: str, partition: int, error: Exception, action: str) -> None:
        self._guard(lambda: self._hooks.failed(subscription, partition, error, action))

    def lag(self, subscription: str, behind: int) -> None:
        self._guard(lambda: self._hooks.lag(subscription, behind))

    @staticmethod
    def _guard(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            _log.exception("subscriptions: a hook failed")
