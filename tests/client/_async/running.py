"""Run subscriptions beside the test, and look at what that has done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pgstore import AsyncMessageStore, AsyncSubscription, RunnerHooks
from tests.client.parallel import AsyncParallel


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


async def numbers(store: AsyncMessageStore[Any], stream: str) -> list[int]:
    """What ``EventA``s the stream holds."""
    return [stored.message.num async for stored in store.read(stream)]


async def owners(subscription: AsyncSubscription[Any]) -> list[str | None]:
    """Who has the partitions that are leased."""
    return [each.worker for each in await subscription.partitions() if each.leased_until]


@asynccontextmanager
async def running(
    store: AsyncMessageStore[Any], *subscriptions: AsyncSubscription[Any], **options: Any
) -> AsyncIterator[None]:
    """Run them; at the end of the block stop, and raise what `run` has raised.

    The block waits for something that a handler does: `stop` before `run` is in vain.
    """
    async with AsyncParallel() as parallel:
        await parallel.start(lambda: store.run(*subscriptions, **options))
        try:
            yield
        finally:
            store.stop()
        (result,) = await parallel.results()
        if result is not None:
            raise result
