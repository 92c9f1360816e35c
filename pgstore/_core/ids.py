"""Message ids: UUIDs of version 7 (RFC 9562)."""

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

# Random numbers of 64 bits, each for one id: asking the system for one costs as much as the rest.
# Only `pop`, `extend` and `clear`, which no other thread can come between.
_random: list[int] = []
_AT_ONCE = 256

# Only `counted_ids` replaces them.
_now, _urandom = time.time_ns, os.urandom

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    # Otherwise a child would take the same numbers as its parent.
    os.register_at_fork(after_in_child=_random.clear)

_VARIANT = 1 << 63


def new_message_id() -> UUID:
    """Make a UUIDv7: ids made later sort later, to about a microsecond; 62 bits are random."""
    return UUID(int=_new_value())


def new_message_id_text() -> str:
    """The same as PostgreSQL reads it, in half the time."""
    return f"{_new_value():032x}"


def new_message_ids(count: int) -> list[bytes]:
    """Make rising UUIDv7s of one moment, for a batch (RFC 9562, 6.2, monotonic random).

    The first one has 61 random bits, so that no sum reaches the variant above them. Each of the
    others is up to 2**32 larger than the one before, by chance: an id does not tell the next one.
    """
    least = int.from_bytes(b"\1\0\0\0" * count)  # no step is 0
    steps = (int.from_bytes(_urandom(4 * count)) | least).to_bytes(4 * count)
    first = _time() << 64 | _VARIANT | int.from_bytes(_urandom(8)) >> 3
    values = itertools.accumulate(memoryview(steps).cast("I"), initial=first)
    next(values)
    return [value.to_bytes(16) for value in values]


def _new_value() -> int:
    try:
        chance = _random.pop()
    except IndexError:
        chance, *more = memoryview(_urandom(8 * _AT_ONCE)).cast("Q")
        _random.extend(more)
    return _time() << 64 | _VARIANT | chance >> 2


def _time() -> int:
    """The high half of an id: milliseconds, the version, and their fraction."""
    milliseconds, rest = divmod(_now() // 1000, 1000)
    return (milliseconds & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | rest * 4096 // 1000


@contextmanager
def counted_ids(first: int) -> Iterator[None]:
    """Make ids by counting microseconds from a time in microseconds, with no chance in them."""
    global _now, _urandom
    real = _now, _urandom
    _random.clear()
    _now, _urandom = itertools.count(first * 1000, 1000).__next__, bytes  # so many zeros
    try:
        yield
    finally:
        _now, _urandom = real
        _random.clear()
