# Generated from tests/client/_async/running.py by `python tools/unasync.py`.

"""Run subscriptions beside the test, and look at what that has done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pgstore import MessageStore, RunnerHooks, Subscription
from tests.client.parallel import Parallel


class Notes(RunnerHooks):
    """What a runner told."""

    def __init__(self) -> None:
        self.counted: list[int] = []
        self.failures: list[tuple[str, str]] = []
        self.lags: list[tuple[str, int]] = []

    def handled(self, subscription: str, partition: int, count: int, seconds: float) -> None:
        assert seconds >= 0
        self.counted.append(count)

    def failed(self, subscription: str, partition: int, error: BaseException, action: str) -> None:
        self.failures.append((type(error).__name__, action))

    def behind(self, subscription: str, behind: int) -> None:
        self.lags.append((subscription, behind))


def numbers(store: MessageStore[Any], stream: str) -> list[int]:
    """What ``EventA``s the stream holds."""
    return [stored.message.num for stored in store.read(stream)]


def owners(subscription: Subscription[Any]) -> list[str | None]:
    """Who has the partitions that are leased."""
    return [each.worker for each in subscription.partitions() if each.leased_until]


@contextmanager
def running(
    store: MessageStore[Any], *subscriptions: Subscription[Any], **options: Any
) -> Iterator[None]:
    """Run them; at the end of the block stop, and raise what `run` has raised.

    The block waits for something that a handler does: `stop` before `run` is in vain.
    """
    with Parallel() as parallel:
        parallel.start(lambda: store.run(*subscriptions, **options))
        try:
            yield
        finally:
            store.stop()
        (result,) = parallel.results()
        if result is not None:
            raise result
