"""Declaring subscriptions, and steering them."""

import functools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgstore import (
    AsyncMessageStore,
    AsyncSubscription,
    InvalidArgumentError,
    SubscriptionExistsError,
    SubscriptionNotFoundError,
)
from tests.client._async.conftest import OpenStore
from tests.client._async.running import running
from tests.client.messages import EventA, EventB

Store = AsyncMessageStore[Any]

NAIVE = datetime(2024, 2, 29, 12)  # noqa: DTZ001 - that is the point


def collecting(subscription: AsyncSubscription[Any]) -> list[int]:
    """Handle ``EventA`` by noting its number."""
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    return seen


async def fill(store: Store, category: str, *numbers: int) -> int:
    """Write a stream of its own for each number modulo 7; return the last position."""
    position = 0
    for number in numbers:
        written = await store.write(f"{category}-{number % 7}", EventA(number))
        position = written.global_position
    return position


async def test_a_declaration_can_be_repeated(store: Store, category: str) -> None:
    await fill(store, category, 1, 2)
    for wanted in ([1, 2], [], []):
        subscription = store.subscription(category, category=category, partitions=3)
        seen = collecting(subscription)
        await subscription.create()
        await subscription.create()
        assert await store.run_once(subscription) == len(wanted)
        assert seen == wanted


async def test_after_another_program_has_dropped_it_only_create_creates_it_again(
    store: Store, category: str
) -> None:
    await fill(store, category, 1, 2)
    subscription = store.subscription(category, category=category)
    seen = collecting(subscription)
    assert await store.run_once(subscription) == 2
    await store.subscription(category, category=category).drop()
    with pytest.raises(SubscriptionNotFoundError):
        await store.run_once(subscription)
    await subscription.create()
    assert await store.run_once(subscription) == 2
    assert seen == [1, 2, 1, 2]


async def test_another_number_of_partitions_is_told(
    store: Store, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    await store.subscription(category, category=category, partitions=3).create()
    await store.subscription(category, category=category, partitions=3).create()
    assert caplog.messages == []
    other = store.subscription(category, category=category, partitions=2)
    await other.create()
    assert len(await other.partitions()) == 3
    (told,) = caplog.messages
    assert told == f"subscription {category} has 3 partitions, not 2: repartition() changes that"


@pytest.mark.parametrize(
    "other",
    [
        {"category": "other"},
        {"types": ["EventA"]},
        {"stream_pattern": "a%"},
        {"partition_by": "cardinal_id"},
    ],
)
async def test_another_declaration_of_the_same_name_is_refused(
    store: Store, category: str, other: dict[str, Any]
) -> None:
    await store.subscription(category, category=category).create()
    changed = store.subscription(category, **{"category": category, **other})
    collecting(changed)
    with pytest.raises(SubscriptionExistsError) as caught:
        await changed.create()
    assert caught.value.sqlstate == "MS022"
    assert caught.value.subscription == category
    with pytest.raises(SubscriptionExistsError):
        await store.run_once(changed)
    with pytest.raises(SubscriptionExistsError):
        await store.run(changed)


async def test_settings_of_failure_can_be_changed(store: Store, category: str) -> None:
    await store.subscription(category, category=category).create()
    await store.subscription(
        category, category=category, on_failure="park", max_attempts=1, retry_delay=0.00001
    ).create()


@pytest.mark.parametrize(
    "wrong",
    [
        {"partitions": 0},
        {"partition_by": "moon"},
        {"start": -1},
        {"start": "begin"},
        {"on_failure": "ignore"},
        {"max_attempts": 0},
        {"retry_delay": -1.0},
        {"retry_delay": float("nan")},
        {"types": []},
        {"types": "EventA"},
        {"types": [int]},
        {"categories": []},
        {"category": "a", "categories": ["b"]},
    ],
)
async def test_a_declaration_that_makes_no_sense_is_refused(
    store: Store, category: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError):
        await store.subscription(category, **wrong).create()


async def test_a_naive_time_is_refused(store: Store, category: str) -> None:
    with pytest.raises(InvalidArgumentError):
        store.subscription(category, start=NAIVE)
    with pytest.raises(InvalidArgumentError):
        await store.subscription(category).rewind(NAIVE)


async def test_start_decides_what_a_new_one_reads(store: Store, category: str) -> None:
    first = await fill(store, category, 0, 1)
    await fill(store, category, 2)
    stored = [message async for message in store.read_category(category)]
    berlin = stored[2].added_at.astimezone(tz=None)
    starts: list[tuple[Any, list[int]]] = [
        ("beginning", [0, 1, 2]),
        ("end", []),
        (0, [0, 1, 2]),
        (first, [2]),
        (stored[0].added_at, [0, 1, 2]),
        (berlin, [2]),
        (datetime.now(UTC) + timedelta(days=1), []),
    ]
    for number, (start, wanted) in enumerate(starts):
        subscription = store.subscription(f"{category}{number}", category=category, start=start)
        seen = collecting(subscription)
        await store.run_once(subscription)
        assert seen == wanted, start
        await fill(store, category)
    ends = store.subscription(f"{category}1", category=category, start="end")
    seen = collecting(ends)
    await fill(store, category, 3)
    await store.run_once(ends)
    assert seen == [3]


async def test_filters_choose_what_is_handled(store: Store, category: str) -> None:
    await store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)])
    await store.write_many(f"{category}-2", [EventA(3)])
    subscription = store.subscription(
        category, category=category, types=[EventA], stream_pattern="%-1", unknown_types="refuse"
    )
    seen = collecting(subscription)
    assert await store.run_once(subscription) == 2
    assert seen == [1, 2]
    assert await subscription.position() == await store.safe_position()


