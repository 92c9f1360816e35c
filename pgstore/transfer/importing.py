"""Import: from a file or another message store, in batches that are there whole or not at all."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Literal, Protocol

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from pgstore._core import statements as s
from pgstore._core.arguments import count, describe, one_of, refuse_no_function, refuse_other
from pgstore._core.quoting import Statements
from pgstore._core.text import shortened
from pgstore._sync.cursor import run
from pgstore.errors import InvalidArgumentError, StoreError
from pgstore.transfer._batches import MESSAGES, Floors, ImportBatch, Messages, parameters_of
from pgstore.transfer._errors import MessageRefusedError, TransferError
from pgstore.transfer._store import closed_if_interrupted, statements_of

Positions = Literal["auto", "keep", "new"]

# A batch that lost against writers of the same streams is tried again.
_RETRIED = ("40001", "40P01", "55P03")
_ATTEMPTS = 10

# Of the server's text about a value, which it quotes whole.
_LONGEST = 200

# The server refuses a value: it cannot be read as what it should be, or it is too large.
_UNREADABLE = ("22", "54")


class Source(Protocol):
    """Where messages come from."""

    @property
    def unit(self) -> str:
        """The unit that `place` of a message counts."""
        ...

    @property
    def total(self) -> int | None:
        """How many messages there are, if that is known."""
        ...

    def read(self, count: int) -> AbstractContextManager[Iterator[ImportBatch]]:
        """The floors and messages in order, at most `count` at a time."""
        ...


def refuse_source(source: object) -> None:
    """Refuse what is no source."""
    if not all(hasattr(source, name) for name in ("unit", "total", "read")):
        raise InvalidArgumentError(
            f"source must be one to read from, as FileSource(path), not {describe(source)}"
        )


class Imported(msgspec.Struct, frozen=True):
    """The counts of an import. `skipped` messages were there already, at the same place."""

    imported: int
    skipped: int
    floors: int
    positions_kept: bool


Progress = Callable[[int], None]
"""Called after each batch: messages so far, skipped ones too."""


def import_from(
    conn: Connection[object],
    source: Source,
    *,
    store: str = "pgstore",
    positions: Positions = "auto",
    batch_messages: int = MESSAGES,
    on_progress: Progress | None = None,
) -> Imported:
    """Bring in messages with their ids, versions and times, in order; their streams continue.

    Each batch is one transaction. A message that is there already, the same at the same place, is
    skipped: an import that was interrupted is simply run again. Global positions are kept by
    `keep`, which needs them to be above the store's last one, and by `auto` if the store was empty
    when the import began. The connection is in autocommit mode.

    Raises:
        FileRefusedError: the file is not a complete, unaltered export.
        MessageRefusedError: a message would break the store; nothing of its batch was stored.
    """
    refuse_source(source)
    one_of("positions", positions, "auto", "keep", "new")
    batch_messages = count("batch_messages", batch_messages, least=1)
    refuse_no_function("on_progress", on_progress, optional=True)
    refuse_other(conn, Connection)
    if not conn.autocommit:
        raise InvalidArgumentError("an import takes a connection in autocommit mode")
    statements = statements_of(conn, store)
    with (
        source.read(batch_messages) as found,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="pgstore import") as ahead,
    ):
        work = _Import(conn, statements, source.unit, positions)
        # The next batch is made while the server is busy with this one.
        prepared = ((batch, parameters_of(batch, source.unit)) for batch in found)
        upcoming = ahead.submit(next, prepared, None)
        with closed_if_interrupted(conn):
            while (this := upcoming.result()) is not None:
                upcoming = ahead.submit(next, prepared, None)
                work.store_batch(*this)
                if on_progress is not None:
                    on_progress(work.imported + work.skipped)
        return Imported(work.imported, work.skipped, work.floors, work.keep is True)


class Batches:
    """Calls of a store with one batch each; they tell which message is refused."""

    def __init__(self, conn: Connection[object], statements: Statements, unit: str) -> None:
        self.conn = conn
        self.statements = statements
        self.unit = unit

    def call(
        self, statement: str, parameters: Sequence[str | None], batch: ImportBatch
    ) -> list[TupleRow]:
        """Run a statement of one batch, again if it lost against others."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return run(self.conn, self.statements[statement], parameters)
            except (InvalidArgumentError, StoreError, psycopg.Error) as error:
                if _sqlstate(error) in _RETRIED and attempt < _ATTEMPTS:
                    time.sleep(0.01 * 2**attempt)
                    continue
                if refused := self._refused(error, batch):
                    raise refused from error
                raise

    def _refused(self, error: Exception, batch: ImportBatch) -> TransferError | None:
        """Which message it is, and why."""
        reason = str(error).strip().partition("\n")[0]
        detail = getattr(error, "detail", {})
        index = detail.get("index")
        sqlstate = _sqlstate(error)
        if index is None and sqlstate is not None and sqlstate[:2] in _UNREADABLE:
            if isinstance(batch, Floors):
                return None
            index, reason = self._unreadable(batch, reason)
        if not isinstance(index, int):
            return None
        hint = None
        if str(detail.get("argument")).startswith("global_position"):
            hint = "Import it with new positions, or into an empty store."
        elif isinstance(error, psycopg.Error):
            hint = error.diag.message_hint
        stream = batch.streams[index]
        return MessageRefusedError(
            f"{reason.replace(stream, shortened(stream))} (stream {describe(stream)})",
            place=batch.places[index],
            unit=self.unit,
            sqlstate=sqlstate,
            hint=hint,
        )

    def _unreadable(self, batch: Messages, reason: str) -> tuple[int, str]:
        """The first message that the server cannot read: halve until it is alone."""
        low, high = 0, len(batch.places)
        while high - low > 1:
            middle = (low + high) // 2
            if problem := self._problem(batch.part(low, middle)):
                high, reason = middle, problem
            else:
                low = middle
        return low, self._problem(batch.part(low, high)) or reason

    def _problem(self, batch: Messages) -> str | None:
        """Return the server's error for the values of these messages; None if it can read them."""
        try:
            run(self.conn, self.statements[s.READABLE], parameters_of(batch, self.unit))
        except (InvalidArgumentError, psycopg.Error) as error:
            if (_sqlstate(error) or "")[:2] not in _UNREADABLE:
                raise
            detail = error.diag.message_detail if error.diag else None
            reason = str(error).partition("\n")[0]
            return shortened(f"{reason}: {detail}" if detail else reason, _LONGEST)
        return None


