# Generated from pgstore/_async/registering.py by `python tools/unasync.py`.

"""Handlers and middlewares of a subscription: how they are registered, and how called."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from psycopg import Connection

from pgstore._core import handlers
from pgstore._core.handlers import Handler
from pgstore._core.messages import StoredMessage
from pgstore._core.metadata import Context, current_context
from pgstore._core.subscriptions import Skipped, Undecoded

Middleware = Callable[[Any, Connection[Any] | None, Callable[[], None]], None]
_Stored = list[StoredMessage[Any]]

# A handler, its argument, and the context of its call: the causes are the messages in the argument.
Call = tuple[Handler, Any, Context]

# A decorator that returns the function as it is can bound its type, but not by the store's message
# types: the registration compares these when it is run.
H = TypeVar(
    "H",
    bound=Callable[[Any], None] | Callable[[Any, Connection[Any]], None],
)
B = TypeVar(
    "B",
    bound=Callable[[_Stored], None] | Callable[[_Stored, Connection[Any]], None],
)
M = TypeVar("M", bound=Middleware)
# Of a function whose connection is of a class of the caller's own, as a pool may have them.
T = TypeVar("T")
C = TypeVar("C", bound=Connection[Any])


class Registering:
    """The part of a subscription that has the handlers; see `Subscription`."""

    def __init__(self, name: str, known_types: frozenset[type]) -> None:
        self.name = name
        self.handlers: dict[type, Handler] = {}
        self.batch: Handler | None = None
        self.middlewares: list[Middleware] = []
        self._known_types = known_types

    @overload
    def handler(self, function: H) -> H: ...

    @overload
    def handler(self, function: Callable[[T, C], None]) -> Callable[[T, C], None]: ...

    @overload
    def handler(self) -> Callable[[H], H]: ...

    def handler(self, function: Any = None) -> Any:
        """Register a function for the messages that its first parameter is annotated with.

        That is a message type, a union of some, or `StoredMessage[…]` of them. A second parameter
        gets the connection whose transaction holds the acknowledgement too: the handler's changes
        with it happen exactly once.

        Raises:
            TypeError: no message can match the annotation.
            ValueError: a type has a handler already, or the subscription handles batches.
        """
        if function is None:  # @subscription.handler()
            return self.handler
        if self.batch is not None:
            raise ValueError(
                f"subscription {self.name!r} has a batch handler, which gets all its messages:"
                " declare another subscription"
            )
        handler = handlers.message_handler(function, self._known_types, Connection)
        for cls in handler.types:
            if cls in self.handlers:
                raise ValueError(
                    f"subscription {self.name!r} has a handler for {cls.__name__}:"
                    " call both functions in one, or declare another subscription"
                )
        self.handlers.update(dict.fromkeys(handler.types, handler))
        return function

    @overload
    def batch_handler(self, function: B) -> B: ...

    @overload
    def batch_handler(
        self, function: Callable[[list[StoredMessage[T]], C], None]
    ) -> Callable[[list[StoredMessage[T]], C], None]: ...

    @overload
    def batch_handler(self) -> Callable[[B], B]: ...

    def batch_handler(self, function: Any = None) -> Any:
        """Register a function that takes a `list[StoredMessage[…]]`, of one partition, in order.

        Messages of other types than those are passed over.

        Raises:
            TypeError: the annotation is another one.
            ValueError: there is a handler already.
        """
        if function is None:
            return self.batch_handler
        if self.batch is not None or self.handlers:
            raise ValueError(
                f"subscription {self.name!r} has a handler, and a batch handler gets all messages:"
                " declare another subscription"
            )
        self.batch = handlers.batch_handler(function, self._known_types, Connection)
        return function

    @overload
    def middleware(self, function: M) -> M: ...

    @overload
    def middleware(self) -> Callable[[M], M]: ...

    def middleware(self, function: M | None = None) -> M | Callable[[M], M]:
        """Register a function to call around each handler call, the first one outermost.

        It gets the message (or the list), the connection or None, and a function that calls the
        handler.
        """
        if function is None:
            return self.middleware
        handlers.refuse_other_color(function, Connection)
        self.middlewares.append(function)
        return function


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
