"""Move messages between stores: export, import, import from other message stores, and verify.

And move a store to another server: `Move`. Everything here is synchronous, and keeps its memory
flat. All but `Move` works on a connection of the caller's in autocommit mode. The SQL functions
`export_messages`, `import_messages`, `import_floors` and `verify_store` keep the promises.
"""

from pgstore.transfer._errors import FileRefusedError, MessageRefusedError, TransferError
from pgstore.transfer._format import Header
from pgstore.transfer.checking import check
from pgstore.transfer.exporting import Exported, export, export_file
from pgstore.transfer.files import FileSource, is_stdout, open_file
from pgstore.transfer.importing import Imported, Positions, Source, import_from
from pgstore.transfer.moving import STEPS, Finding, Move, MoveError
from pgstore.transfer.peers.depeche import DepecheSource
from pgstore.transfer.peers.message_db import MessageDbSource
from pgstore.transfer.verify import PARTS, Check, verify

__all__ = [
    "PARTS",
    "STEPS",
    "Check",
    "DepecheSource",
    "Exported",
    "FileRefusedError",
    "FileSource",
    "Finding",
    "Header",
    "Imported",
    "MessageDbSource",
    "MessageRefusedError",
    "Move",
    "MoveError",
    "Positions",
    "Source",
    "TransferError",
    "check",
    "export",
    "export_file",
    "import_from",
    "is_stdout",
    "open_file",
    "verify",
]
