"""Move messages between stores: export, import, import from other message stores, and verify.

Everything here is synchronous, works on a connection of the caller's in autocommit mode, and keeps
its memory flat. The SQL functions `export_messages`, `import_messages`, `import_floors` and
`verify_store` keep the promises.
"""

from pgstore.transfer._errors import FileRefusedError, MessageRefusedError, TransferError
from pgstore.transfer._format import Header
from pgstore.transfer.checking import check
from pgstore.transfer.exporting import Exported, export, export_file
from pgstore.transfer.files import FileSource, is_stdout, open_file
from pgstore.transfer.importing import Imported, Positions, Source, import_from
from pgstore.transfer.peers.depeche import DepecheSource
from pgstore.transfer.peers.message_db import MessageDbSource
from pgstore.transfer.verify import PARTS, Check, verify

__all__ = [
    "PARTS",
    "Check",
    "DepecheSource",
    "Exported",
    "FileRefusedError",
    "FileSource",
    "Header",
    "Imported",
    "MessageDbSource",
    "MessageRefusedError",
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
