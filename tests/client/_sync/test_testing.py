# Generated from tests/client/_async/test_testing.py by `python tools/unasync.py`.

"""Handlers that get messages in tests: without a server, and in a store."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import sentinel
from uuid import UUID

import msgspec
import psycopg
import pytest

import pgstore
from pgstore import MessageStore, RawMessage, StoredMessage
from pgstore._core.metadata import current_context
from pgstore.testing import given, handle, stored
from tests.client._sync.conftest import OpenStore
from tests.client.messages import EventA, EventB
from tests.stores import Stores

Message = EventA | EventB


@pytest.fixture
def nowhere() -> MessageStore[Any]:
    """A store that cannot connect."""
    return MessageStore[Message]("host=/nonexistent", messages=Message)


def test_handlers_are_called_without_a_server(nowhere: MessageStore[Any]) -> None:
    seen: list[object] = []
    subscription = nowhere.subscription("s")

    @subscription.handler
    def on_a(message: EventA) -> None:
        seen.append(message)

    assert handle(subscription, EventA(1), EventB("x"), EventA(2)) == 2
    assert seen == [EventA(1), EventA(2)]
    assert handle(subscription) == 0


def test_handlers_get_the_same_stored_messages_each_time(
    nowhere: MessageStore[Any],
) -> None:
    seen: list[StoredMessage[Any]] = []
    subscription = nowhere.subscription("s")

    @subscription.handler
    def on_any(message: StoredMessage[EventA | EventB]) -> None:
        seen.append(message)

    third = stored(EventA(3), stream="b-1", version=7, metadata={"user": "ada"})
    handle(subscription, EventA(1), EventB("2"), third, stream="a-1")
    at = datetime(2000, 1, 1, tzinfo=UTC)
    assert seen == [
        StoredMessage(UUID(int=1), "a-1", 1, EventA(1), 1, at),
        StoredMessage(UUID(int=2), "a-1", 2, EventB("2"), 2, at),
        StoredMessage(UUID(int=7), "b-1", 7, EventA(3), 7, at, {"user": "ada"}),
    ]


def test_batch_handler_gets_its_messages_at_once(nowhere: MessageStore[Any]) -> None:
    seen: list[list[EventA]] = []
    subscription = nowhere.subscription("s")

    @subscription.batch_handler
    def on_all(messages: list[StoredMessage[EventA]]) -> None:
        seen.append([each.message for each in messages])

    assert handle(subscription, EventA(1), EventB("x"), EventA(2)) == 1
    assert seen == [[EventA(1), EventA(2)]]


def test_middlewares_are_called_and_the_connection_is_handed_on(
    nowhere: MessageStore[Any],
) -> None:
    seen: list[object] = []
    subscription = nowhere.subscription("s")

    @subscription.middleware
    def around(message: Any, conn: Any, call: Callable[[], None]) -> None:
        seen.append(("before", conn))
        call()

    @subscription.handler
    def on_a(message: EventA, tx: psycopg.Connection) -> None:
        seen.append((message, tx))

    handle(subscription, EventA(1), conn=sentinel.conn)
    assert seen == [("before", sentinel.conn), (EventA(1), sentinel.conn)]
    with pytest.raises(pgstore.InvalidArgumentError, match=r"on_a takes the transaction"):
        handle(subscription, EventA(1))


def test_handlers_have_the_context_of_their_message(nowhere: MessageStore[Any]) -> None:
    seen: list[object] = []
    subscription = nowhere.subscription("s")

    @subscription.handler
    def on_a(message: EventA) -> None:
        context = current_context()
        seen.append(context and context.values)

    with pgstore.message_context(user="ada"):
        handle(subscription, stored(EventA(1), metadata={"correlation_id": "c"}))
    assert seen == [{"user": "ada", "correlation_id": "c", "causation_id": str(UUID(int=1))}]


def test_error_of_a_handler_is_raised_as_it_is(nowhere: MessageStore[Any]) -> None:
    subscription = nowhere.subscription("s")

    @subscription.handler
    def on_a(message: EventA) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$") as caught:
        handle(subscription, EventA(1))
    assert caught.value.__cause__ is None


def test_messages_that_a_store_would_refuse_are_refused(
    nowhere: MessageStore[Any],
) -> None:
    subscription = nowhere.subscription("s")
    with pytest.raises(pgstore.InvalidArgumentError, match="num"):
        handle(subscription, EventA("1"))  # type: ignore[arg-type]
    with pytest.raises(pgstore.UnknownMessageTypeError):
        handle(subscription, RawMessage("Lost", b"{}"))
    with pytest.raises(pgstore.InvalidArgumentError, match="takes a subscription"):
        handle(nowhere)  # type: ignore[call-overload]


def test_handlers_of_a_store_write_what_is_expected(open_store: OpenStore, stores: Stores) -> None:
    with stores.taken() as name:
        store = open_store(store=name)
        subscription = store.subscription("s", types=[EventA])
        seen: list[int] = []

        @subscription.handler
        def on_a(stored: StoredMessage[EventA], tx: psycopg.Connection) -> None:
            seen.append(stored.message.num)
            if stored.message.num < 0:
                raise ValueError(stored.metadata)
            store.write(f"b-{stored.stream}", EventB(str(stored.message.num)), conn=tx)

        case = given(subscription, EventA(1), stored(RawMessage("EventA", b'{"num": 2}')))
        case.when(EventA(3), EventA(4)).then(EventB("3"), EventB("4"))
        assert seen == [1, 2, 3, 4]
        case.when(EventA(5)).then(EventB("5"))
        assert seen == [1, 2, 3, 4, 5]
        written = [each.message for each in store.read("b-test-1")]
        assert written == [EventB("1"), EventB("2"), EventB("3"), EventB("4"), EventB("5")]
        with pytest.raises(AssertionError, match=r"s: not the expected messages"):
            (given(subscription).when(EventA(5))).then(EventB("6"))
        bad = stored(EventA(-1), stream="c-1", metadata={"user": "ada"})
        (given(subscription).when(bad)).then(ValueError({"user": "ada"}))
        store.close()


def test_new_subscription_at_the_end_gets_the_given_messages(
    open_store: OpenStore, stores: Stores
) -> None:
    with stores.taken() as name:
        store = open_store(store=name)
        subscription = store.subscription("s", start="end")
        seen: list[EventA] = []

        @subscription.handler
        def on_a(message: EventA) -> None:
            seen.append(msgspec.structs.replace(message))

        (given(subscription, EventA(1)).when(EventA(2))).then()
        assert seen == [EventA(1), EventA(2)]
        store.close()
