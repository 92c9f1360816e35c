"""The command line: `pgstore`, of the extra `pgstore[cli]`.

A module holds the commands of one subject. Each is a function whose first parameter is the `Call`,
registered by `command` when its module is imported.
"""

import importlib
from collections.abc import Sequence

from pgstore.cli._app import app

__all__ = ["SUBJECTS", "app", "load"]

# The modules and their commands, in the order of `--help`.
SUBJECTS = {
    "writing": ["write"],
    "reading": ["read", "tail", "message"],
    "tracing": ["trace"],
    "statistics": ["streams", "categories", "types", "stats", "top"],
    "subscriptions": [
        *("subscriptions", "pause", "resume", "rewind", "repartition", "drop-subscription"),
        "parked",
    ],
    "changing": ["refilter", "check-messages"],
    "running": ["run", "publish"],
    "installation": [
        *("install", "upgrade", "status", "sql", "sql-path", "uninstall", "demo", "server"),
    ],
    "doctor": ["doctor"],
    "transfer": ["export", "import"],
    "moving": ["move"],
    "directory": ["stores"],
    "verify": ["verify"],
    "console": ["ui"],
    "administration": [
        *("retention", "truncate", "delete", "empty", "redact", "grants", "grant", "revoke"),
        "audit",
    ],
}


def load(arguments: Sequence[str] = ()) -> None:
    """Import the module of the command that comes first, or all modules if it is none.

    A command starts faster without the modules of the others.
    """
    first = arguments[0] if arguments else None
    found = [module for module, names in SUBJECTS.items() if first in names]
    for module in found or SUBJECTS:
        importlib.import_module(f"pgstore.cli.{module}")
    places = [name for names in SUBJECTS.values() for name in names]
    for registered in (app.registered_commands, app.registered_groups):
        registered.sort(key=lambda each: places.index(str(each.name)))
