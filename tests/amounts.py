"""How much of a thing a test does: enough to fail if its promise is broken, or far more of it.

PGSTORE_TEST_LONG   do far more, as `make test-long` does
"""

import os
from typing import TypeVar

LONG = bool(os.environ.get("PGSTORE_TEST_LONG"))


Number = TypeVar("Number", int, float)


def amount(short: Number, long: Number) -> Number:
    return long if LONG else short
