"""What clients do by several threads or asyncio tasks, and the server that they reach over TCP."""

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from benchmarks.contenders.contract import Client, Writing
from benchmarks.payload import Deposited
from benchmarks.server import Server
from benchmarks.tasks import Place, Task
from benchmarks.together import tasks, threads, transactions


class Fake(Client):
    """Keeps what was written, with the thread that wrote it."""

    def __init__(self) -> None:
        self.written: list[tuple[int, str]] = []

    def write(self, stream: str, fact: Deposited) -> None:
        self.written.append((threading.get_ident(), stream))

    def write_several(self, streams: Sequence[str], facts: Sequence[Deposited]) -> None:
        for stream, fact in zip(streams, facts, strict=True):
            self.write(stream, fact)

    def shared_by(self, threads: int) -> list[Client]:
        return [self] * threads

    @asynccontextmanager
    async def tasks(self, count: int) -> AsyncIterator[Writing]:
        async def write(stream: str, fact: Deposited) -> None:
            self.write(stream, fact)

        yield write

    def install(self) -> None: ...

    def write_many(self, stream: str, facts: Sequence[Deposited]) -> None: ...

    def read(self, stream: str) -> Iterator[Deposited]:
        raise NotImplementedError


class Failing(Fake):
    def write(self, stream: str, fact: Deposited) -> None:
        raise ValueError("the disk is full")


def run_to_its_end(task: Task) -> dict[str, Any]:
    next(task)
    with pytest.raises(StopIteration) as end:
        next(task)
    result: dict[str, Any] = end.value.value
    return result


def place() -> Place:
    return Place(0, 2, threading.Event(), None)  # type: ignore[arg-type]


def test_threads_write_each_to_streams_of_its_own_and_all_is_counted() -> None:
    client = Fake()
    result = run_to_its_end(threads(client, place(), threads=3, seconds=0.05, streams=60))
    assert result["stored"] == len(client.written)
    assert 0 < result["written"] < result["stored"]
    streams: dict[str, set[int]] = {}
    for thread, stream in client.written:
        streams.setdefault(stream, set()).add(thread)
    assert all(len(of) == 1 for of in streams.values())
    assert len({thread for thread, _ in client.written}) == 3


def test_a_thread_that_fails_fails_the_task() -> None:
    with pytest.raises(ValueError, match="the disk is full"):
        next(threads(Failing(), place(), threads=2, seconds=0.05, streams=10))


@pytest.mark.parametrize(("task", "options"), [(tasks, {"tasks": 4}), (transactions, {"size": 5})])
def test_what_was_stored_is_counted(task: Any, options: dict[str, int]) -> None:
    client = Fake()
    result = run_to_its_end(task(client, place(), seconds=0.05, streams=60, **options))
    assert result["stored"] == len(client.written)
    assert 0 < result["written"] < result["stored"]


def test_the_server_is_reached_over_tcp_and_through_its_socket() -> None:
    with Server(shared_buffers="32MB") as server:
        for conninfo in (server.conninfo, server.over_tcp("postgres")):
            with psycopg.connect(conninfo) as conn:
                (where,) = conn.execute("SELECT inet_server_addr()").fetchone() or (None,)
                over_tcp = conninfo != server.conninfo
                assert (str(where) == server.address) == over_tcp
