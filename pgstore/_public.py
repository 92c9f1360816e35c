"""The public names of pgstore."""

from pgstore._core import driver as driver  # first: it says what is missing

# isort: split
from pgstore._async.follower import AsyncFollower
from pgstore._async.store import AsyncMessageStore
from pgstore._async.subscription import AsyncSubscription
from pgstore._core.ids import new_message_id
from pgstore._core.messages import MessagePosition, RawMessage, StoredMessage
from pgstore._core.metadata import message_context
from pgstore._core.subscriptions import ParkedMessage, PartitionStatus, RunnerHooks
from pgstore._install import install
from pgstore._sync.follower import Follower
from pgstore._sync.store import MessageStore
from pgstore._sync.subscription import Subscription
from pgstore.errors import (
    InvalidArgumentError,
    LeaseLostError,
    MessageDecodeError,
    MessageIdInUseError,
    MessageIdMismatchError,
    MessageNotFoundError,
    MigrationEditedError,
    OptimisticConcurrencyError,
    PgstoreError,
    PositionBeyondEndError,
    ReadIsolationError,
    SequenceBehindError,
    StandbyError,
    StoreError,
    StoreNotInstalledError,
    StoreOutdatedError,
    StoreTooNewError,
    SubscriptionExistsError,
    SubscriptionNotFoundError,
    TransactionEndedError,
    TransactionFailedError,
    UnknownMessageTypeError,
    UnsupportedDatabaseError,
)

__all__ = [
    "AsyncFollower",
    "AsyncMessageStore",
    "AsyncSubscription",
    "Follower",
    "InvalidArgumentError",
    "LeaseLostError",
    "MessageDecodeError",
    "MessageIdInUseError",
    "MessageIdMismatchError",
    "MessageNotFoundError",
    "MessagePosition",
    "MessageStore",
    "MigrationEditedError",
    "OptimisticConcurrencyError",
    "ParkedMessage",
    "PartitionStatus",
    "PgstoreError",
    "PositionBeyondEndError",
    "RawMessage",
    "ReadIsolationError",
    "RunnerHooks",
    "SequenceBehindError",
    "StandbyError",
    "StoreError",
    "StoreNotInstalledError",
    "StoreOutdatedError",
    "StoreTooNewError",
    "StoredMessage",
    "Subscription",
    "SubscriptionExistsError",
    "SubscriptionNotFoundError",
    "TransactionEndedError",
    "TransactionFailedError",
    "UnknownMessageTypeError",
    "UnsupportedDatabaseError",
    "install",
    "message_context",
    "new_message_id",
]
