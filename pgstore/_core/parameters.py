"""Values as the statements take them: texts."""

from collections.abc import Iterable

# Seconds; the SQL functions that claim have the same default.
DEFAULT_LEASE = 30.0
# The most scheduled messages that one transaction writes.
MOST_DELIVERED = 100


def interval(seconds: float) -> str:
    """A duration as PostgreSQL reads it, which has no exponents."""
    return f"{seconds:.6f} seconds"


def array(values: Iterable[str] | None) -> str | None:
    """An array of texts as PostgreSQL reads it."""
    if values is None:
        return None
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
