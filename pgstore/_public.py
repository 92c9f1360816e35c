"""The public names of pgstore."""

from pgstore._core import driver as driver  # first: it says what is missing

# isort: split
from pgstore._async.decider import AsyncDecider
from pgstore._async.directory import AsyncDirectory
from pgstore._async.follower import AsyncFollower
from pgstore._async.repository import AsyncRepository
from pgstore._async.store import AsyncMessageStore
from pgstore._async.subscription import AsyncSubscription
from pgstore._core.checking import UnreadableMessage
from pgstore._core.ids import new_message_id
from pgstore._core.messages import MessagePosition, RawMessage, StoredMessage
from pgstore._core.metadata import message_context
from pgstore._core.places import Place
from pgstore._core.states import Aggregate, Decided, Loaded, Snapshots
from pgstore._core.subscriptions import ParkedMessage, PartitionStatus, RunnerHooks
from pgstore._core.tags import AppendCondition, QueryItem, TaggedMessages
from pgstore._core.upcasters import Upcaster
from pgstore._install import install
from pgstore._sync.decider import Decider
from pgstore._sync.directory import Directory
from pgstore._sync.follower import Follower
from pgstore._sync.repository import Repository
from pgstore._sync.store import MessageStore
from pgstore._sync.subscription import Subscription
from pgstore.errors import (
    AppendConditionError,
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
    StandbyBehindError,
    StandbyError,
    StoreError,
    StoreMovedError,
    StoreNotInDirectoryError,
    StoreNotInstalledError,
    StoreOutdatedError,
    StoreTooNewError,
    StreamCutOffError,
    StreamNotFoundError,
    SubscriptionExistsError,
    SubscriptionNotFoundError,
    TransactionEndedError,
    TransactionFailedError,
    UnknownMessageTypeError,
    UnsupportedDatabaseError,
)

__all__ = [
    "Aggregate",
    "AppendCondition",
    "AppendConditionError",
    "AsyncDecider",
    "AsyncDirectory",
    "AsyncFollower",
    "AsyncMessageStore",
    "AsyncRepository",
    "AsyncSubscription",
    "Decided",
    "Decider",
    "Directory",
    "Follower",
    "InvalidArgumentError",
    "LeaseLostError",
    "Loaded",
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
    "Place",
    "PositionBeyondEndError",
    "QueryItem",
    "RawMessage",
    "ReadIsolationError",
    "Repository",
    "RunnerHooks",
    "SequenceBehindError",
    "Snapshots",
    "StandbyBehindError",
    "StandbyError",
    "StoreError",
    "StoreMovedError",
    "StoreNotInDirectoryError",
    "StoreNotInstalledError",
    "StoreOutdatedError",
    "StoreTooNewError",
    "StoredMessage",
    "StreamCutOffError",
    "StreamNotFoundError",
    "Subscription",
    "SubscriptionExistsError",
    "SubscriptionNotFoundError",
    "TaggedMessages",
    "TransactionEndedError",
    "TransactionFailedError",
    "UnknownMessageTypeError",
    "UnreadableMessage",
    "UnsupportedDatabaseError",
    "Upcaster",
    "install",
    "message_context",
    "new_message_id",
]