async def test_whatever_can_be_called_handles(store: Store, category: str) -> None:
    class Collector:
        def __init__(self) -> None:
            self.seen: list[object] = []

        async def __call__(self, message: EventA) -> None:
            self.seen.append(message)

        async def note(self, message: EventB, *, after: str) -> None:
            self.seen.append(message.text + after)

    await store.write_many(f"{category}-1", [EventA(1), EventB("x"), EventA(2)])
    collector = Collector()
    subscription = store.subscription(category, category=category)
    subscription.handler(collector)
    subscription.handler(functools.partial(collector.note, after="!"))
    assert await store.run_once(subscription) == 3
    assert collector.seen == [EventA(1), "x!", EventA(2)]


async def test_pause_and_resume(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category, partitions=2)
    seen = collecting(subscription)
    await subscription.pause()
    await fill(store, category, 1, 2, 3)
    assert await store.run_once(subscription) == 0
    assert {each.state for each in await subscription.partitions()} == {"paused"}
    await subscription.resume()
    assert await store.run_once(subscription) == 3
    assert sorted(seen) == [1, 2, 3]
    with pytest.raises(InvalidArgumentError, match="partition must be one of 0 to 1, not 2"):
        await subscription.resume(partition=2)


@pytest.mark.parametrize("workers", [0, 1001, 2**62])
async def test_a_number_of_workers_that_no_server_has_room_for_is_refused(
    store: Store, category: str, workers: int
) -> None:
    subscription = store.subscription(category, category=category)
    collecting(subscription)
    with pytest.raises(InvalidArgumentError, match="workers must be 1 to 1000"):
        await store.run(subscription, workers=workers)


async def test_rewind_by_position_and_by_time(store: Store, category: str) -> None:
    first = await fill(store, category, 0)
    await fill(store, category, 1, 2)
    times = [stored.added_at async for stored in store.read_category(category)]
    subscription = store.subscription(category, category=category, partitions=3)
    seen = collecting(subscription)
    await store.run_once(subscription)
    places: list[tuple[Any, list[int]]] = [
        (0, [0, 1, 2]),
        (first, [1, 2]),
        (times[1], [1, 2]),
        (times[2], [2]),
    ]
    for to, wanted in places:
        seen.clear()
        position = await subscription.rewind(to)
        assert position == await subscription.position()
        await store.run_once(subscription)
        assert sorted(seen) == wanted
    with pytest.raises(InvalidArgumentError):
        await subscription.rewind(2**62)


async def test_repartition_loses_and_repeats_nothing(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category, partitions=2)
    seen = collecting(subscription)
    await fill(store, category, *range(10))
    await store.run_once(subscription)
    await fill(store, category, *range(10, 20))
    await subscription.repartition(5)
    await store.run_once(subscription)
    await fill(store, category, *range(20, 30))
    await store.run_once(subscription)
    assert sorted(seen) == list(range(30))
    assert [each.partition for each in await subscription.partitions()] == [0, 1, 2, 3, 4]
    await store.subscription(category, category=category, partitions=5).create()
    with pytest.raises(InvalidArgumentError):
        await subscription.repartition(0)


