"""Decisions that are older than a crash, and prepared transactions over a restart."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

import pgstore
from tests.concurrency.races import CONDITIONAL, PLAIN, Racer, Rule, alone, as_read
from tests.faults.counts import Counts, Rounds
from tests.faults.servers import Durable

# More positions than the server's log has noted ahead: 32.
_DRAWN = 40

_LEFT = """
SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IS NULL)
  + (SELECT count(*) FROM pg_prepared_xacts)
"""


class _Write(NamedTuple):
    """A write that can be made, and repeated."""

    statement: str
    given: dict[str, Any]


class _Case(NamedTuple):
    """A write that is prepared, and decisions from before it and from while it is in flight."""

    rule: Rule
    write: _Write
    position: int
    before: _Write
    meanwhile: _Write


def tokens(server: Durable, rounds: Rounds) -> Counts:
    """Read a token over 40 matches that are not committed, kill the server, write others there."""
    counts, again = Counts(), 0
    pgstore.install(server.conninfo, store="tokens")
    for number in rounds:
        rule = Rule()
        with _racer(server, "tokens") as one, _racer(server, "tokens") as other:
            _run(one, _plain(one, rule, tags=[]))
            other.conn.execute("BEGIN")
            drawn = {_run(other, _plain(other, rule)) for _ in range(_DRAWN)}
            if number % 2:
                other.conn.execute("ROLLBACK")
            old = [_decision(one, rule) for _ in CONDITIONAL]
            server.crash()
        server.start_again()
        with _racer(server, "tokens") as one:
            again += _run(one, _plain(one, rule)) in drawn
            counts.acknowledged += 1
            for each in old:
                counts.accepted += _refusal(one, each) != "MS009"
            counts.ended += _refusal(one, _decision(one, rule)) is not None
    counts.noted["positions given again"] = again
    return counts


def prepared(server: Durable, rounds: Rounds) -> Counts:
    """Prepare writes with tags and on a condition, kill or restart the server, end them."""
    counts = Counts()
    pgstore.install(server.conninfo, store="prepared")
    for number in rounds:
        with _racer(server, "prepared") as one:
            cases = [_prepare(one, conditional=each) for each in (False, True)]
        if number % 2:
            server.crash()
        server.start_again()
        with _racer(server, "prepared") as one:
            for index, case in enumerate(cases):
                _end(one, case, counts, commit=(number // 2 + index) % 2 == 0)
            ((left,),) = one.conn.execute(_LEFT)
            counts.ended += left
    return counts


def _prepare(one: Racer, *, conditional: bool) -> _Case:
    rule = Rule()
    before = _decision(one, rule)
    write = _decision(one, rule) if conditional else _plain(one, rule)
    one.conn.execute("BEGIN")
    position = _run(one, write)
    one.conn.execute(f"PREPARE TRANSACTION '{write.given['id']}'".encode())
    return _Case(rule, write, position, before, _decision(one, rule))


def _end(one: Racer, case: _Case, counts: Counts, *, commit: bool) -> None:
    """Look that others wait for a prepared write, end it, and look what they may do then."""
    decisions = [case.before, case.meanwhile, _decision(one, case.rule)]
    waiting = list(decisions)
    if "query" in case.write.given:  # writers of matches do not wait for one another
        waiting.append(_plain(one, case.rule))
    refused = [_refusal(one, each) for each in waiting]
    counts.accepted += sum(each != "55P03" for each in refused)
    counts.noted["writes that waited"] = counts.noted.get("writes that waited", 0) + len(refused)
    ((safe,),) = one.conn.execute("SELECT safe_position()")
    counts.skipped += safe >= case.position
    verb = "COMMIT" if commit else "ROLLBACK"
    one.conn.execute(f"{verb} PREPARED '{case.write.given['id']}'".encode())
    matches, _, _ = one.read(case.rule)
    if commit:
        counts.acknowledged += 1
        counts.lost += matches != [case.position]
        counts.accepted += sum(_refusal(one, each) != "MS009" for each in decisions)
        # Its own message is not in its way.
        counts.doubled += _run(one, case.write) != case.position
    else:
        counts.doubled += matches != []
        counts.ended += _refusal(one, decisions.pop()) is not None
        counts.accepted += sum(_refusal(one, each) != "MS009" for each in decisions)
    counts.ended += _refusal(one, _decision(one, case.rule)) is not None


@contextmanager
def _racer(server: Durable, store: str) -> Iterator[Racer]:
    options = f"-c search_path={store} -c lock_timeout=200ms"
    # Closed without a COMMIT, which a server that was killed would not answer.
    with closing(psycopg.connect(server.conninfo, autocommit=True, options=options)) as conn:
        yield Racer(conn, random.Random(), f"own:{uuid4()}", as_read, [alone])


def _plain(one: Racer, rule: Rule, **given: Any) -> _Write:
    return _Write(PLAIN["write_message"], one.match(rule) | given)


def _decision(one: Racer, rule: Rule) -> _Write:
    _, query, token = one.read(rule)
    statement = CONDITIONAL[one.choice.choice(list(CONDITIONAL))]
    more = {"other_id": uuid4(), "query": query, "token": token}
    return _Write(statement, one.match(rule) | more)


def _run(one: Racer, write: _Write) -> int:
    """The position that a write answers."""
    answer: TupleRow | None = one.conn.execute(write.statement.encode(), write.given).fetchone()
    assert answer is not None
    return int(answer[-1])


def _refusal(one: Racer, write: _Write) -> str | None:
    """The code with which a write is refused; None if it succeeds."""
    try:
        _run(one, write)
    except psycopg.Error as error:
        return error.sqlstate
    return None
