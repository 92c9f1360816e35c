"""Messages for a later time: scheduled, cancelled, delivered by calls and by a run."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from pgstore import AsyncMessageStore, InvalidArgumentError, MessageIdInUseError
from tests.client._async.conftest import OpenStore
from tests.client._async.running import numbers, running
from tests.client.messages import EventA, Signed
from tests.client.parallel import AsyncParallel
from tests.client.proxy import Proxy
from tests.stores import Stores

Store = AsyncMessageStore[Any]

DAY = timedelta(days=1)


@pytest.fixture
def own(stores: Stores) -> Iterator[str]:
    with stores.taken() as name:
        yield name


@pytest.fixture
async def scheduling(open_store: OpenStore, own: str) -> Store:
    """A store of the test's own: what others have scheduled would be delivered too."""
    return await open_store(EventA | Signed, store=own)


async def test_a_scheduled_message_is_written_once_when_it_is_due(scheduling: Store) -> None:
    message_id = await scheduling.schedule("a-1", EventA(1), DAY, metadata={"by": "me"})
    assert await scheduling.deliver_scheduled() == 0
    assert await scheduling.deliver_scheduled(due_by=2 * DAY) == 1
    assert await scheduling.deliver_scheduled(due_by=datetime.now(UTC) + 2 * DAY) == 0
    (stored,) = [stored async for stored in scheduling.read("a-1")]
    assert (stored.message_id, stored.message) == (message_id, EventA(1))
    assert stored.metadata == {"by": "me"}


async def test_the_id_is_the_callers_or_the_messages(scheduling: Store) -> None:
    signed = Signed(text="x")
    assert await scheduling.schedule("a-1", signed, timedelta()) == signed.event_id
    given = uuid4()
    assert await scheduling.schedule("a-1", EventA(1), timedelta(), message_id=given) == given
    assert await scheduling.schedule("a-1", EventA(1), DAY, message_id=given) == given
    with pytest.raises(MessageIdInUseError) as caught:
        await scheduling.schedule("a-1", EventA(2), DAY, message_id=given)
    assert caught.value.stream == "a-1"
    assert await scheduling.deliver_scheduled() == 2


async def test_all_that_is_due_is_delivered(scheduling: Store) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    async with scheduling.transaction() as conn:
        for number in range(250):
            due = moment - timedelta(seconds=number)
            await scheduling.schedule("a-1", EventA(number), due, conn=conn)
    assert await scheduling.deliver_scheduled() == 250
    assert await numbers(scheduling, "a-1") == [*reversed(range(250))]


async def test_cancel(scheduling: Store) -> None:
    message_id = await scheduling.schedule("a-1", EventA(1), timedelta())
    async with scheduling.transaction() as conn:
        assert await scheduling.cancel(message_id, conn=conn)
    assert not await scheduling.cancel(message_id)
    assert await scheduling.deliver_scheduled() == 0


async def test_cancel_whose_answer_is_lost_does_not_say_that_the_message_was_written(
    open_store: OpenStore, own: str, conninfo: str
) -> None:
    with Proxy.running(conninfo) as proxy:
        store = await open_store(EventA, store=own, conninfo=proxy.conninfo)
        message_id = await store.schedule("a-1", EventA(1), timedelta())
        proxy.lose_answer_to(b"cancel_message")
        with pytest.raises(psycopg.OperationalError):
            await store.cancel(message_id)
        assert proxy.lost == 1
        assert not await store.cancel(message_id)
        message_id = await store.schedule("a-1", EventA(1), timedelta())
        proxy.go_down()
        proxy.come_up()
        assert await store.cancel(message_id)  # the connection was dead, and nothing was lost
        assert await store.deliver_scheduled() == 0
        await store.aclose()


async def test_a_transaction_that_rolls_back_schedules_nothing(scheduling: Store) -> None:
    with suppress(ZeroDivisionError):
        async with scheduling.transaction() as conn:
            await scheduling.schedule("a-1", EventA(1), timedelta(), conn=conn)
            raise ZeroDivisionError
    assert await scheduling.deliver_scheduled() == 0


async def test_run_delivers_at_the_time_and_sooner_if_one_is_scheduled_for_earlier(
    scheduling: Store,
) -> None:
    """It sleeps until the first one is due; an earlier one wakes it."""
    subscription = scheduling.subscription("all")
    seen: list[int] = []

    @subscription.handler
    async def note(message: EventA) -> None:
        seen.append(message.num)

    await scheduling.schedule("a-1", EventA(0), timedelta())
    await scheduling.schedule("a-1", EventA(9), DAY)
    async with running(scheduling, subscription, scheduled=True):
        await AsyncParallel.until(lambda: seen == [0])
        began = time.monotonic()
        await scheduling.schedule("a-1", EventA(2), timedelta(seconds=0.6))
        await scheduling.schedule("a-1", EventA(1), timedelta(seconds=0.3))
        await AsyncParallel.until(lambda: len(seen) > 1)
        assert time.monotonic() - began > 0.3
        await AsyncParallel.until(lambda: seen == [0, 1, 2])
        assert 0.6 < time.monotonic() - began < 20
    assert await numbers(scheduling, "a-1") == [0, 1, 2]


async def test_run_without_subscriptions_only_delivers(scheduling: Store) -> None:
    await scheduling.schedule("a-1", EventA(1), timedelta())
    async with AsyncParallel() as parallel:
        await parallel.start(lambda: scheduling.run(scheduled=True))
        while not await numbers(scheduling, "a-1"):
            pass
        scheduling.stop()
        assert await parallel.results() == [None]
    with pytest.raises(InvalidArgumentError):
        await scheduling.run()


async def test_several_runs_deliver_each_message_once(
    scheduling: Store, open_store: OpenStore, own: str
) -> None:
    others = [await open_store(EventA | Signed, store=own) for _ in range(2)]
    count = 300
    for number in range(count):
        due = timedelta(milliseconds=number)
        await scheduling.schedule(f"a-{number % 7}", EventA(number), due)
    async with AsyncParallel() as parallel:
        await parallel.start(*(lambda each=each: each.run(scheduled=True) for each in others))
        streams: list[list[int]] = []
        while sum(map(len, streams)) < count:
            streams = [await numbers(scheduling, f"a-{n}") for n in range(7)]
        for each in others:
            each.stop()
        assert await parallel.results() == [None, None]
    assert streams == [[*range(n, count, 7)] for n in range(7)]


@pytest.mark.parametrize("due", [1, None, "soon", datetime(2026, 1, 1), timedelta.max])  # noqa: DTZ001
async def test_a_bad_time_is_refused(scheduling: Store, due: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        await scheduling.schedule("a-1", EventA(1), due)


async def test_a_bad_id_is_refused(scheduling: Store) -> None:
    bad: Any = "x"
    with pytest.raises(InvalidArgumentError):
        await scheduling.cancel(bad)
    with pytest.raises(InvalidArgumentError):
        await scheduling.schedule("a-1", EventA(1), DAY, message_id=bad)
    assert await scheduling.cancel(UUID(int=0)) is False
