"""The command line: `pgstore`, of the extra `pgstore[cli]`.

A module holds the commands of one subject. Each is a function whose first parameter is the `Call`,
registered by `command`; importing the module registers them, in the order of `--help`.
"""

from pgstore.cli._app import app  # isort: skip
from pgstore.cli import messages  # isort: skip
from pgstore.cli import statistics  # isort: skip
from pgstore.cli import subscriptions  # isort: skip
from pgstore.cli import running  # isort: skip
from pgstore.cli import installation  # isort: skip
from pgstore.cli import doctor  # isort: skip
from pgstore.cli import transfer  # isort: skip
from pgstore.cli import verify  # isort: skip
from pgstore.cli import administration  # isort: skip

__all__ = [
    "administration",
    "app",
    "doctor",
    "installation",
    "messages",
    "running",
    "statistics",
    "subscriptions",
    "transfer",
    "verify",
]
