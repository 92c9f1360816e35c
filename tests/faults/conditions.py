"""Decisions that are older than a crash, prepared transactions over a restart, and a full lock table."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

import pgstore
from tests.concurrency.races import CONDITIONAL, PLAIN, READ, Racer, Rule, alone, as_read
from tests.faults.counts import Counts, Rounds
from tests.faults.servers import Durable

# More positions than the server's log has noted ahead: 32.
_DRAWN = 40
_CHANCE = random.Random(17)

_MATCHES_OF = "SELECT global_position FROM read_tagged(%s) WHERE message_id = %s"
_ADVISORY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IS NOT DISTINCT FROM %s"


@contextmanager
def _session(server: Durable, store: str) -> Iterator[Racer]:
    options = f"-c search_path={store} -c lock_timeout=50ms"
    with psycopg.connect(server.conninfo, autocommit=True, options=options) as conn:
        yield Racer(conn, _CHANCE, f"own:{uuid4().hex}", as_read, [alone])


def tokens(server: Durable, rounds: Rounds) -> Counts:
    """Read a token while 40 matches are in flight, kill the server, let others get their positions."""
    counts = Counts()
    again = 0
    pgstore.install(server.conninfo, store="tokens")
    for _ in rounds:
        rule = Rule()
        with _session(server, "tokens") as one, _session(server, "tokens") as other:
            one.conn.execute(PLAIN["write_message"], one.match(rule) | {"tags": []})
            other.conn.execute("BEGIN")
            drawn = {
                other.conn.execute(PLAIN["write_message"], other.match(rule)).fetchone()
                for _ in range(_DRAWN)
            }
            if _CHANCE.random() < 0.5:
                other.conn.execute("ROLLBACK")
            decisions = [_decision(one, rule) for _ in range(2)]
            server.crash()
        server.start_again()
        with _session(server, "tokens") as one:
            counts.acknowledged += 1
            added = one.conn.execute(PLAIN["write_message"], one.match(rule)).fetchone()
            again += added in drawn
            for each in decisions:
                counts.accepted += _refusal(one, each) != "MS009"
            each = _decision(one, rule)
            counts.ended += _refusal(one, each) is not None
    counts.noted["positions given again"] = again
    return counts


def prepared(server: Durable, rounds: Rounds) -> Counts:
    """Prepare a write with tags and one on a condition, kill or restart the server, end them."""
    counts = Counts()
    waited = 0
    pgstore.install(server.conninfo, store="prepared")
    for number in rounds:
        rules = [Rule(), Rule()]
        with _session(server, "prepared") as one:
            early = [_decision(one, rule) for rule in rules]
            writes = [(PLAIN["write_message"], one.match(rules[0])), early[1]]
            positions = [_prepare(one, *each) for each in writes]
            during = [_decision(one, rule) for rule in rules]
            if number % 2:
                server.crash()
        server.stop()
        server.start_again()
        with _session(server, "prepared") as one:
            for rule, write, position, old, later in zip(
                rules, writes, positions, early, during, strict=True
            ):
                committed = _CHANCE.random() < 0.5
                new = _decision(one, rule)
                # Each of them waits as long as it may: the locks are those of before.
                found = [_refusal(one, each) for each in (later, new)]
                found.append(_refusal(one, (PLAIN["write_message"], one.match(rule)))) if (
                    rule is rules[1]
                ) else None
                waited += len(found)
                counts.accepted += sum(each != "55P03" for each in found)
                # Nor is there a safe position beyond it.
                ((safe,),) = one.conn.execute("SELECT safe_position()")
                counts.skipped += safe >= position
                _end(one, write[1]["id"], "COMMIT" if committed else "ROLLBACK")
                counts.acknowledged += committed
                stored = one.conn.execute(READ, [write[1].get("query") or rule.query(_CHANCE)])
                there = (position,) in [row[:1] for row in stored]
                counts.lost += committed and not there
                counts.doubled += there and not committed
                if committed:
                    others = [each for each in (later, new, old) if each is not write]
                    counts.accepted += sum(_refusal(one, each) != "MS009" for each in others)
                    # By its id it is answered as before, although its own message matches.
                    counts.doubled += one.conn.execute(*write).fetchone()[-1] != position
                else:
                    counts.ended += _refusal(one, new) is not None
                    counts.accepted += _refusal(one, later) != "MS009"
                    counts.ended += _refusal(one, _decision(one, rule)) is not None
        with psycopg.connect(server.conninfo) as conn:
            ((left,),) = conn.execute(_ADVISORY, [None])
            counts.ended += left
    counts.noted["writes that waited"] = waited
    return counts
