"""Handlers that get messages."""

from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from typing import Any, Generic, cast

import msgspec

from pgstore._async import registering
from pgstore._async.database import joined
from pgstore._async.store import AsyncMessageStore
from pgstore._async.subscription import AsyncSubscription
from pgstore._compat.joining import AsyncConn
from pgstore._core.frameworks import kind_of
from pgstore._core.messages import E, RawMessage, StoredMessage
from pgstore._core.metadata import enter_context, message_context
from pgstore._core.upcasters import SkippedMessage
from pgstore.errors import InvalidArgumentError
from pgstore.testing.messages import read_back, stored
from pgstore.testing.outcomes import Outcome


class AsyncHandling(Generic[E]):
    """A subscription whose handlers run in its store."""

    def __init__(
        self, subscription: AsyncSubscription[E], messages: Iterable[E | StoredMessage[Any]]
    ) -> None:
        self._subscription = subscription
        self._store = cast(AsyncMessageStore[E], subscription.store)
        self._given = tuple(messages)

    async def when(self, *messages: E | StoredMessage[Any]) -> Outcome[None, E]:
        """Write messages, and run the handlers; those that the handlers write come of it.

        An error of a handler counts in the store as always.
        """
        await self._subscription.create()
        given, self._given = self._given, ()
        for each in given:
            await self._write(each)
        await self._store.run_once(self._subscription)
        position = await self._store.safe_position()
        for each in messages:
            position = await self._write(each)
        try:
            await self._store.run_once(self._subscription)
        except Exception as error:
            return Outcome(self._subscription.name, None, error=error)
        written = self._store.read_all(after_position=position)
        return Outcome(self._subscription.name, None, [each.message async for each in written])

    async def _write(self, message: E | StoredMessage[Any]) -> int:
        given = message if isinstance(message, StoredMessage) else stored(message)
        is_raw = isinstance(given.message, RawMessage)
        store: AsyncMessageStore[Any] = self._store.raw if is_raw else self._store
        position = await store.write(
            given.stream, given.message, metadata=given.metadata, tags=given.tags
        )
        return position.global_position


async def async_handle(
    subscription: AsyncSubscription[E],
    messages: Iterable[E | StoredMessage[Any] | RawMessage],
    stream: str,
    conn: AsyncConn | None,
) -> int:
    """Call the handlers of a subscription with messages; see `pgstore.testing.handle`."""
    store = cast(AsyncMessageStore[E], subscription.store)
    given: list[StoredMessage[Any]] = []
    for number, each in enumerate(messages, 1):
        one: StoredMessage[Any] = (
            each if isinstance(each, StoredMessage) else stored(each, stream=stream, version=number)
        )
        with suppress(SkippedMessage):  # as a worker passes over it
            message = read_back(store._codec, one.message, one.stream, one.version)
            given.append(msgspec.structs.replace(one, message=message))
    calls = registering.calls_of(subscription, given)
    async with AsyncExitStack() as stack:
        # At the end the context is as before: each call enters its own.
        stack.enter_context(message_context())
        raw: Any = conn  # a test's own, too
        if kind_of(conn) is not None:
            raw = await stack.enter_async_context(joined(cast(AsyncConn, conn)))
        for call in calls:
            if call[0].takes_transaction and raw is None:
                raise InvalidArgumentError(
                    f"{call[0].name} takes the transaction: pass conn=, or run it in a store"
                )
            enter_context(call[-1])
            await registering.handle(subscription, call, raw)
    return len(calls)
