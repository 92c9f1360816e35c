"""A store on which calls are stopped at their locks, and others run against them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, Self
from uuid import uuid4

import psycopg

import pgstore
from tests.concurrency.calls import prepare
from tests.concurrency.locks import Held, Lock, held_by, settled
from tests.concurrency.sessions import Session


class Wait(NamedTuple):
    """A call waits for a lock while it holds others."""

    call: str
    lock: Lock
    holding: frozenset[Lock]


class Stage:
    """A store, two sessions that call, one that is in the way, and one that looks."""

    def __init__(self, conninfo: str, store: str, role: str, opened: ExitStack) -> None:
        self.store = store
        options = f"-c search_path={store},pg_temp"
        self.observer = opened.enter_context(
            psycopg.connect(conninfo, autocommit=True, options=options)
        )
        self.one, self.other, self.gate = (
            opened.enter_context(Session(name, conninfo, store, self.observer))
            for name in ("one", "other", "gate")
        )
        self.calls = prepare(self.one, role)
        self.held = {name: self._held(call) for name, call in self.calls.items()}

    def _held(self, call: str) -> Held:
        self.one.run(f"BEGIN; {call}")
        held = held_by(self.one, self.observer)
        self.one.rollback()
        return held

    def waits(self, name: str) -> Iterator[Wait]:
        """For which of its locks a call waits, and what it holds then."""
        for lock in sorted(self.held[name].locks):
            self.gate.run(f"BEGIN; {lock.take()}")
            step = self.one.start(f"BEGIN; {self.calls[name]}; ROLLBACK")
            waiting = settled(self.one, step, self.observer)
            held = held_by(self.one, self.observer).locks if waiting else frozenset()
            self.gate.rollback()
            step.sqlstate()
            self.one.rollback()
            if waiting:
                yield Wait(name, lock, held - {lock})

    def deadlock(self, first: str, second: str, lock: Lock) -> bool:
        """Stop the first call at a lock, run the second one against it, and let both go on."""
        return "40P01" in self.meet(self.calls[first], self.calls[second], lock.take())

    def meet(self, first: str, second: str, in_the_way: str) -> list[str | None]:
        """Begin both, one after the other, while something is in their way; what they end with."""
        self.gate.run(f"BEGIN; {in_the_way}")
        steps = []
        for session, call in ((self.one, first), (self.other, second)):
            steps.append(session.start(f"BEGIN; {call}; ROLLBACK"))
            settled(session, steps[-1], self.observer)
        self.gate.rollback()
        states = [step.sqlstate() for step in steps]
        for session in (self.one, self.other):
            session.rollback()
        return states

    @classmethod
    @contextmanager
    def of_new_store(cls, conninfo: str) -> Iterator[Self]:
        """Make a store with all that the calls lock; drop it afterwards."""
        name = f"store_{uuid4().hex[:12]}"
        pgstore.install(conninfo, store=name)
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute(f"CREATE ROLE {name}")
            with ExitStack() as opened:
                yield cls(conninfo, name, name, opened)
            conn.execute(f"DROP OWNED BY {name}; DROP ROLE {name}; DROP SCHEMA {name} CASCADE")
