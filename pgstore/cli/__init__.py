"""Stand-in for the command line's own: the commands that the tests of transfer need."""

from pgstore.cli._app import app  # isort: skip
from pgstore.cli import messages  # isort: skip
from pgstore.cli import installation  # isort: skip
from pgstore.cli import transfer  # isort: skip
from pgstore.cli import verify  # isort: skip

__all__ = ["app", "installation", "messages", "transfer", "verify"]
