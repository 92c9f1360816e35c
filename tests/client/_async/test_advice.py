"""What errors say of subscriptions, connections and raw messages, and what is not an error."""

from contextlib import suppress
from typing import Any

import psycopg
import pytest

from pgstore import (
    AsyncMessageStore,
    InvalidArgumentError,
    RawMessage,
    StoredMessage,
    SubscriptionNotFoundError,
)
from tests.client._async.conftest import OpenConnection, OpenStore
from tests.client._async.running import running
from tests.client._async.test_subscription import collecting, fill
from tests.client.messages import EventA

Store = AsyncMessageStore[Any]
Raw: Any = RawMessage


async def test_looking_at_a_subscription_does_not_create_it(store: Store, category: str) -> None:
    subscription = store.subscription(category, category=category)
    for look in (subscription.position, subscription.partitions, subscription.parked):
        with pytest.raises(SubscriptionNotFoundError) as caught:
            await look()
        assert caught.value.subscription == category
    await subscription.create()
    assert (await subscription.position(), await subscription.parked()) == (0, [])


async def test_decorators_may_be_called(store: Store, category: str) -> None:
    await fill(store, category, 1)
    one, several = (store.subscription(f"{category}{n}", category=category) for n in "ab")
    seen: list[str] = []

    @one.middleware()
    async def around(message: Any, conn: Any, call: Any) -> None:
        seen.append("around")
        await call()

    @one.handler()
    async def handle(message: EventA) -> None:
        seen.append("handler")

    @several.batch_handler()
    async def handle_several(messages: list[StoredMessage[Any]]) -> None:
        seen.append("batch handler")

    await store.run_once(one)
    await store.run_once(several)
    assert seen == ["around", "handler", "batch handler"]


async def test_wait_until_tells_where_the_subscription_is(store: Store, category: str) -> None:
    last = await fill(store, category, 1)
    subscription = store.subscription(category, category=category, max_attempts=1)

    async def told() -> str:
        with pytest.raises(TimeoutError) as caught:
            await subscription.wait_until(last, timeout=0)
        text = str(caught.value)
        assert f"{category!r} has not reached position {last} in 0 s" in text
        return text

    assert "there is no such subscription yet" in await told()
    await subscription.create()
    assert "it is at 0, its partition 0 is waiting; nobody works on it" in await told()
    await subscription.pause()
    assert "is paused; resume()" in await told()
    await subscription.resume()

    @subscription.handler
    async def fail(message: EventA) -> None:
        raise ValueError("one is too many")

    await store.run_once(subscription, raise_errors=False)
    assert "is stopped after 'ValueError: one is too many'; mend its handler" in await told()


async def test_wait_until_waits_for_one_that_is_not_there_yet(store: Store, category: str) -> None:
    last = await fill(store, category, 1)
    subscription = store.subscription(category, category=category)
    collecting(subscription)
    async with running(store, subscription):
        await store.subscription(category, category=category).wait_until(last, timeout=30)


async def test_run_once_does_not_log_what_it_raises(
    store: Store, category: str, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(store, category, 1)
    subscription = store.subscription(category, category=category, retry_delay=0, ignore=["EventB"])

    @subscription.handler
    async def fail(message: EventA) -> None:
        raise ValueError("one is too many")

    with pytest.raises(ValueError, match="too many"):
        await store.run_once(subscription)
    assert caplog.messages == []
    await store.run_once(subscription, raise_errors=False)
    assert len(caplog.messages) > 0


async def test_a_parked_message_that_was_deleted_has_no_place(
    open_store: OpenStore, schema: str, category: str
) -> None:
    store = await open_store(store=schema)
    await fill(store, category, 1)
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=1
    )

    @subscription.handler
    async def fail(message: EventA) -> None:
        raise ValueError("one is too many")

    await store.run_once(subscription, raise_errors=False)
    async with store.transaction() as conn:
        await conn.execute(f"SELECT {schema}.delete_stream(%s, 1, 'asked')", [f"{category}-1"])
    (parked,) = await subscription.parked()
    assert (parked.stream, parked.version, parked.type, parked.message_id) == (None,) * 4


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Raw("line\nbreak", b"{}"), "without control characters"),
        (Raw("\x7f", b"{}"), "without control characters"),
        (Raw("", b"{}"), "1 to 255 bytes"),
        (Raw("a" * 256, b"{}"), "a…"),
        (Raw(7, b"{}"), "not 7"),
        (Raw("A", {}), "JSON in bytes"),
        (Raw("A", "{}"), "JSON in bytes"),
        (Raw("A", b"{"), "json"),
        (Raw("A", b"\xff"), "not JSON"),
        (EventA(1), r"RawMessage\(type, data\)"),
    ],
)
async def test_raw_messages_are_checked_alike_alone_and_in_a_batch(
    store: Store, stream: str, message: Any, said: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        await store.raw.write(stream, message)
    with pytest.raises(InvalidArgumentError, match=said):
        await store.raw.write_many(stream, [message])
    assert await store.stream_version(stream) == 0


async def test_a_transaction_that_has_failed_is_told_with_what_to_do(
    store: Store, open_connection: OpenConnection, category: str
) -> None:
    conn = await open_connection(autocommit=False)
    with suppress(psycopg.errors.DivisionByZero):
        await conn.execute("SELECT 1 / 0")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction) as caught:
        await store.write(f"{category}-1", EventA(1), conn=conn)
    assert "savepoint" in caught.value.__notes__[0]
