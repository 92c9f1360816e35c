"""A store that its application keeps, as new for the next test."""

from collections.abc import Coroutine
from typing import Any, overload

from pgstore._async.store import AsyncMessageStore
from pgstore._core.arguments import describe
from pgstore._sync.store import MessageStore
from pgstore.errors import InvalidArgumentError
from pgstore.testing._async.resetting import async_reset
from pgstore.testing._sync.resetting import reset as sync_reset


@overload
def reset(store: MessageStore[Any]) -> None: ...


@overload
def reset(store: AsyncMessageStore[Any]) -> Coroutine[Any, Any, None]: ...


def reset(store: Any) -> Any:
    """Delete all streams, subscriptions, snapshots, policies and audits: at the end of a test.

    For a store that an application makes once, as a Django project does. Rights stay, and
    positions continue to rise. Only the owner of the store may do this. It waits up to 10 seconds
    for transactions that read or write in the store.

    Not `empty_store`, after which streams keep their versions and subscriptions their checkpoints.

    Raises:
        psycopg.errors.LockNotAvailable: a session has a transaction open.
        psycopg.errors.InsufficientPrivilege: the role does not own the store.
    """
    if isinstance(store, MessageStore):
        return sync_reset(store)
    if isinstance(store, AsyncMessageStore):
        return async_reset(store)
    raise InvalidArgumentError(f"reset takes a store, not {describe(store)}")
