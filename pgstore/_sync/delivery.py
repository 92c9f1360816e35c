# Generated from pgstore/_async/delivery.py by `python tools/unasync.py`.

"""Handing messages to the handlers, and acknowledging them."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from pgstore._handlers import Handler
from pgstore._messages import StoredMessage
from pgstore._subscriptions import RunnerHooks
from pgstore._sync.subscription import Subscription
from pgstore._translation import is_lost_connection
from pgstore.errors import LeaseLostError, UnknownMessageTypeError

if TYPE_CHECKING:
    from pgstore._sync.database import Database

_log = logging.getLogger("pgstore")

# Columns of fetch_batch after those of a message, and whether nothing comes after it, so that the
# lease is given back with its acknowledgement.
CHECKPOINT, PARKED, LAST = 8, 9, 10

# Columns of claim_batch after those.
SUBSCRIPTION, PARTITION, TOKEN = 11, 12, 13


class Lease(msgspec.Struct, eq=False):
    """A partition in hand."""

    subscription: Subscription[Any]
    partition: int
    token: int

    @property
    def parameters(self) -> tuple[str, str, str]:
        return (self.subscription.name, str(self.partition), str(self.token))


class Failure(Exception):
    """Handling the message at a position failed, for the reason in `__cause__`.

    `redo` are the messages to handle before that is recorded, because it took them with it; `apart`
    one by one, because one of them may be the reason. `handled` is how many it left handled.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position
        self.redo: list[TupleRow] = []
        self.apart = False
        self.handled = 0

    def rolls_back(self, rows: list[TupleRow]) -> None:
        self.redo = rows if self.apart else [row for row in rows if row[3] < self.position]


