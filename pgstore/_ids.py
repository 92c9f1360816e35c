"""Message ids: UUIDs of version 7 (RFC 9562)."""

import os
import time
from uuid import UUID


def new_message_id() -> UUID:
    """Make a UUIDv7: ids made later sort later, to about a microsecond; 62 bits are random."""
    microseconds = time.time_ns() // 1000
    milliseconds, rest = divmod(microseconds, 1000)
    value = (
        (milliseconds & 0xFFFF_FFFF_FFFF) << 80
        | 0x7000 << 64
        | (rest * 4096 // 1000) << 64
        | 0x8000_0000_0000_0000
        | int.from_bytes(os.urandom(8), "big") >> 2
    )
    return UUID(int=value)
