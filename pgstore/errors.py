"""Every error that pgstore raises.

    PgstoreError
    ├── InvalidArgumentError                22023  also a ValueError
    ├── UnknownMessageTypeError                    also a LookupError
    ├── MessageDecodeError                         also a ValueError
    ├── MessageNotFoundError                       also a LookupError
    ├── StreamNotFoundError                        also a LookupError
    ├── StoreNotInDirectoryError                   also a LookupError
    ├── StoreNotInstalledError
    ├── StoreOutdatedError
    ├── TransactionFailedError
    ├── TransferError, in pgstore.transfer
    └── StoreError                                 also a psycopg.DatabaseError
        ├── OptimisticConcurrencyError      MS001
        ├── MessageIdInUseError             MS002
        ├── MessageIdMismatchError          MS003
        ├── ReadIsolationError              MS004
        ├── StandbyError                    MS005
        ├── PositionBeyondEndError          MS006
        ├── SequenceBehindError             MS007
        ├── StreamCutOffError               MS008
        ├── AppendConditionError            MS009
        ├── StoreTooNewError                MS010
        ├── MigrationEditedError            MS011
        ├── UnsupportedDatabaseError        MS012
        ├── LeaseLostError                  MS020
        ├── SubscriptionNotFoundError       MS021
        ├── SubscriptionExistsError         MS022
        ├── TransactionEndedError           MS023
        ├── StoreMovedError                 MS030
        └── StandbyBehindError              MS031

The classes with an MS code are raised by psycopg itself, on any connection of a process that has
imported pgstore. Everything else that the server says stays psycopg's: lost connections, time-outs,
serialization failures (40001) and deadlocks (40P01), both of which can be tried again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Self, TypeVar, overload
from uuid import UUID

import msgspec
import psycopg

from pgstore._core.text import printable

T = TypeVar("T")


class PgstoreError(Exception):
    """Base of all errors of pgstore. Its text is printable, whatever it quotes."""

    def __str__(self) -> str:
        return printable(super().__str__())


class InvalidArgumentError(PgstoreError, ValueError):
    """An argument is not what the operation takes; the call did nothing.

    `argument` is its name if the server's error has it; `detail` holds the rest of the server's
    DETAIL. If the server refused the argument, `sqlstate` is the code and `diag` has the whole
    answer.
    """

    sqlstate: str | None = "22023"
    diag: psycopg.errors.Diagnostic | None = None

    def __init__(self, message: str, detail: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.detail: Mapping[str, object] = detail or {}

    @property
    def argument(self) -> str | None:
        argument = self.detail.get("argument")
        return argument if isinstance(argument, str) else None


class _UnreadableError(PgstoreError):
    def __init__(self, message: str, stream: str, version: int, type: str) -> None:
        super().__init__(message, stream, version, type)  # all of them, for pickle
        self.message = message
        self.stream = stream
        self.version = version
        self.type = type

    def __str__(self) -> str:
        place = f"version {self.version} of stream {self.stream!r}"
        return printable(f"{self.message} (type {self.type!r}, {place})")


class UnknownMessageTypeError(_UnreadableError, LookupError):
    """A stored message has a type that this store object does not know.

    Map the name to a class (`messages={"OldName": NewClass, …}`), give the store an `Upcaster` for
    it, or read it with `store.raw`.
    """


class MessageDecodeError(_UnreadableError, ValueError):
    """A stored payload does not fit its type, or Python cannot hold a number of its metadata.

    `__cause__` tells where. `store.raw` reads both.
    """


class MessageNotFoundError(PgstoreError, LookupError):
    """No message has this `message_id`."""

    def __init__(self, message_id: UUID) -> None:
        super().__init__(message_id)
        self.message_id = message_id

    def __str__(self) -> str:
        return f"no message has the id {self.message_id}"


class StreamNotFoundError(PgstoreError, LookupError):
    """The stream is empty."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream

    def __str__(self) -> str:
        return f"there is no message in stream {self.stream}"


class StoreNotInDirectoryError(PgstoreError, LookupError):
    """The directory has no store of this name."""

    def __init__(self, store: str) -> None:
        super().__init__(store)
        self.store = store

    def __str__(self) -> str:
        return f"the directory has no store {self.store}"


class _NotAsNeededError(PgstoreError):
    """`on_standby` says that a standby could not change that; it can have been the primary's."""

    on_standby = False


class StoreNotInstalledError(_NotAsNeededError):
    """The store does not exist in this database, and this program may not, or cannot, make it."""


class StoreOutdatedError(_NotAsNeededError):
    """The store is older than this package, and this program may not, or cannot, upgrade it."""


class TransactionFailedError(PgstoreError):
    """A block ended normally, but its transaction had failed or ended before: it is not stored.

    An error of the database was caught inside the block, or the block ran COMMIT or ROLLBACK.
    """


