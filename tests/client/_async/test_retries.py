"""What counts as a failure and what does not, and when the next attempt comes."""

import time
from asyncio import CancelledError
from concurrent import futures
from itertools import pairwise
from typing import Any

import msgspec
import psycopg
import pytest

from pgstore import AsyncMessageStore, AsyncSubscription, RunnerHooks, StoredMessage
from pgstore._async.database import AsyncDatabase
from pgstore._core.failures import TRIES
from pgstore._core.statements import ACKNOWLEDGE, FAIL_MESSAGE, LOOK
from tests.client._async.conftest import OpenStore
from tests.client._async.running import Notes, numbers, running
from tests.client.messages import EventA
from tests.client.parallel import AsyncParallel

Store = AsyncMessageStore[Any]
Transaction = psycopg.AsyncConnection[Any]


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class Unusual(BaseException):
    """No Exception, and not meant to end a program."""


FAILURES: dict[str, tuple[BaseException, str]] = {
    "NUL": (ValueError("device said \0"), "ValueError: device said \\x00"),
    "surrogate": (ValueError("\ud800"), "ValueError: \\ud800"),
    "no text": (Unsayable(), "Unsayable, and its text cannot be made: ZeroDivisionError"),
    "20 MB": (ValueError("\0" * 20_000_000), ("ValueError: " + "\\x00" * 2500)[:10_000]),
    "cancelled": (CancelledError("inside"), "CancelledError: inside"),
    "future": (futures.CancelledError(), "CancelledError: "),
    "group": (
        BaseExceptionGroup("two", [CancelledError(), ValueError()]),
        "BaseExceptionGroup: two (2 sub-exceptions)",
    ),
    "generator": (GeneratorExit(), "GeneratorExit: "),
    "unusual": (Unusual("odd"), "Unusual: odd"),
}


@pytest.mark.parametrize("place", ["handler", "with tx", "middleware"])
@pytest.mark.parametrize("what", FAILURES)
async def test_whatever_is_raised_is_that_messages_failure(
    store: Store, category: str, what: str, place: str
) -> None:
    error, text = FAILURES[what]
    await store.write_many(f"{category}-1", [EventA(number) for number in range(3)])
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=2, retry_delay=0
    )
    seen: list[int] = []

    def note(number: int) -> None:
        seen.append(number)
        if number == 1 and place != "middleware":
            raise error

    if place == "with tx":

        @subscription.handler
        async def with_it(message: EventA, tx: Transaction) -> None:
            note(message.num)
    else:

        @subscription.handler
        async def without(message: EventA) -> None:
            note(message.num)

    @subscription.middleware
    async def around(message: Any, tx: Any, go_on: Any) -> None:
        await go_on()
        if message.num == 1 and place == "middleware":
            raise error

    notes = Notes()
    async with running(store, subscription, hooks=notes):
        await AsyncParallel.until(lambda: 2 in seen)
        await subscription.wait_until(await store.safe_position())
    assert notes.failures == [(type(error).__name__, action) for action in ("retry", "park")]
    assert [(each.version, each.error) for each in await subscription.parked()] == [(2, text)]


class Odd(msgspec.Struct):
    """A message that cannot be made."""

    num: int

    def __post_init__(self) -> None:
        if self.num == 1:
            raise Unusual("\0")


async def test_whatever_decoding_raises_is_that_messages_failure(
    open_store: OpenStore, store: Store, category: str
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(3)])
    other = await open_store({"EventA": Odd})
    subscription = other.subscription(
        category, category=category, on_failure="park", max_attempts=1, retry_delay=0
    )
    seen: list[int] = []

    @subscription.handler
    async def note(message: Odd) -> None:
        seen.append(message.num)

    async with running(other, subscription):
        await AsyncParallel.until(lambda: seen == [0, 2])
    (parked,) = await subscription.parked()
    assert parked.version == 2
    assert parked.error == "Unusual: \\x00"


async def test_what_a_hook_raises_does_not_end_the_run(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category, retry_delay=0)
    seen: list[int] = []

    class Ending(RunnerHooks):
        def handled(self, subscription: str, partition: int, count: int, seconds: float) -> None:
            raise CancelledError

        def failed(
            self, subscription: str, partition: int, error: BaseException, action: str
        ) -> None:
            raise Unusual

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)
        if len(seen) == 1:
            raise ValueError(message)

    await store.write(f"{category}-1", EventA(1))
    async with running(store, subscription, hooks=Ending()):
        await AsyncParallel.until(lambda: len(seen) == 2)
        await store.write(f"{category}-1", EventA(2))
        await AsyncParallel.until(lambda: seen == [1, 1, 2])


@pytest.mark.parametrize("kind", ["deadlock_detected", "serialization_failure"])
@pytest.mark.parametrize("place", ["with tx", "wrapped", "without tx", "batch"])
@pytest.mark.parametrize("acknowledge", ["batch", "message"])
async def test_a_conflict_is_tried_again_and_does_not_count(
    store: Store, category: str, kind: str, place: str, acknowledge: Any
) -> None:
    await store.write_many(f"{category}-1", [EventA(number) for number in range(4)])
    subscription = store.subscription(
        category, category=category, max_attempts=1, acknowledge=acknowledge
    )
    conflicts = [True] * (TRIES if place != "batch" else 3)

    async def work(number: int, tx: Transaction | None) -> None:
        async with store.transaction() as other:
            conn = tx or other
            await store.write(f"copy{category}", EventA(number), conn=conn)
            if number == 2 and conflicts:
                conflicts.pop()
                try:
                    await conn.execute(f"DO $$BEGIN RAISE {kind}; END$$".encode())
                except psycopg.OperationalError as error:
                    if place == "wrapped":
                        raise ExceptionGroup("two", [ValueError(), error]) from None
                    raise

    if place == "without tx":

        @subscription.handler
        async def without(message: EventA) -> None:
            await work(message.num, None)
    elif place == "batch":

        @subscription.batch_handler
        async def batch(messages: list[StoredMessage[EventA]], tx: Transaction) -> None:
            for stored in messages:
                await work(stored.message.num, tx)
    else:

        @subscription.handler
        async def with_it(message: EventA, tx: Transaction) -> None:
            await work(message.num, tx)

    notes = Notes()
    assert await store.run_once(subscription, hooks=notes) == 4
    assert (notes.failures, conflicts) == ([], [])
    assert await numbers(store, f"copy{category}") == [0, 1, 2, 3]


