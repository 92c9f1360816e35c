"""A call, and how much each statement of it may touch."""

from typing import NamedTuple

# What is cut off looks for the errors that are kept of it among all that are kept.
KEPT: set[str | None] = {"subscription_partitions", "parked_messages"}
# To compare the sequences with what is stored looks for the highest number in each table; a scan of
# an index alone names no table.
HIGHEST = KEPT | {
    *("subscriptions", "subscription_sweeps", "retention_policies", "store_horizon", "audit", None)
}


class Case(NamedTuple):
    """A call, what each statement in it may touch, its error, and the tables it may walk along."""

    statement: str
    rows: int
    blocks: int
    error: str | None = None
    walks: set[str | None] = KEPT


def ids(numbers: str) -> str:
    return f"(ARRAY(SELECT md5(n::text)::uuid FROM ({numbers}) AS s (n)))"
