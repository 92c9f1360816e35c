# Generated from pgstore/_async/calling.py by `python tools/unasync.py`.

"""Calls of a subscription's handlers: which ones messages need, and how one is made."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from psycopg import Connection

from pgstore._core.handlers import Handler
from pgstore._core.messages import StoredMessage
from pgstore._core.metadata import Context, current_context
from pgstore._core.subscriptions import Skipped, Undecoded
from pgstore._sync.registering import Middleware, Registering

# A handler, its argument, and the context of its call: the causes are the messages in the argument.
Call = tuple[Handler, Any, Context]


def calls_of(
    subscription: Registering, messages: Sequence[StoredMessage[Any] | Undecoded | Skipped]
) -> list[Call]:
    """The handler calls that these messages need."""
    around = current_context()
    if (handler := subscription.batch) is not None:
        types = handler.types
        known = [stored for stored in messages if type(stored.message) in types]
        return [(handler, known, Context(around, tuple(known)))] if known else []
    found = []
    for stored in messages:
        one = subscription.handlers.get(type(stored.message))
        if one is not None:
            argument = stored if one.takes_stored else stored.message
            found.append((one, argument, Context(around, (stored,))))
    return found


def handle(subscription: Registering, call: Call, conn: Connection[Any] | None) -> None:
    """Call a handler inside of the subscription's middlewares, in the context that is entered."""
    handler, argument, _ = call
    arguments = (argument, conn) if handler.takes_transaction else (argument,)
    if not subscription.middlewares:
        handler.function(*arguments)
        return
    around: Callable[[], None] = partial(handler.function, *arguments)
    for middleware in reversed(subscription.middlewares):
        around = _around(middleware, argument, conn, around)
    around()


def _around(
    middleware: Middleware,
    argument: Any,
    conn: Connection[Any] | None,
    call: Callable[[], None],
) -> Callable[[], None]:
    def wrapped() -> None:
        middleware(argument, conn, call)

    return wrapped