async def test_a_conflict_that_does_not_end_counts_at_last(store: Store, category: str) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = store.subscription(category, category=category, max_attempts=1)
    seen: list[int] = []

    @subscription.handler
    async def fail(message: EventA, tx: Transaction) -> None:
        seen.append(message.num)
        if message.num == 2:
            await tx.execute("DO $$BEGIN RAISE deadlock_detected; END$$")

    with pytest.raises(psycopg.errors.DeadlockDetected):
        await store.run_once(subscription)
    assert seen == [1, 2] * (1 + TRIES) + [1]
    (partition,) = await subscription.partitions()
    assert (partition.state, partition.attempts) == ("stopped", 1)


async def test_a_conflict_of_the_acknowledgement_does_not_repeat_the_handler(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventA(2)])
    subscription = store.subscription(category, category=category, max_attempts=1)
    seen: list[int] = []
    rows = AsyncDatabase.rows
    conflicts = {ACKNOWLEDGE, FAIL_MESSAGE}

    async def conflicting(
        database: AsyncDatabase, statement: str, *arguments: Any, **named: Any
    ) -> Any:
        if statement in conflicts:
            conflicts.remove(statement)
            raise psycopg.errors.DeadlockDetected
        return await rows(database, statement, *arguments, **named)

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)
        if message.num == 2:
            raise ValueError(message)

    monkeypatch.setattr(AsyncDatabase, "rows", conflicting)
    with pytest.raises(ValueError, match="num=2"):
        await store.run_once(subscription)
    assert (seen, conflicts) == ([1, 2], set())
    (partition,) = await subscription.partitions()
    assert (partition.attempts, partition.leased_until) == (1, None)


async def test_a_retry_comes_when_it_is_due(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._async.runner._LOOK_ANYWAY", 60.0)
    subscription = store.subscription(category, category=category, retry_delay=0.05)
    tried: list[float] = []

    @subscription.handler
    async def fail(message: EventA) -> None:
        tried.append(time.monotonic())
        if len(tried) < 4:
            raise ValueError(message)

    await store.write(f"{category}-1", EventA(1))
    async with running(store, subscription, workers=2):
        await AsyncParallel.until(lambda: len(tried) == 4)
    pauses = [later - before for before, later in pairwise(tried)]
    for pause, least in zip(pauses, (0.05, 0.1, 0.2), strict=True):
        assert least <= pause < least + 20


async def test_a_retry_that_others_have_left_comes_when_it_is_due(
    open_store: OpenStore, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the second one, while the worker that looked is at the first."""
    monkeypatch.setattr("pgstore._async.runner._LOOK_ANYWAY", 60.0)
    store, other = await open_store(), await open_store()
    await store.write(f"{category}-1", EventA(1))
    delays = {f"{category}first": 0.4, f"{category}second": 0.8}
    tried: list[tuple[str, float]] = []

    def subscribe(of: Store, name: str, fails: bool) -> AsyncSubscription[Any]:
        subscription = of.subscription(name, category=category, retry_delay=delays[name])

        @subscription.handler
        async def work(message: EventA) -> None:
            tried.append((name, time.monotonic()))
            if fails:
                raise ValueError(message)
            await AsyncParallel.until(lambda: len(tried) == 4)

        return subscription

    failing = [subscribe(other, name, True) for name in delays]
    assert await other.run_once(*failing, raise_errors=False) == 0
    async with running(store, *[subscribe(store, name, False) for name in delays], workers=2):
        await AsyncParallel.until(lambda: len(tried) == 4)
    for name, delay in delays.items():
        first, second = (moment for each, moment in tried if each == name)
        assert delay <= second - first < delay + 20


async def test_idle_workers_run_one_statement_a_look(
    store: Store, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore._async.runner._LOOK_ANYWAY", 0.1)
    subscription = store.subscription(category, category=category, partitions=8)
    seen: list[int] = []
    run: list[str] = []
    rows = AsyncDatabase.rows

    async def noted(database: AsyncDatabase, statement: str, *arguments: Any, **named: Any) -> Any:
        run.append(statement)
        return await rows(database, statement, *arguments, **named)

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    await store.write(f"{category}-1", EventA(1))
    monkeypatch.setattr(AsyncDatabase, "rows", noted)
    async with running(store, subscription, workers=3):
        await AsyncParallel.until(lambda: seen == [1])
        await subscription.wait_until(await store.safe_position())
        looks = run.count(LOOK)
        await AsyncParallel.until(lambda: run.count(LOOK) > looks + 1)
        run.clear()
        start = time.monotonic()
        await AsyncParallel.until(lambda: len(run) >= 6)
        assert set(run) == {LOOK}
        assert time.monotonic() - start > 0.45
