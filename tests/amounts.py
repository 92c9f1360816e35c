"""How much of a thing a test does: enough to fail if its promise is broken, or far more of it.

PGSTORE_TEST_LONG   do far more, as `make test-long` does
"""

import os

LONG = bool(os.environ.get("PGSTORE_TEST_LONG"))


def amount(short: int, long: int) -> int:
    return long if LONG else short
