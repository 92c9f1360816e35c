"""pgstore: a message store (event store) in PostgreSQL.

See `MessageStore`, or `AsyncMessageStore` for asyncio.
"""

from pgstore._async.store import AsyncMessageStore
from pgstore._ids import new_message_id
from pgstore._installation import install
from pgstore._messages import MessagePosition, RawMessage, StoredMessage
from pgstore._sync.store import MessageStore
from pgstore.errors import (
    InvalidArgumentError,
    MessageDecodeError,
    MessageIdInUseError,
    MessageIdMismatchError,
    MessageNotFound,
    MigrationEditedError,
    OptimisticConcurrencyError,
    PgstoreError,
    StoreError,
    StoreNotInstalledError,
    StoreOutdatedError,
    StoreTooNewError,
    UnknownMessageTypeError,
    UnsupportedDatabaseError,
)

__all__ = [
    "AsyncMessageStore",
    "InvalidArgumentError",
    "MessageDecodeError",
    "MessageIdInUseError",
    "MessageIdMismatchError",
    "MessageNotFound",
    "MessagePosition",
    "MessageStore",
    "MigrationEditedError",
    "OptimisticConcurrencyError",
    "PgstoreError",
    "RawMessage",
    "StoreError",
    "StoreNotInstalledError",
    "StoreOutdatedError",
    "StoreTooNewError",
    "StoredMessage",
    "UnknownMessageTypeError",
    "UnsupportedDatabaseError",
    "install",
    "new_message_id",
]
