# Generated from pgstore/testing/_async/handling.py by `python tools/unasync.py`.

"""Handlers that get messages."""

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any, Generic, cast

import msgspec

from pgstore._compat.joining import Conn
from pgstore._core.frameworks import kind_of
from pgstore._core.messages import E, RawMessage, StoredMessage
from pgstore._core.metadata import enter_context, message_context
from pgstore._core.upcasters import SkippedMessage
from pgstore._sync import registering
from pgstore._sync.database import joined
from pgstore._sync.store import MessageStore
from pgstore._sync.subscription import Subscription
from pgstore.errors import InvalidArgumentError
from pgstore.testing.messages import read_back, stored
from pgstore.testing.outcomes import Outcome


class Handling(Generic[E]):
    """A subscription whose handlers run in its store."""

    def __init__(
        self, subscription: Subscription[E], messages: Iterable[E | StoredMessage[Any]]
    ) -> None:
        self._subscription = subscription
        self._store = cast(MessageStore[E], subscription.store)
        self._given = tuple(messages)

    def when(self, *messages: E | StoredMessage[Any]) -> Outcome[None, E]:
        """Write messages, and run the handlers; those that the handlers write come of it.

        An error of a handler counts in the store as always.
        """
        self._subscription.create()
        given, self._given = self._given, ()
        for each in given:
            self._write(each)
        self._store.run_once(self._subscription)
        position = self._store.safe_position()
        for each in messages:
            position = self._write(each)
        try:
            self._store.run_once(self._subscription)
        except Exception as error:
            return Outcome(self._subscription.name, None, error=error)
        written = self._store.read_all(after_position=position)
        return Outcome(self._subscription.name, None, [each.message for each in written])

    def _write(self, message: E | StoredMessage[Any]) -> int:
        given = message if isinstance(message, StoredMessage) else stored(message)
        is_raw = isinstance(given.message, RawMessage)
        store: MessageStore[Any] = self._store.raw if is_raw else self._store
        position = store.write(
            given.stream, given.message, metadata=given.metadata, tags=given.tags
        )
        return position.global_position


def handle(
    subscription: Subscription[E],
    messages: Iterable[E | StoredMessage[Any] | RawMessage],
    stream: str,
    conn: Conn | None,
) -> int:
    """Call the handlers of a subscription with messages; see `pgstore.testing.handle`."""
    store = cast(MessageStore[E], subscription.store)
    given: list[StoredMessage[Any]] = []
    for number, each in enumerate(messages, 1):
        one: StoredMessage[Any] = (
            each if isinstance(each, StoredMessage) else stored(each, stream=stream, version=number)
        )
        with suppress(SkippedMessage):  # as a worker passes over it
            message = read_back(store._codec, one.message, one.stream, one.version)
            given.append(msgspec.structs.replace(one, message=message))
    calls = registering.calls_of(subscription, given)
    with ExitStack() as stack:
        # At the end the context is as before: each call enters its own.
        stack.enter_context(message_context())
        raw: Any = conn  # a test's own, too
        if kind_of(conn) is not None:
            raw = stack.enter_context(joined(cast(Conn, conn)))
        for call in calls:
            if call[0].takes_transaction and raw is None:
                raise InvalidArgumentError(
                    f"{call[0].name} takes the transaction: pass conn=, or run it in a store"
                )
            enter_context(call[-1])
            registering.handle(subscription, call, raw)
    return len(calls)
