# Generated from pgstore/_async/direct.py by `python tools/unasync.py`.

"""Connections that run the store's statements without a cursor.

For each statement psycopg's cursor makes a query, a transformer and a generator. That takes a
client longer than the rest of a small statement. A connection of the store's own pool is used by
one task at a time, in autocommit mode, and all parameters are texts or arrays of the store's own.
There libpq's own calls suffice, which psycopg offers in `psycopg.pq`: send a prepared statement,
wait for the socket, and take the result, whose rows psycopg's `Transformer` loads.

All else runs on a cursor (`pgstore._sync.cursor`): on a connection of the caller's, in a
transaction or a pipeline, where statements are not prepared, or not prepared any more.
"""

from collections import Counter
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import Connection, abc, errors
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from pgstore._compat.sockets import Interruption, can_wait, ready
from pgstore._core.adapters import ADAPTERS
from pgstore._core.arrays import Array
from pgstore._core.deadlines import deadline, left
from pgstore._core.outages import is_read_only
from pgstore._core.quoting import as_prepared
from pgstore._core.translation import translated
from pgstore._sync.cursor import Parameters, run

# Of a statement that was interrupted, seconds to wait for its end after it was cancelled.
_PATIENCE = 5.0

# Runs of a statement that is not to be prepared again on this connection: a cursor runs it.
_NEVER = -(1 << 62)

# Looked up once: before Python 3.12 the members of an enumeration are slow to find.
_IDLE, _ACTIVE = TransactionStatus.IDLE, TransactionStatus.ACTIVE
_NO_PIPELINE = PipelineStatus.OFF
_TEXT, _BINARY = Format.TEXT, Format.BINARY
_DONE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)


class DirectConnection(Connection[TupleRow]):
    """A connection of the store's own pool."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Long names: the class above has attributes of its own.
        self._store_prepared: dict[str, bytes] = {}  # the names of statements
        self._store_runs: Counter[str] = Counter()  # of the others
        self._store_transformer: abc.Transformer = Transformer(ADAPTERS)
        self._store_began_read_only = is_read_only(self)

    @property
    def was_fenced(self) -> bool:
        """Whether the server could be written to when this connection was made, and cannot now.

        It may be the primary no longer, and still answer reads, with less and less of the store.
        """
        return not self.closed and is_read_only(self) and not self._store_began_read_only

    def rows(self, statement: str, parameters: Parameters) -> list[TupleRow]:
        """Run one statement of the store and fetch what it returns; see `run`."""
        name = self._store_prepared.get(statement)
        sent = None
        if self._is_plain() and (name is not None or self._is_due(statement)):
            sent = _encoded(parameters)
        if sent is None:
            return run(self, statement, parameters)
        try:
            if name is None:
                name = self._prepare(statement)
            self.pgconn.send_query_prepared(name, *sent, _BINARY)
            return self._loaded(self._answer())
        except Interruption:  # also between sending and waiting
            if self.pgconn.transaction_status == _ACTIVE:
                self._end_statement()
            raise
        # Nothing has happened: without a transaction around it, the statement can run again.
        except errors.InvalidSqlStatementName:  # after DISCARD ALL, or behind a pooler
            self._store_prepared.clear()
        except errors.FeatureNotSupported:  # it returns other columns since an upgrade
            self._store_prepared.pop(statement, None)
            self._store_runs[statement] = _NEVER
        except psycopg.Error:
            with translated(self):
                raise
        return run(self, statement, parameters, prepare=False)

    def _is_plain(self) -> bool:
        """Tell whether the connection is as the store has opened it, and nothing runs on it."""
        pgconn = self.pgconn
        return (
            pgconn.transaction_status == _IDLE
            and pgconn.pipeline_status == _NO_PIPELINE
            and pgconn.parameter_status(b"client_encoding") == b"UTF8"
            and self.autocommit
            and can_wait()
        )

    def _is_due(self, statement: str) -> bool:
        """Tell whether a statement is to be prepared now; count its run."""
        threshold = self.prepare_threshold
        self._store_runs[statement] += 1
        return threshold is not None and self._store_runs[statement] > threshold

    def _prepare(self, statement: str) -> bytes:
        name, query = as_prepared(statement)
        self.pgconn.send_prepare(name, query, None)
        # The session can know it: its preparation was interrupted, or a pooler had another client
        # prepare it. The name tells that it is the same.
        with suppress(errors.DuplicatePreparedStatement):
            self._answer()
        self._store_prepared[statement] = name
        return name

    def _answer(self) -> PGresult:
        """Wait for the result of the statement that was sent; raise it if it is an error."""
        result = self._result()
        assert result is not None
        if result.status not in _DONE:
            raise errors.error_from_result(result)
        return result

    def _result(self, patience: float | None = None) -> PGresult | None:
        """Wait for the statement's end; None if its result had been taken before."""
        pgconn = self.pgconn
        until = deadline(patience)
        while pgconn.flush():
            self._ready(until, writable=True)
        answer = None
        try:
            while True:
                while pgconn.is_busy():
                    self._ready(until)
                result = pgconn.get_result()
                if result is None:
                    break
                # The commit may fail after the rows have been sent: then an error follows them.
                if answer is None or answer.status != ExecStatus.FATAL_ERROR:
                    answer = result
        except psycopg.OperationalError:
            # The server gave the reason before it closed the connection.
            if answer is None or answer.status != ExecStatus.FATAL_ERROR:
                raise
        # Without this they would wait until a cursor runs.
        while (notification := pgconn.notifies()) is not None:
            if pgconn.notify_handler is not None:
                pgconn.notify_handler(notification)
        return answer

    def _ready(self, until: float | None, *, writable: bool = False) -> None:
        if not ready(self.pgconn.socket, writable=writable, timeout=left(until)):
            raise psycopg.OperationalError("the server does not end the statement")
        self.pgconn.consume_input()

    def _end_statement(self) -> None:
        """Have the server end a statement whose answer nobody waits for, and take the answer.

        Otherwise the statement would continue, with its locks. The pool closes a connection whose
        statement has not ended.
        """
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=_PATIENCE)
            self._result(_PATIENCE)

    def _loaded(self, result: PGresult) -> list[TupleRow]:
        transformer = self._store_transformer
        transformer.set_pgresult(result)
        try:
            return transformer.load_rows(0, result.ntuples, tuple)
        finally:
            transformer.set_pgresult(None)


def _encoded(parameters: Parameters) -> tuple[list[bytes | None], list[Format]] | None:
    """The parameters as they are sent; None if a cursor is to send or to refuse them."""
    values: list[bytes | None] = []
    formats = []
    for each in parameters:
        formats.append(_TEXT)
        if each is None:
            values.append(None)
        elif isinstance(each, Array):
            formats[-1] = _BINARY
            values.append(each.packed("utf-8"))
        elif "\0" in each:  # libpq would end the text there
            return None
        else:
            try:
                values.append(each.encode())
            except UnicodeEncodeError:
                return None
    return values, formats