class _Detail(Generic[T]):
    """An attribute of an error: the value of the same name in the server's DETAIL."""

    def __init__(self, kind: Callable[[str], T]) -> None:
        self._kind = kind

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, error: None, owner: type) -> Self: ...

    @overload
    def __get__(self, error: "StoreError", owner: type) -> T: ...

    def __get__(self, error: Any, owner: type) -> Any:
        return self if error is None else self._kind(str(error.detail[self._name]))


class StoreError(PgstoreError, psycopg.DatabaseError):
    """Base of the errors that the store's functions raise with an MS code as `sqlstate`."""

    def __str__(self) -> str:
        # Not psycopg's text, which continues with DETAIL, HINT and CONTEXT: those are in `diag`.
        return printable(self.diag.message_primary or super().__str__())

    @property
    def detail(self) -> Mapping[str, object]:
        """The server's DETAIL, a JSON object; empty if there is none."""
        text = self.diag.message_detail
        return msgspec.json.decode(text, type=dict[str, object]) if text else {}


class OptimisticConcurrencyError(StoreError, code="MS001"):
    """The stream is not at the expected version; nothing was stored."""

    stream = _Detail(str)
    expected_version = _Detail(int)
    actual_version = _Detail(int)


class _MessageIdError(StoreError):
    stream = _Detail(str)
    version = _Detail(int)
    message_id = _Detail(UUID)


class MessageIdInUseError(_MessageIdError, code="MS002"):
    """Another message has this id, at `version` of `stream`; nothing was stored."""


class MessageIdMismatchError(_MessageIdError, code="MS003"):
    """The stream holds another message than `message_id` at `version`; nothing was stored."""

    stored_message_id = _Detail(UUID)


class StreamCutOffError(StoreError, code="MS008"):
    """The beginning of the stream was deleted, and no snapshot has it: its state is not known.

    `floor` is the version of the last message that was deleted.
    """

    stream = _Detail(str)
    floor = _Detail(int)


class AppendConditionError(StoreError, code="MS009"):
    """A message that the condition looks for has come since the decision; nothing was stored.

    `stream` and `type` are empty and `version` is 0 if the role may not write to its category.
    """

    message_id = _Detail(UUID)
    stream = _Detail(str)
    version = _Detail(int)
    global_position = _Detail(int)
    type = _Detail(str)


class StoreTooNewError(StoreError, code="MS010"):
    """The store was installed by a newer pgstore; nothing was changed."""


class MigrationEditedError(StoreError, code="MS011"):
    """An applied migration differs from the one in this package; nothing was changed."""


class UnsupportedDatabaseError(StoreError, code="MS012"):
    """The server is older than PostgreSQL 14, or the database's encoding is not UTF8."""


class ReadIsolationError(StoreError, code="MS004"):
    """The call needs READ COMMITTED, as reads across streams and the work of subscriptions do."""


class StandbyError(StoreError, code="MS005"):
    """A standby does not know what is in flight, and no horizon was published.

    Read across streams on the primary, or have it publish its horizon.
    """


class PositionBeyondEndError(StoreError, code="MS006"):
    """A reader's position is beyond the last one of the store: it has seen another history.

    After a failover to an asynchronous standby, a restored backup, or with a store made anew.
    """

    _read_only = False  # the server, which may be a former primary

    position = _Detail(int)
    last_position = _Detail(int)


class SequenceBehindError(StoreError, code="MS007"):
    """A sequence of the store is behind the numbers that are stored; nothing was stored.

    The tables were copied without their sequences, or a sequence was set back. The store's owner
    calls the SQL function `repair_sequences`.
    """

    sequence = _Detail(str)
    last_value = _Detail(int)
    highest = _Detail(int)


class _SubscriptionError(StoreError):
    subscription = _Detail(str)


class LeaseLostError(_SubscriptionError, code="MS020"):
    """The lease on a partition has ended or was taken by another; nothing was changed."""

    partition = _Detail(int)


class SubscriptionNotFoundError(_SubscriptionError, code="MS021"):
    """No subscription has this name."""


class SubscriptionExistsError(_SubscriptionError, code="MS022"):
    """A subscription of this name reads something else, or in other partitions."""


class TransactionEndedError(_SubscriptionError, code="MS023"):
    """A handler ran COMMIT or ROLLBACK in the transaction that it was given.

    Changes that it committed stay, without an acknowledgement, and the next attempt repeats them.
    """

    partition = _Detail(int)


class StoreMovedError(StoreError, code="MS030"):
    """The store has another place, at `conninfo`, and is closed here; nothing was stored.

    Connect to `conninfo`, which has no password, and call it again there. A store of a `Directory`
    does so by itself with all that is not part of a transaction.
    """

    followed = False  # by a store of a directory: `run` and `follow` wait, and try again
    store = _Detail(str)
    conninfo = _Detail(str)


class StandbyBehindError(StoreError, code="MS031"):
    """A reader's position is beyond the published horizon on a standby: it is not there yet.

    `safe_position` is how far this standby can be read.
    """

    position = _Detail(int)
    safe_position = _Detail(int)
