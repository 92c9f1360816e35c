# Generated from pgstore/_async/delivery.py by `python tools/unasync.py`.

"""Handing messages to the handlers, and acknowledging them."""

import time
from typing import Any

import msgspec
import psycopg
from psycopg import Connection
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from pgstore._compat.tasks import ends, pause
from pgstore._core import statements as s
from pgstore._core.failures import TRIES, description, is_conflict, pause_after
from pgstore._core.log import log
from pgstore._core.metadata import current_context, enter_context, leave_context
from pgstore._core.subscriptions import Batch, RunnerHooks
from pgstore._core.text import one_line
from pgstore._core.translation import is_lost_connection, is_of_the_server, refuse_failed
from pgstore._sync.cursor import Parameters
from pgstore._sync.database import Database
from pgstore._sync.registering import Call, calls_of, handle
from pgstore._sync.subscription import Subscription
from pgstore.errors import (
    LeaseLostError,
    TransactionEndedError,
    TransactionFailedError,
    UnknownMessageTypeError,
)


class Lease(msgspec.Struct, eq=False):
    """A partition that a worker holds."""

    subscription: Subscription[Any]
    partition: int
    token: int
    # The error with which the server ended the handler's transaction: its message may be to blame.
    lost: str | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.subscription.name, str(self.partition), str(self.token))


