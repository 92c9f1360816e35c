"""pgstore: a message store (event store) in PostgreSQL.

See `MessageStore`, or `AsyncMessageStore` for asyncio.
"""

import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from pgstore._public import *  # noqa: F403 - it has __all__
    from pgstore._public import __all__ as __all__


# Import the public names at their first use: importing all of them takes longer than most commands
# of the command line, which need few of them.
def __getattr__(name: str) -> object:
    if name == "__all__" or not name.startswith("_"):
        public = _importlib.import_module("pgstore._public")
        globals().update({each: getattr(public, each) for each in ("__all__", *public.__all__)})
        if name in globals():
            return globals()[name]
    raise AttributeError(f"module 'pgstore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_importlib.import_module("pgstore._public").__all__})
