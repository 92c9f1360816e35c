"""How soon writers, followers and workers are back after a promotion: docs/operations has figures.

`python -m tests.faults.returning [--rounds N]` promotes a standby in each of the ways, under stores
with connections of every kind, and prints the medians and the longest times.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

import pgstore
from pgstore import AsyncMessageStore, MessageStore
from tests.client.proxy import Proxy
from tests.faults.patient import PatientConnection
from tests.faults.promotion import fence, make_standby, promote
from tests.faults.report import table
from tests.faults.servers import Durable, temporary_folder
from tests.stress.messages import Noted

NAME = "back"
KINDS = ("own", "async", "pool", "patient pool", "engine")
WHAT = ("first write", "first followed", "first handled")
_PATIENCE = 60.0
_OUTAGE = 3.0
_NAP = 0.01

Seconds = dict[tuple[str, str], float]


class Programs:
    """A writer, a follower and a worker on stores of one kind; they note what was when."""

    def __init__(self, kind: str, number: int) -> None:
        self.kind = kind
        self.category = f"note{number}"
        self.noted: dict[str, list[tuple[float, int]]] = {each: [] for each in WHAT}
        self.stopping = threading.Event()

    def note(self, what: str, number: int) -> None:
        self.noted[what].append((time.monotonic(), number))

    @property
    def written(self) -> int:
        return self.noted["first write"][-1][1] if self.noted["first write"] else 0

    def first(self, what: str, after: float, beyond: int) -> float | None:
        """When something was done with a message that was written later."""
        return next((at - after for at, n in self.noted[what] if at > after and n > beyond), None)

    @contextmanager
    def running(self, open_source: Callable[[], Any]) -> Iterator[None]:
        with ExitStack() as stack:
            stores = [
                stack.enter_context(
                    MessageStore[Noted](
                        stack.enter_context(open_source()), store=NAME, messages=Noted, create=False
                    )
                )
                for _ in WHAT
            ]
            subscription = stores[2].subscription(self.category, category=self.category)

            @subscription.handler
            def handle(message: Noted, tx: psycopg.Connection) -> None:
                self.note("first handled", message.number)

            follower = stores[1].follow(category=self.category)

            def follow() -> None:
                for each in follower:
                    self.note("first followed", each.message.number)

            work = partial(stores[2].run, subscription, workers=2, lease=5.0)
            threads = [
                threading.Thread(target=each, daemon=True)
                for each in (partial(self._write, stores[0]), follow, work)
            ]
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                self.stopping.set()
                follower.stop()
                stores[2].stop()
                for thread in threads:
                    thread.join(_PATIENCE)

    def _write(self, store: MessageStore[Noted]) -> None:
        number = 0
        while not self.stopping.wait(_NAP):
            number += 1
            while not self.stopping.is_set():
                with suppress(psycopg.Error):
                    store.write(f"{self.category}-1", Noted(1, number))
                    self.note("first write", number)
                    break
                self.stopping.wait(_NAP)


class AsyncPrograms(Programs):
    """The same in an event loop."""

    @contextmanager
    def running(self, open_source: Callable[[], Any]) -> Iterator[None]:
        with open_source() as conninfo:
            thread = threading.Thread(target=lambda: asyncio.run(self._run(conninfo)), daemon=True)
            thread.start()
            try:
                yield
            finally:
                self.stopping.set()
                thread.join(_PATIENCE)

    async def _run(self, conninfo: str) -> None:
        made = [
            AsyncMessageStore[Noted](conninfo, store=NAME, messages=Noted, create=False)
            for _ in WHAT
        ]
        async with made[0] as writing, made[1] as following, made[2] as working:
            subscription = working.subscription(self.category, category=self.category)

            @subscription.handler
            async def handle(message: Noted, tx: psycopg.AsyncConnection) -> None:
                self.note("first handled", message.number)

            follower = following.follow(category=self.category)

            async def follow() -> None:
                async for each in follower:
                    self.note("first followed", each.message.number)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_async(writing))
                tasks.create_task(follow())
                tasks.create_task(working.run(subscription, workers=2, lease=5.0))
                await asyncio.to_thread(self.stopping.wait)
                follower.stop()
                working.stop()

    async def _write_async(self, store: AsyncMessageStore[Noted]) -> None:
        number = 0
        while not self.stopping.is_set():
            number += 1
            while not self.stopping.is_set():
                with suppress(psycopg.Error):
                    await store.write(f"{self.category}-1", Noted(1, number))
                    self.note("first write", number)
                    break
                await asyncio.sleep(_NAP)
            await asyncio.sleep(_NAP)


def programs_of(kind: str, number: int) -> Programs:
    return AsyncPrograms(kind, number) if kind == "async" else Programs(kind, number)


@contextmanager
def source(kind: str, conninfo: str) -> Iterator[Any]:
    """What a store is given: a connection string, a pool or an engine."""
    if kind in ("own", "async"):
        yield conninfo
    elif kind.endswith("pool"):
        cls = PatientConnection if kind == "patient pool" else psycopg.Connection
        options: dict[str, Any] = {"connection_class": cls, "min_size": 1, "max_size": 6}
        with ConnectionPool(conninfo, open=True, **options) as pool:
            yield pool
    else:
        given = conninfo_to_dict(conninfo)
        pairs = zip(str(given["host"]).split(","), str(given["port"]).split(","), strict=True)
        query = "&".join(f"host={host}:{port}" for host, port in pairs)
        url = f"postgresql+psycopg://postgres@/postgres?{query}"
        for name in ("target_session_attrs", "connect_timeout"):
            url += f"&{name}={given[name]}"
        engine = sqlalchemy.create_engine(url)
        with closing(engine.raw_connection()):
            pass
        try:
            yield engine
        finally:
            engine.dispose()


def either(primary: str, standby: str) -> str:
    """A connection string that names both, and leads to the primary."""
    given = [conninfo_to_dict(each) for each in (primary, standby)]
    return make_conninfo(
        primary,
        host=",".join(str(each["host"]) for each in given),
        port=",".join(str(each.get("port", 5432)) for each in given),
        target_session_attrs="read-write",
        connect_timeout=2,  # of a pool of the application's, which has no limits but its own
    )


def killed(primary: Durable, way: Proxy) -> None:
    """The primary is killed."""
    primary.crash()


def shut_down(primary: Durable, way: Proxy) -> None:
    """The primary is shut down."""
    primary.stop()


def read_only(primary: Durable, way: Proxy) -> None:
    """The primary is read-only, and keeps its connections."""
    fence(primary)


def vanished(primary: Durable, way: Proxy) -> None:
    """The primary's host swallows packets; its connections have ended by their limits."""
    way.vanish()


