"""Does a reader ever miss a message? `python -m benchmarks.stress --seconds 60 --writers 16`.

Writers keep transactions open, write to several streams, roll back to savepoints and altogether,
lose their backends; one transaction is prepared. A naive reader that goes on after the last
position that it saw misses messages; nobody else may. What each saw is compared with what is
stored, by content. `--grouped 2`: two processes more write by the threads of a store that groups
their writes; what each thread was answered is compared too.

`--upgrades 100`: instead, rounds of a store that is upgraded from a version without gates while
transactions wait in its functions. Then the same with readers that trust the gates at once, until
they miss messages.

`--wakeups 10000`: instead, rounds of an idle store, a write, and several sleeping processes that
must wake, some of which are killed or disconnected. Some get up whenever a writer rings, others
sleep on. Then the same with each of three wrong ways to wake them, until some wake-ups are lost.
The processes do not look by themselves.

Ends with status 1 if something was missed, repeated or late, or if the checks could not fail.
"""

import argparse
import sys
import time

import msgspec

from pgstore import embedded
from tests.stress.order import Outcome, stress
from tests.stress.sleeper import WRONG
from tests.stress.upgrades import Upgrades, upgrades
from tests.stress.wakeups import Wakeups, rounds

SETTINGS = {
    "max_prepared_transactions": "20",
    "max_connections": "200",
    "log_min_messages": "panic",
    "track_functions": "pl",
}
ENOUGH = 5
WRITERS = (1, 3)


def order(conninfo: str, seconds: float, writers: int, grouped: int) -> bool:
    outcome = stress(conninfo, "stress", seconds, writers, grouped=grouped)
    report(outcome)
    return (
        outcome.naive_missed > 0
        and all(each.faultless for each in outcome.verdicts.values())
        and outcome.grouped.faultless
    )


def report(outcome: Outcome) -> None:
    rate = outcome.messages / outcome.seconds
    print(f"{outcome.messages:,} messages in {outcome.seconds:.0f} s, {rate:,.0f} a second")
    for title, counts in (("transactions", outcome.transactions), ("killed", outcome.killed)):
        print(f"{title}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    print(f"prepared transaction: held for {outcome.prepared_seconds:.1f} s")
    if outcome.grouped.written:
        print(f"grouped writes: {msgspec.to_builtins(outcome.grouped)}")
    print(f"looks at the horizon: at least {outcome.looks:,}")
    print(f"naive reader: missed {outcome.naive_missed:,}")
    for name, each in outcome.verdicts.items():
        print(
            f"{name}: {each.seen:,} seen, missed {each.missed}, repeated {each.repeated},"
            f" foreign {each.foreign}, out of their stream's order {each.disordered}"
        )
    lost = sum(each.leases_lost for each in outcome.workers)
    failed = sum(len(each.failed) for each in outcome.workers)
    print(f"workers: {len(outcome.workers)}, leases lost {lost}, handlers failed {failed}")


def upgraded(conninfo: str, count: int) -> bool:
    right = upgrades(conninfo, "upgraded", count)
    tell("as it is", right)
    wrong = upgrades(conninfo, "wrong", count, trusting=True, enough=ENOUGH)
    tell("readers trust the gates at once", wrong)
    return right.missed == right.repeated == 0 and right.late > 0 and wrong.missed > 0


def tell(title: str, found: Upgrades) -> None:
    print(
        f"{title}: {found.rounds:,} upgrades in {found.seconds:.0f} s, {found.messages:,} messages,"
        f" {found.late:,} of them by the functions of before, {found.looks:,} looks,"
        f" missed {found.missed}, repeated {found.repeated}",
        flush=True,
    )


def wakeups(conninfo: str, count: int) -> bool:
    right = []
    for writers in WRITERS:
        for restless in (True, False):
            name = f"right_{writers}_{restless}".lower()
            right.append(timed(name, conninfo, count // len(WRITERS) // 2, writers, None, restless))
    wrong = [
        timed(f"wrong_{number}", conninfo, count, 1, version)
        for number, version in enumerate(WRONG)
    ]
    return all(each.late == 0 for each in right) and all(each.late > 0 for each in wrong)


def timed(
    name: str, conninfo: str, count: int, writers: int, wrong: str | None, restless: bool = True
) -> Wakeups:
    start = time.monotonic()
    enough = None if wrong is None else ENOUGH
    found = rounds(
        conninfo, name, count, writers=writers, restless=restless, wrong=wrong, enough=enough
    )
    print(
        f"{wrong or 'as it is'}, {writers} writers, {'restless' if restless else 'sleeping on'}:"
        f" {found.rounds:,} rounds in"
        f" {time.monotonic() - start:.0f} s, late {found.late}, sleepers killed {found.killed},"
        f" disconnected {found.disconnected}, slowest in time {found.slowest * 1000:.0f} ms",
        flush=True,
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--grouped", type=int, default=0, metavar="PROCESSES")
    parser.add_argument("--upgrades", type=int, metavar="ROUNDS")
    parser.add_argument("--wakeups", type=int, metavar="ROUNDS")
    arguments = parser.parse_args()
    with embedded.Server(settings=SETTINGS) as server:
        if arguments.wakeups:
            good = wakeups(server.conninfo, arguments.wakeups)
        elif arguments.upgrades:
            good = upgraded(server.conninfo, arguments.upgrades)
        else:
            good = order(server.conninfo, arguments.seconds, arguments.writers, arguments.grouped)
    print("ok" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
