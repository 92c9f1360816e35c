"""Handlers that get messages without a server."""

from collections.abc import Coroutine
from typing import Any, overload

from pgstore._async.subscription import AsyncSubscription
from pgstore._compat.joining import AsyncConn, Conn
from pgstore._core.arguments import describe, text_of
from pgstore._core.messages import E, RawMessage, StoredMessage
from pgstore._sync.subscription import Subscription
from pgstore.errors import InvalidArgumentError
from pgstore.testing._async.handling import async_handle
from pgstore.testing._sync.handling import handle as sync_handle
from pgstore.testing.messages import STREAM


@overload
def handle(
    subscription: Subscription[E],
    *messages: E | StoredMessage[Any] | RawMessage,
    stream: str = STREAM,
    conn: Conn | None = None,
) -> int: ...


@overload
def handle(
    subscription: AsyncSubscription[E],
    *messages: E | StoredMessage[Any] | RawMessage,
    stream: str = STREAM,
    conn: AsyncConn | None = None,
) -> Coroutine[Any, Any, int]: ...


def handle(subscription: Any, *messages: Any, stream: str = STREAM, conn: Any = None) -> Any:
    """Call the handlers of a subscription with messages, without a server; how many calls.

    Middlewares are called too. An error of a handler is raised here. Nothing is acknowledged or
    tried again. The filters of the subscription are the server's: give messages that pass them. A
    message for which there is no handler is passed over, as by a worker.

    Args:
        messages: of the store's types. `stored(message, …)` gives one a stream, a time and metadata
            of its own. RawMessage stands for one that older code has written.
        stream: that of the messages that have none of their own.
        conn: for handlers that take a transaction, as `conn=` of a store's operations: of psycopg,
            SQLAlchemy or Django. The handlers get psycopg's connection.

    Raises:
        InvalidArgumentError: a handler takes a transaction, and there is no `conn`.
    """
    text_of("stream", stream)
    if isinstance(subscription, Subscription):
        return sync_handle(subscription, messages, stream, conn)
    if isinstance(subscription, AsyncSubscription):
        return async_handle(subscription, messages, stream, conn)
    raise InvalidArgumentError(f"handle takes a subscription, not {describe(subscription)}")