async def test_partitions_tell_how_far_they_are(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category, partitions=2)
    await subscription.create()
    last = await fill(store, category, *range(14))
    waiting = await subscription.partitions()
    assert [each.partition for each in waiting] == [0, 1]
    assert {each.subscription for each in waiting} == {category}
    assert {each.state for each in waiting} == {"waiting"}
    assert min(each.behind for each in waiting) >= 14
    collecting(subscription)
    await store.run_once(subscription)
    done = await subscription.partitions()
    assert {(each.state, each.checkpoint, each.behind) for each in done} == {("idle", last, 0)}
    assert all(each.worker for each in done)
    assert {(each.attempts, each.error, each.leased_until) for each in done} == {(0, None, None)}


async def test_wait_until_lets_one_read_what_one_wrote(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category, partitions=2)
    seen = collecting(subscription)
    async with running(store, subscription):
        for number in range(5):
            position = await fill(store, category, number)
            await subscription.wait_until(position)
            assert seen[-1] == number
    await subscription.wait_until(position, timeout=0)


async def test_wait_until_gives_up(store: Store, category: str) -> None:
    position = await fill(store, category, 1)
    with pytest.raises(TimeoutError):
        await store.subscription(category, category=category).wait_until(position, timeout=0.05)


async def test_drop_forgets_it(store: Store, category: str) -> None:
    await fill(store, category, 1)
    subscription = store.subscription(category, category=category)
    seen = collecting(subscription)
    await store.run_once(subscription)
    await subscription.drop()
    await store.run_once(subscription)
    assert seen == [1, 1]
    await store.subscription(category, category=category).drop()
    with pytest.raises(SubscriptionNotFoundError) as caught:
        await subscription.position()
    assert caught.value.subscription == category
    with pytest.raises(SubscriptionNotFoundError):
        await store.run(subscription)


async def test_run_refuses_what_makes_no_sense(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category)
    same_name = store.subscription(category, category="other")
    for each in (subscription, same_name):
        collecting(each)
    hooks: Any = object()
    wrong: Any = "two"
    for run in (
        lambda: store.run(),
        lambda: store.run_once(),
        lambda: store.run(subscription, workers=0),
        lambda: store.run(subscription, workers=wrong),
        lambda: store.run(subscription, lease=0),
        lambda: store.run(subscription, lease=wrong),
        lambda: store.run(subscription, hooks=hooks),
        lambda: store.run(subscription, same_name),
        lambda: store.run(wrong),
        lambda: store.run_once(wrong),
    ):
        with pytest.raises(InvalidArgumentError):
            await run()


async def test_a_subscription_without_a_handler_is_not_run(store: Store, category: str) -> None:
    await fill(store, category, 1, 2)
    idle = store.subscription(category, category=category)
    other = store.subscription(f"{category}other", category=category)
    seen = collecting(other)
    for run in (
        lambda: store.run_once(idle),
        lambda: store.run_once(other, idle),
        lambda: store.run(idle),
        lambda: store.run(other, idle),
    ):
        with pytest.raises(InvalidArgumentError, match=rf"{category}.*handler"):
            await run()
    assert (seen, store._runners) == ([], set())
    with pytest.raises(SubscriptionNotFoundError):  # nothing was passed over
        await idle.position()
    handled = collecting(idle)
    assert await store.run_once(idle) == 2
    assert handled == [1, 2]


async def test_a_subscription_of_another_store_is_not_run(
    open_store: OpenStore, store: Store, category: str
) -> None:
    subscription = store.subscription(category, category=category)
    collecting(subscription)
    for other in (store.raw, await open_store()):
        for run in (other.run_once, other.run):
            with pytest.raises(InvalidArgumentError, match="another store"):
                await run(subscription)


@pytest.mark.parametrize(
    "wrong",
    [
        {"unknown_types": "ignore"},
        {"acknowledge": "never"},
        {"batch_size": 0},
        {"batch_size": "10"},
        {"partitions": True},
        {"max_attempts": "3"},
        {"types": EventA},
        {"categories": 3},
    ],
)
async def test_a_declaration_of_wrong_types_is_refused_at_once(
    store: Store, category: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        store.subscription(category, **wrong)