class _Import(Batches):
    """One import: its connection, and its counts so far."""

    def __init__(
        self, conn: Connection[object], statements: Statements, unit: str, positions: Positions
    ) -> None:
        super().__init__(conn, statements, unit)
        self.keep: bool | None = {"keep": True, "new": False}.get(positions)
        self.imported = self.skipped = self.floors = 0

    def store_batch(self, batch: ImportBatch, parameters: list[str | None]) -> None:
        """Store one batch, in a transaction of its own."""
        if isinstance(batch, Floors):
            ((changed,),) = self.call(s.IMPORT_FLOORS, parameters, batch)
            self.floors += changed
            return
        if self.keep is None:
            self.keep = self._keeps(batch)
        if not self.keep:
            parameters = [*parameters[:-1], None]
        ((imported, skipped),) = self.call(s.IMPORT_MESSAGES, parameters, batch)
        self.imported += imported
        self.skipped += skipped

    def _keeps(self, batch: Messages) -> bool:
        """Whether `auto` keeps positions: the store is empty, or was when this import began."""
        ((empty,),) = run(self.conn, self.statements[s.IS_EMPTY], ())
        if empty:
            return True
        try:
            rows = run(self.conn, self.statements[s.POSITION_OF], (batch.ids[0],))
        except (InvalidArgumentError, psycopg.DataError):
            return False  # not an id: the import says so
        return rows == [(batch.positions[0],)]


def _sqlstate(error: Exception) -> str | None:
    """The server's code, also of an error that was translated."""
    diag: psycopg.errors.Diagnostic | None = getattr(error, "diag", None)
    return diag.sqlstate if diag else None
