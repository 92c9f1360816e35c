"""All faults: what each promises, and how often the long and the short form try it."""

from collections.abc import Callable

import msgspec

from tests.faults.conditions import prepared, tokens
from tests.faults.counts import Counts, Rounds
from tests.faults.crashes import crash, crash_racers, positions, shutdown
from tests.faults.cuts import (
    lost_answers,
    lost_answers_of_racers,
    read_only,
    terminated,
    terminated_racers,
)
from tests.faults.disks import disk_full
from tests.faults.failovers import debians_version, patroni
from tests.faults.locks import full_lock_table
from tests.faults.moving import (
    both_versions,
    move,
    move_failover,
    move_killed,
    move_large,
    move_versions,
)
from tests.faults.poolers import pooler, pooler_promotion
from tests.faults.promotion import (
    promotion,
    promotion_beside,
    promotion_racers,
    promotion_stopped,
)
from tests.faults.restores import anew, restore
from tests.faults.servers import Durable, version_of
from tests.faults.stopped import frozen, frozen_waker, zombies


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong; `run` does it so often, and counts what it has cost."""

    name: str
    run: Callable[[Durable, Rounds], Counts]
    long: int
    promise: str
    short: int = 2
    """0: not in `make test-slow`, as it takes too long."""
    version: Callable[[Durable], str] = version_of
    """Of PostgreSQL, which is not the server's if the fault has servers of its own."""

    @property
    def done(self) -> str:
        """What is done in each round."""
        return (self.run.__doc__ or "").strip()


_RULE = "No place is taken twice, no decision is stale, nothing acknowledged is lost or doubled"
_ALL = "Nothing acknowledged is lost or doubled, no reader skips, programs continue by themselves"

FAULTS = {
    each.name: each
    for each in (
        Fault("crash", crash, 200, _ALL),
        Fault("shutdown", shutdown, 50, _ALL),
        Fault("positions", positions, 50, "A position that a program may store is never reused"),
        Fault("promotion", promotion, 20, _ALL, 1),
        Fault("promotion-stopped", promotion_stopped, 20, _ALL, 1),
        Fault("promotion-beside", promotion_beside, 20, _ALL, 1),
        Fault("patroni", patroni, 24, _ALL, 1, debians_version),
        Fault("terminated", terminated, 200, _ALL),
        Fault("lost-answers", lost_answers, 200, "A write repeated by its id is stored once"),
        Fault("read-only", read_only, 30, _ALL),
        Fault("disk-full", disk_full, 20, "Writes are refused, and nothing else is wrong"),
        Fault("zombies", zombies, 50, "A lost lease changes nothing: `MS020`, effects roll back"),
        Fault("frozen", frozen, 50, _ALL),
        Fault("frozen-waker", frozen_waker, 10, "Readers look past a session that is silent", 1),
        Fault("restore", restore, 20, "A copy continues where it was; a position ahead fails", 1),
        Fault("anew", anew, 20, "A position of another store is an error, not silence"),
        Fault("pooler", pooler, 50, _ALL),
        Fault("pooler-promotion", pooler_promotion, 20, _ALL, 1),
        Fault("crash-racers", crash_racers, 100, _RULE),
        Fault("promotion-racers", promotion_racers, 20, _RULE, 1),
        Fault("terminated-racers", terminated_racers, 200, _RULE),
        Fault("lost-answers-of-racers", lost_answers_of_racers, 200, _RULE),
        Fault("tokens", tokens, 50, "A decision from before a crash does not pass over a match"),
        Fault("prepared", prepared, 50, "A prepared write keeps its locks, marks and tokens"),
        Fault("move", move, 20, _ALL),
        Fault("move-large", move_large, 10, _ALL, 0),
        Fault("move-versions", move_versions, 20, _ALL, 1, both_versions),
        Fault("move-killed", move_killed, 18, _ALL, 1),
        Fault("move-failover", move_failover, 9, _ALL, 1),
        Fault("lock-table", full_lock_table, 20, "A call is refused (`53200`), or stored whole"),
    )
}