class Failure(Exception):
    """Handling the message at a position failed, for the reason in `__cause__`.

    `redo` are the messages to handle before that is recorded, because it took them with it; `apart`
    one by one, because one of them may be the reason. `handled` is how many it left handled.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position
        self.redo: list[Batch] = []
        self.apart = False
        self.handled = 0

    def rolls_back(self, batch: Batch, *, apart: bool = False) -> None:
        self.apart = apart
        if apart:
            self.redo = batch.each()
        elif (before := batch.before(self.position)).messages:
            self.redo = [before]


class Delivery:
    """Hands batches to a subscription's handlers, each in a way that can be done again."""

    def __init__(
        self,
        database: Database,
        hooks: RunnerHooks,
    ) -> None:
        self._database = database
        self._hooks = hooks

    def handle(self, lease: Lease, batch: Batch, raise_errors: bool) -> tuple[int, bool]:
        """Handle a batch; how many were, and whether the lease is given back."""
        start = time.monotonic()
        parts = batch.each() if lease.subscription.options.acknowledge == "message" else [batch]
        handled = tries = 0
        failure = None
        while parts:
            part = parts.pop(0)
            token = enter_context(current_context())
            try:
                self._handle_part(lease, part)
                handled += len(part.messages)
                tries = 0
            except Failure as error:
                handled += error.handled
                tries = 0 if error.handled else tries
                if tries < TRIES and is_conflict(error.__cause__):
                    # Two transactions were in each other's way: no message is to blame for that.
                    log.info(
                        "subscription %s, partition %s: %s, tried again",
                        *(lease.subscription.name, lease.partition, type(error.__cause__).__name__),
                    )
                    pause(pause_after(tries))
                    tries += 1
                    parts.insert(0, part.without(error.handled))
                    continue
                tries, parts = 0, error.redo
                if not error.apart:
                    failure = error
            finally:
                leave_context(token)
        if handled:
            seconds = time.monotonic() - start
            self._hooks.handled(lease.subscription.name, lease.partition, handled, seconds)
        if failure is not None:
            return handled, self._failed(lease, failure, raise_errors)
        return handled, batch.last

    def _failed(self, lease: Lease, failure: Failure, raise_errors: bool) -> bool:
        """Record a failure; whether that gives the lease back."""
        error = failure.__cause__
        assert error is not None
        if is_of_the_server(error):
            # The log has this text: it may be another server, of a store that has moved.
            text = f"the server could not do what was asked: {one_line(str(error))}"
            raise psycopg.OperationalError(text) from error
        ((action,),) = self._alone(
            s.FAIL_MESSAGE,
            (*lease.parameters, str(failure.position), description(error)),
            repeatable=False,  # it counts
        )
        if not raise_errors:
            log.error(
                "subscription %s, partition %s, position %s: %s, after %s",
                *(lease.subscription.name, lease.partition, failure.position, action),
                type(error).__name__,
                exc_info=error,
            )
        self._hooks.failed(lease.subscription.name, lease.partition, error, action)
        if raise_errors:
            raise error
        return bool(action != "park")

    def _handle_part(self, lease: Lease, batch: Batch) -> None:
        calls = self._calls(lease.subscription, batch)
        apart = lease.subscription.batch is not None and len(batch.messages) > 1
        if any(handler.takes_transaction for handler, _, _ in calls):
            conn = None
            try:
                first = (s.BEGIN_HANDLING, lease.parameters)
                with self._database.transaction(first) as conn:
                    for call in calls:
                        self._call(lease, call, conn)
                        self._refuse_end(lease, _position(call), conn)
                    self._acknowledge(lease, batch, conn)
            except Failure as failure:
                failure.rolls_back(batch, apart=apart)
                raise
            except LeaseLostError:
                raise
            except Exception as error:
                if conn is not None and conn.closed:
                    cause = type(error.__cause__ or error).__name__
                    lease.lost = f"the connection of the handler's transaction was lost: {cause}"
                    raise psycopg.OperationalError("the connection was lost") from error
                if _is_of_the_connection(error):
                    raise
                committing = Failure(batch.messages[0].global_position)  # or any other of them
                committing.rolls_back(batch, apart=len(batch.messages) > 1)
                raise committing from error
            return
        try:
            for call in calls:
                self._call(lease, call, None)
        except Failure as failure:
            if apart:
                failure.rolls_back(batch, apart=True)
            elif (done := batch.before(failure.position)).messages:
                # Acknowledge the handled messages: otherwise they would be handled again.
                self._acknowledge(lease, done, None)
                failure.handled = len(done.messages)
            raise
        self._acknowledge(lease, batch, None)

    def _refuse_end(self, lease: Lease, position: int, conn: Connection[Any]) -> None:
        """Raise the failure of a handler that left its transaction failed or ended."""
        try:
            if conn.info.transaction_status == TransactionStatus.IDLE:
                self._database.rows(s.CHECK_HANDLING, lease.parameters, conn)
            refuse_failed(conn)
        except (TransactionEndedError, TransactionFailedError) as error:
            raise Failure(position) from error

    def _acknowledge(self, lease: Lease, batch: Batch, conn: Connection[Any] | None) -> None:
        handled = conn is not None
        key = lease.parameters * 2 if handled else lease.parameters
        if batch.parked:
            statement = s.SETTLE_HANDLED if handled else s.SETTLE_PARKED
            parameters: Parameters = (*key, str(batch.messages[0].global_position))
        else:
            statement = s.ACKNOWLEDGE_HANDLED if handled else s.ACKNOWLEDGE
            released = "true" if batch.last else "false"
            parameters = (*key, str(batch.checkpoint), released)
        if conn is not None:
            self._database.rows(statement, parameters, conn)
        else:  # settled twice is refused
            self._alone(statement, parameters, repeatable=not batch.parked)

    def _alone(self, statement: str, parameters: Parameters, *, repeatable: bool) -> list[TupleRow]:
        """Run a statement that is a transaction of its own, again where others were in its way."""
        for tries in range(TRIES):
            try:
                return self._database.rows(statement, parameters, repeatable=repeatable)
            except psycopg.OperationalError as error:
                if not is_conflict(error):
                    raise
                pause(pause_after(tries))
        return self._database.rows(statement, parameters, repeatable=repeatable)

    def _calls(self, subscription: Subscription[Any], batch: Batch) -> list[Call]:
        """The handler calls that these messages need."""
        for bad in batch.undecoded:
            unknown = isinstance(bad.error, UnknownMessageTypeError)
            if not (unknown and subscription.options.unknown_types == "skip"):
                failure = Failure(bad.global_position)
                failure.rolls_back(batch)
                raise failure from bad.error
        return calls_of(subscription, batch.messages)

    def _call(self, lease: Lease, call: Call, conn: Connection[Any] | None) -> None:
        enter_context(call[-1])  # until the next call, or the end of the part
        try:
            self._handle(lease, call, conn)
        except BaseException as error:
            if ends(error):
                raise
            if conn is not None and conn.closed:
                # Whichever error the handler made of it: abandon_partition finds the cause.
                raise psycopg.OperationalError("the connection was lost") from error
            raise Failure(_position(call)) from error

    def _handle(self, lease: Lease, call: Call, conn: Connection[Any] | None) -> None:
        handle(lease.subscription, call, conn)


def _position(call: Call) -> int:
    """The position of its first message."""
    position: int = call[-1].causes[0].global_position
    return position


def _is_of_the_connection(error: Exception) -> bool:
    """Tell whether there was no connection, or is none any more."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or is_lost_connection(error)
