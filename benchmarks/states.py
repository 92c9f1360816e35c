"""Measure what a snapshot and a cache save: `python -m benchmarks.states`.

One stream has 10,000 messages of two kinds. A round loads its state in each way once, in an order
of its own: from all messages, from a snapshot that is 99 messages old, and from the cache of the
process. It also reads the messages without making a state, which is the limit of the first way. The
figures are medians of the rounds, and of the ratios within each round.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable

import msgspec

import pgstore
from pgstore import embedded

STREAM = "account-1"


class Deposited(msgspec.Struct):
    amount: int


class Withdrawn(msgspec.Struct):
    amount: int


class Account(msgspec.Struct, frozen=True):
    balance: int = 0
    messages: int = 0


def evolve(account: Account, message: Deposited | Withdrawn) -> Account:
    sign = 1 if isinstance(message, Deposited) else -1
    return Account(account.balance + sign * message.amount, account.messages + 1)


def took(work: Callable[[], object]) -> float:
    """Do some work; return how many milliseconds that took."""
    before = time.perf_counter()
    work()
    return (time.perf_counter() - before) * 1000


def measure(conninfo: str, messages: int, rounds: int) -> None:
    kinds = Deposited | Withdrawn
    with pgstore.MessageStore[Deposited | Withdrawn](conninfo, messages=kinds) as store:
        # The last snapshot is as old as one can be that is saved every 100 messages.
        snapshots = pgstore.Snapshots("account", every=100)
        saving = store.decider(evolve, Account, snapshots=snapshots)
        parts = [messages - 99, 99]
        for number, part in enumerate(parts):
            store.write_many(STREAM, [Deposited(2) if n % 2 else Withdrawn(1) for n in range(part)])
            assert saving.load(STREAM).version == sum(parts[: number + 1])
        plain = store.decider(evolve, Account)
        cached = store.decider(evolve, Account, cache=1)
        ways: dict[str, Callable[[], object]] = {
            "all messages": lambda: plain.load(STREAM),
            "a snapshot and 99 messages": lambda: saving.load(STREAM),
            "the cache": lambda: cached.load(STREAM),
            "reading all messages, no state": lambda: sum(1 for _ in store.read(STREAM)),
        }
        assert plain.load(STREAM) == saving.load(STREAM) == cached.load(STREAM)
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name in random.sample([*ways], len(ways)):
                found[name].append(took(ways[name]))
    for name, times in found.items():
        ratios = [all / each for all, each in zip(found["all messages"], times, strict=True)]
        print(f"{name:<32} {statistics.median(times):8.2f} ms  {statistics.median(ratios):6.1f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    with embedded.Server() as server:
        print(f"a stream of {given.messages} messages   median    times as fast")
        measure(server.conninfo, given.messages, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
