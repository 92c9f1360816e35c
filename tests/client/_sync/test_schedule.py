# Generated from tests/client/_async/test_schedule.py by `python tools/unasync.py`.

"""Messages for a later time: scheduled, cancelled, delivered by calls and by a run."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from pgstore import InvalidArgumentError, MessageIdInUseError, MessageStore
from tests.client._sync.conftest import OpenStore
from tests.client._sync.running import numbers, running
from tests.client.messages import EventA, Signed
from tests.client.parallel import Parallel
from tests.client.proxy import Proxy
from tests.stores import Stores

Store = MessageStore[Any]

DAY = timedelta(days=1)


@pytest.fixture
def own(stores: Stores) -> Iterator[str]:
    with stores.taken() as name:
        yield name


@pytest.fixture
def scheduling(open_store: OpenStore, own: str) -> Store:
    """A store of the test's own: what others have scheduled would be delivered too."""
    return open_store(EventA | Signed, store=own)


def test_a_scheduled_message_is_written_once_when_it_is_due(scheduling: Store) -> None:
    message_id = scheduling.schedule("a-1", EventA(1), DAY, metadata={"by": "me"})
    assert scheduling.deliver_scheduled() == 0
    assert scheduling.deliver_scheduled(due_by=2 * DAY) == 1
    assert scheduling.deliver_scheduled(due_by=datetime.now(UTC) + 2 * DAY) == 0
    (stored,) = list(scheduling.read("a-1"))
    assert (stored.message_id, stored.message) == (message_id, EventA(1))
    assert stored.metadata == {"by": "me"}


def test_the_id_is_the_callers_or_the_messages(scheduling: Store) -> None:
    signed = Signed(text="x")
    assert scheduling.schedule("a-1", signed, timedelta()) == signed.event_id
    given = uuid4()
    assert scheduling.schedule("a-1", EventA(1), timedelta(), message_id=given) == given
    assert scheduling.schedule("a-1", EventA(1), DAY, message_id=given) == given
    with pytest.raises(MessageIdInUseError) as caught:
        scheduling.schedule("a-1", EventA(2), DAY, message_id=given)
    assert caught.value.stream == "a-1"
    assert scheduling.deliver_scheduled() == 2


def test_all_that_is_due_is_delivered(scheduling: Store) -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with scheduling.transaction() as conn:
        for number in range(250):
            due = moment - timedelta(seconds=number)
            scheduling.schedule("a-1", EventA(number), due, conn=conn)
    assert scheduling.deliver_scheduled() == 250
    assert numbers(scheduling, "a-1") == [*reversed(range(250))]


def test_cancel(scheduling: Store) -> None:
    message_id = scheduling.schedule("a-1", EventA(1), timedelta())
    with scheduling.transaction() as conn:
        assert scheduling.cancel(message_id, conn=conn)
    assert not scheduling.cancel(message_id)
    assert scheduling.deliver_scheduled() == 0


def test_cancel_whose_answer_is_lost_does_not_say_that_the_message_was_written(
    open_store: OpenStore, own: str, conninfo: str
) -> None:
    with Proxy.running(conninfo) as proxy:
        store = open_store(EventA, store=own, conninfo=proxy.conninfo)
        message_id = store.schedule("a-1", EventA(1), timedelta())
        proxy.lose_answer_to(b"cancel_message")
        with pytest.raises(psycopg.OperationalError):
            store.cancel(message_id)
        assert proxy.lost == 1
        assert not store.cancel(message_id)
        message_id = store.schedule("a-1", EventA(1), timedelta())
        proxy.go_down()
        proxy.come_up()
        assert store.cancel(message_id)  # the connection was dead, and nothing was lost
        assert store.deliver_scheduled() == 0
        store.close()


def test_a_transaction_that_rolls_back_schedules_nothing(scheduling: Store) -> None:
    with suppress(ZeroDivisionError), scheduling.transaction() as conn:
        scheduling.schedule("a-1", EventA(1), timedelta(), conn=conn)
        raise ZeroDivisionError
    assert scheduling.deliver_scheduled() == 0


def test_run_delivers_at_the_time_and_sooner_if_one_is_scheduled_for_earlier(
    scheduling: Store,
) -> None:
    """It sleeps until the first one is due; an earlier one wakes it."""
    subscription = scheduling.subscription("all")
    seen: list[int] = []

    @subscription.handler
    def note(message: EventA) -> None:
        seen.append(message.num)

    scheduling.schedule("a-1", EventA(0), timedelta())
    scheduling.schedule("a-1", EventA(9), DAY)
    with running(scheduling, subscription, scheduled=True):
        Parallel.until(lambda: seen == [0])
        began = time.monotonic()
        scheduling.schedule("a-1", EventA(2), timedelta(seconds=0.6))
        scheduling.schedule("a-1", EventA(1), timedelta(seconds=0.3))
        Parallel.until(lambda: len(seen) > 1)
        assert time.monotonic() - began > 0.3
        Parallel.until(lambda: seen == [0, 1, 2])
        assert 0.6 < time.monotonic() - began < 20
    assert numbers(scheduling, "a-1") == [0, 1, 2]


def test_run_without_subscriptions_only_delivers(scheduling: Store) -> None:
    scheduling.schedule("a-1", EventA(1), timedelta())
    with Parallel() as parallel:
        parallel.start(lambda: scheduling.run(scheduled=True))
        while not numbers(scheduling, "a-1"):
            pass
        scheduling.stop()
        assert parallel.results() == [None]
    with pytest.raises(InvalidArgumentError):
        scheduling.run()


def test_several_runs_deliver_each_message_once(
    scheduling: Store, open_store: OpenStore, own: str
) -> None:
    others = [open_store(EventA | Signed, store=own) for _ in range(2)]
    count = 300
    for number in range(count):
        due = timedelta(milliseconds=number)
        scheduling.schedule(f"a-{number % 7}", EventA(number), due)
    with Parallel() as parallel:
        parallel.start(*(lambda each=each: each.run(scheduled=True) for each in others))
        streams: list[list[int]] = []
        while sum(map(len, streams)) < count:
            streams = [numbers(scheduling, f"a-{n}") for n in range(7)]
        for each in others:
            each.stop()
        assert parallel.results() == [None, None]
    assert streams == [[*range(n, count, 7)] for n in range(7)]


@pytest.mark.parametrize("due", [1, None, "soon", datetime(2026, 1, 1), timedelta.max])  # noqa: DTZ001
def test_a_bad_time_is_refused(scheduling: Store, due: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        scheduling.schedule("a-1", EventA(1), due)


def test_a_bad_id_is_refused(scheduling: Store) -> None:
    bad: Any = "x"
    with pytest.raises(InvalidArgumentError):
        scheduling.cancel(bad)
    with pytest.raises(InvalidArgumentError):
        scheduling.schedule("a-1", EventA(1), DAY, message_id=bad)
    assert scheduling.cancel(UUID(int=0)) is False