class Delivery:
    """Hands batches to a subscription's handlers, each in a way that can be done again."""

    def __init__(
        self,
        database: "Database",
        decode: Callable[[TupleRow], StoredMessage[Any]],
        hooks: RunnerHooks,
    ) -> None:
        self._database = database
        self._statements = database.statements
        self._decode = decode
        self._hooks = hooks

    def handle(self, lease: Lease, rows: list[TupleRow], raise_errors: bool) -> tuple[int, bool]:
        """Handle a batch; how many were, and whether the lease is given back."""
        start = time.monotonic()
        parts = self._parts(lease, rows)
        handled = 0
        failure = None
        while parts:
            part = parts.pop(0)
            try:
                self._handle_part(lease, part)
                handled += len(part)
            except Failure as error:
                handled += error.handled
                if error.apart:
                    parts = [[row] for row in error.redo]
                else:
                    failure = error
                    parts = [error.redo] if error.redo else []
        if handled:
            seconds = time.monotonic() - start
            self._hooks.processed(lease.subscription.name, lease.partition, handled, seconds)
        if failure is not None:
            return handled, self._failed(lease, failure, raise_errors)
        return handled, bool(rows[-1][LAST])

    def _failed(self, lease: Lease, failure: Failure, raise_errors: bool) -> bool:
        """Record a failure; whether that gives the lease back."""
        error = failure.__cause__
        assert isinstance(error, Exception)
        ((action,),) = self._database.rows(
            self._statements.fail_message,
            (*lease.parameters, str(failure.position), f"{type(error).__name__}: {error}"),
            repeatable=False,  # it counts
        )
        _log.error(
            "subscription %s, partition %s, position %s: %s, after %s",
            *(lease.subscription.name, lease.partition, failure.position, action),
            type(error).__name__,
            exc_info=error,
        )
        self._hooks.failed(lease.subscription.name, lease.partition, error, action)
        if raise_errors:
            raise error
        return bool(action != "park")

    @staticmethod
    def _parts(lease: Lease, rows: list[TupleRow]) -> list[list[TupleRow]]:
        """What is handled and acknowledged at a time."""
        each = lease.subscription.options.acknowledge == "message"
        return [[row] for row in rows] if each else [rows]

    def _handle_part(self, lease: Lease, rows: list[TupleRow]) -> None:
        calls = self._calls(lease.subscription, rows)
        batch = lease.subscription.batch is not None and len(rows) > 1
        if any(handler.takes_transaction for _, handler, _ in calls):
            try:
                with self._database.transaction() as conn:
                    for position, handler, argument in calls:
                        self._call(lease.subscription, position, handler, argument, conn)
                    self._acknowledge(lease, rows[-1], conn)
            except Failure as failure:
                failure.apart = batch
                failure.rolls_back(rows)
                raise
            except LeaseLostError:
                raise
            except Exception as error:
                if _is_of_the_connection(error):
                    raise
                committing = Failure(rows[0][3])  # or any other of them
                committing.apart = len(rows) > 1
                committing.rolls_back(rows)
                raise committing from error
            return
        done = None
        try:
            for position, handler, argument in calls:
                self._call(lease.subscription, position, handler, argument, None)
                done = position
        except Failure as failure:
            if batch:
                failure.apart = True
                failure.rolls_back(rows)
            before = [row for row in rows if done is not None and row[3] <= done]
            if before and not before[-1][PARKED] and len(calls) > 1:
                # What has been handled need not be handled again.
                row = before[-1]
                self._acknowledge(lease, (*row[:CHECKPOINT], row[3], False, False), None)
                failure.handled = len(before)
            raise
        self._acknowledge(lease, rows[-1], None)

    def _acknowledge(self, lease: Lease, row: TupleRow, conn: Connection[Any] | None) -> None:
        if row[PARKED]:
            self._database.rows(
                self._statements.settle_parked,
                (*lease.parameters, str(row[3])),
                conn,
                repeatable=False,  # settled twice is refused
            )
            return
        self._database.rows(
            self._statements.acknowledge,
            (*lease.parameters, str(row[CHECKPOINT]), "true" if row[LAST] else "false"),
            conn,
        )

    def _calls(
        self, subscription: Subscription[Any], rows: list[TupleRow]
    ) -> list[tuple[int, Handler, Any]]:
        """The handler calls that these messages need, each with its first message's position."""
        messages = []
        for row in rows:
            try:
                messages.append(self._decode(row))
            except Exception as error:
                unknown = isinstance(error, UnknownMessageTypeError)
                if unknown and subscription.options.unknown_types == "skip":
                    continue
                failure = Failure(row[3])
                failure.rolls_back(rows)
                raise failure from error
        if (handler := subscription.batch) is not None:
            batch = [stored for stored in messages if type(stored.message) in handler.types]
            return [(batch[0].global_position, handler, batch)] if batch else []
        found = []
        for stored in messages:
            handler = subscription.handlers.get(type(stored.message))
            if handler is not None:
                argument = stored if handler.takes_stored else stored.message
                found.append((stored.global_position, handler, argument))
        return found

    def _call(
        self,
        subscription: Subscription[Any],
        position: int,
        handler: Handler,
        argument: Any,
        conn: Connection[Any] | None,
    ) -> None:
        def handle() -> None:
            if handler.takes_transaction:
                handler.function(argument, conn)
            else:
                handler.function(argument)

        call: Callable[[], None] = handle
        for middleware in reversed(subscription.middlewares):
            call = _around(middleware, argument, conn, call)
        try:
            call()
        except Exception as error:
            if conn is not None and conn.closed:
                # Which is not the message's fault, whatever the handler made of it.
                raise psycopg.OperationalError("the connection was lost") from error
            raise Failure(position) from error


def _is_of_the_connection(error: Exception) -> bool:
    """Tell whether there was no connection, or is none any more."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or is_lost_connection(error)


def _around(
    middleware: Callable[..., None],
    argument: Any,
    conn: Connection[Any] | None,
    call: Callable[[], None],
) -> Callable[[], None]:
    def wrapped() -> None:
        middleware(argument, conn, call)

    return wrapped
