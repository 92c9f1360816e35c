"""The filters of subscriptions in words, and how fast positions rise."""

from collections.abc import Mapping
from typing import Any


def reads(filters: Mapping[str, Any]) -> str:
    """The filters of a subscription, in words."""
    parts = [
        "everything" if filters["categories"] is None else ", ".join(filters["categories"]),
        *([f"types {', '.join(filters['types'])}"] if filters["types"] is not None else []),
        *([f"streams like {filters['stream_pattern']}"] if filters["stream_pattern"] else []),
        *([f"metadata with {filters['metadata']}"] if filters["metadata"] is not None else []),
        *([f"tags {', '.join(filters['tags'])}"] if filters["tags"] is not None else []),
    ]
    return "; ".join(parts)


def pace(positions: float, seconds: float) -> float:
    """Positions a second; 0 for a subscription that was rewound."""
    return max(positions, 0) / seconds


def time_left(behind: int, rate: float | None) -> float | None:
    """Seconds until nothing is left at this rate; None if there is nothing, or no rate."""
    return behind / rate if behind and rate else None
