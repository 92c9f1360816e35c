"""Errors of files and messages that are to be imported.

PgstoreError
└── TransferError
    ├── FileRefusedError        the file: cut off, altered, or no export
    ├── MoveError               a move that cannot continue
    └── MessageRefusedError     a message that would break the store
"""

from pgstore.errors import PgstoreError


class TransferError(PgstoreError):
    """Base of the errors of an export or import; `hint` says what to do."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class FileRefusedError(TransferError):
    """The file is not a complete, unaltered export; `line` counts from 1."""

    def __init__(self, reason: str, *, line: int, hint: str | None = None) -> None:
        super().__init__(f"line {line}: {reason}", hint=hint)
        self.line = line
        self.reason = reason


class MessageRefusedError(TransferError):
    """A message cannot be imported; nothing of its batch was stored.

    `place` is its line in the file, or its global position in the other store, as `unit` says.
    `sqlstate` is the store's, if the store refused it.
    """

    def __init__(
        self,
        reason: str,
        *,
        place: int,
        unit: str = "line",
        sqlstate: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(f"{unit} {place}: {reason}", hint=hint)
        self.place = place
        self.unit = unit
        self.reason = reason
        self.sqlstate = sqlstate


class MoveError(TransferError):
    """A move cannot continue.

    The store is open where it was, or closed at both places if the source could not be reached any
    more. Run the move again, or abort it.
    """
