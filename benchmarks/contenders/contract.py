"""What a contender is to the benchmark: a description, and a client in a process of its own."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Literal, Protocol

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from benchmarks.payload import Deposited

Handle = Callable[[list[Deposited]], None]
Writing = Callable[[str, Deposited], Awaitable[object]]
"""Appends an event to a stream, as `Client.write` does."""


class Stop(Protocol):
    """An event that is set when a consumer is to end."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


def pool_for_tasks(conninfo: str) -> AsyncConnectionPool[AsyncConnection[TupleRow]]:
    """A pool as large as pgstore's own, for the tasks of a process."""
    return AsyncConnectionPool(
        conninfo, min_size=1, max_size=10, kwargs={"autocommit": True}, open=False
    )


def when_set(stop: Stop, call: Callable[[], object]) -> None:
    """Call something, in a thread, when the event is set."""

    def work() -> None:
        stop.wait()
        call()

    threading.Thread(target=work, daemon=True).start()


class Contender(ABC):
    """A store, as the benchmark sees it from outside: no library of the store's is needed."""

    name: ClassVar[str]
    title: ClassVar[str]
    environment: ClassVar[Literal["own", "bench", "node"]] = "own"
    """Where its client runs: this Python, the benchmark's own one, or Node."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Environments to be made for it: bench, node."""
    options: ClassVar[str] = ""
    """Options of its connections."""
    is_peer: ClassVar[bool] = True
    count: str
    """SQL: how many messages are stored; empty if it stores none."""
    find: ClassVar[str]
    """SQL: whether there is a message with this reference."""
    table: ClassVar[str]
    """Its table of messages, for sizes."""
    setting: ClassVar[str]
    """How it is used here, in one or two sentences."""
    global_order: ClassVar[str | None] = None
    """What it promises of an order across streams, and the setting used; None if it has none."""
    checkpoints_each_message: ClassVar[bool] = False
    """Whether its consumers keep one for each message, so that they get fewer to catch up with."""
    lacks: ClassVar[dict[str, str]] = {}
    """Workloads that it takes no part in, and why."""
    only: ClassVar[frozenset[str]] = frozenset()
    """If there are any: the only workloads that it takes part in."""
    sql_only: ClassVar[bool] = False
    """Whether it writes by its pgbench script only."""

    @property
    def available(self) -> bool:
        """Whether it is there in this version of pgstore."""
        return True

    def script(self, streams: int) -> str | None:
        """A pgbench script that writes a message to one of so many streams, if SQL can."""
        return None

    def fill(self, count: int) -> list[str]:
        """SQL that stores so many messages as writing them would have, if there is any.

        In streams of 10, `account-filled1` and so on. All but the last one may run at the same
        time.
        """
        return []

    def imports(self) -> None:  # noqa: B027
        """Import the store's library; in its clients' process only."""

    @abstractmethod
    def client(self, conninfo: str) -> "Client":
        """Connect; in the client's process only. One in Node has a client of its own."""


class Client(ABC):
    """One connected client: what a user of the store would do with its usual interface."""

    @abstractmethod
    def install(self) -> None:
        """Make the tables and whatever else is needed in an empty database."""

    @abstractmethod
    def write(self, stream: str, fact: Deposited) -> None:
        """Append an event, whatever the stream's version is; durable when it returns."""

    @abstractmethod
    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None:
        """Append events to a stream, all or nothing."""

    @abstractmethod
    def read(self, stream: str) -> Iterator[Deposited]:
        """Read a stream, decoded."""

    def read_all(self) -> Iterator[Deposited]:
        """Read everything in global order, decoded."""
        raise NotImplementedError

    def write_several(self, streams: Sequence[str], facts: Sequence[Deposited]) -> None:
        """Append an event to each of several streams, in one transaction."""
        raise NotImplementedError

    def create_consumer(  # noqa: B027
        self, name: str, category: str | None, partitions: int, at_end: bool
    ) -> None:
        """Make what `consume` needs, once; it begins with the first message, or with new ones."""

    batch: int | None = 1000
    """Most messages for a consumer to fetch at once; None for the store's default."""

    def consume(
        self, name: str, handle: Handle, stop: Stop, category: str | None, partitions: int
    ) -> None:
        """Handle all messages, or a category's, with a durable checkpoint."""
        raise NotImplementedError

    def consume_once(self, name: str, stop: Stop, seen: Handle) -> None:
        """The same, with a row for each message in table `seen`, exactly once."""
        raise NotImplementedError

    def follow(self, handle: Handle, stop: Stop) -> None:
        """Hand over all messages in global order, and go on with those that come."""
        raise NotImplementedError

    def shared_by(self, threads: int) -> "list[Client]":
        """A client for each of so many threads of this process, of one pool if the store has it."""
        raise NotImplementedError

    def tasks(self, count: int) -> AbstractAsyncContextManager[Writing]:
        """Open an asynchronous client that so many tasks of this process share."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027
        """Close its connections."""