WAYS = (killed, shut_down, read_only, vanished)


def measure(way: Callable[[Durable, Proxy], None], kinds: tuple[str, ...] = KINDS) -> Seconds:
    """Promote a standby; the seconds from then until stores of each kind have done each thing."""
    with ExitStack() as stack:
        folder: Path = stack.enter_context(temporary_folder())
        primary = stack.enter_context(Durable(folder / "a"))
        standby = Durable(folder / "b")
        pgstore.install(primary.conninfo, store=NAME)
        make_standby(primary, standby)
        stack.callback(standby.stop)
        proxy = stack.enter_context(Proxy.running(primary.conninfo))
        address = proxy.conninfo if way is vanished else primary.conninfo
        all_programs = [programs_of(kind, number) for number, kind in enumerate(kinds)]
        for each in all_programs:
            opening = partial(source, each.kind, either(address, standby.conninfo))
            stack.enter_context(each.running(opening))
        _until(
            lambda: all(len(noted) > 5 for each in all_programs for noted in each.noted.values())
        )
        way(primary, proxy)
        time.sleep(_OUTAGE)
        promote(standby, NAME)
        promoted, beyond = time.monotonic(), {each: each.written for each in all_programs}

        def seconds() -> dict[tuple[str, str], float | None]:
            return {
                (each.kind, what): each.first(what, promoted, beyond[each])
                for each in all_programs
                for what in WHAT
            }

        _until(lambda: None not in seconds().values())
        return {key: value for key, value in seconds().items() if value is not None}


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, "not all of the programs go on"
        time.sleep(0.005)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.returning")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(words).rounds
    for name in ("psycopg", "pgstore", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    rows = []
    for way in WAYS:
        found = [measure(way) for _ in range(rounds)]
        for kind in KINDS:
            times = [[each[kind, what] for each in found] for what in WHAT]
            cells = [f"{statistics.median(each):.2f} ({max(each):.2f})" for each in times]
            rows.append([(way.__doc__ or "").rstrip("."), kind, *cells])
    sys.stdout.write(table(["", "connections", *WHAT], rows) + "\n")


if __name__ == "__main__":
    main()
