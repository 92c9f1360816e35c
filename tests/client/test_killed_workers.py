"""Worker processes that end: by a message, which is parked, or by a deployment: none is parked."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pgstore import MessageStore
from tests.amounts import amount
from tests.client.messages import EventA
from tests.client.parallel import Parallel
from tests.client.test_run_process import ROOT

# More than `max_attempts`.
DEPLOYMENTS = amount(4, 10)

SYNC = """
import os, sys, time
import psycopg, pgstore
from tests.client.messages import EventA

conninfo, name, category, poison, pause = sys.argv[1:]
store = pgstore.MessageStore[EventA](conninfo, store=name, messages=EventA)
subscription = store.subscription(
    category, category=category, on_failure="park", max_attempts=2, batch_size=BATCH
)

@subscription.handler
def copy(message: EventA, tx: psycopg.Connection) -> None:
    if message.num == int(poison):
        os._exit(9)
    time.sleep(float(pause))
    store.write(f"copy{category}", message, conn=tx)

with store:
    store.run(subscription, lease=0.5)
"""

ASYNC = """
import asyncio, os, sys
import psycopg, pgstore
from tests.client.messages import EventA

async def main(conninfo, name, category, poison, pause):
    store = pgstore.AsyncMessageStore[EventA](conninfo, store=name, messages=EventA)
    subscription = store.subscription(
        category, category=category, on_failure="park", max_attempts=2, batch_size=BATCH
    )

    @subscription.handler
    async def copy(message: EventA, tx: psycopg.AsyncConnection) -> None:
        if message.num == int(poison):
            os._exit(9)
        await asyncio.sleep(float(pause))
        await store.write(f"copy{category}", message, conn=tx)

    async with store:
        await store.run(subscription, lease=0.5)

asyncio.run(main(*sys.argv[1:]))
"""

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def store(conninfo: str, shared: str) -> Iterator[MessageStore[Any]]:
    with MessageStore[EventA](conninfo, store=shared, messages=EventA) as store:
        yield store


@pytest.fixture
def start(conninfo: str, shared: str, category: str) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str, *arguments: object, batch: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program.replace("BATCH", str(batch))]
        command += [conninfo, shared, category, *map(str, arguments)]
        started.append(subprocess.Popen(command, cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def copied(store: MessageStore[Any], category: str) -> list[int]:
    return [stored.message.num for stored in store.read(f"copy{category}")]


@pytest.mark.parametrize("program", [SYNC, ASYNC], ids=["sync", "async"])
def test_message_that_kills_its_process_is_parked_and_no_other(
    store: MessageStore[Any], start: Start, category: str, program: str
) -> None:
    store.write_many(f"{category}-1", [EventA(number) for number in range(1, 101)])
    subscription = store.subscription(category, category=category)
    expected = [number for number in range(1, 101) if number != 57]
    deaths = 0
    process = start(program, 57, 0, batch=100)
    while len(copied(store, category)) < len(expected):
        try:
            code = process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
        assert code == 9
        deaths += 1
        assert deaths <= 4, "it is redelivered for ever"
        process = start(program, 57, 0, batch=100)
    assert copied(store, category) == expected
    (parked,) = subscription.parked()
    assert (parked.version, parked.attempts, deaths) == (57, 2, 4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_deployments_park_nothing(
    store: MessageStore[Any], start: Start, category: str, number: int
) -> None:
    store.write_many(f"{category}-1", [EventA(number) for number in range(200)])
    subscription = store.subscription(category, category=category)
    for _ in range(DEPLOYMENTS):
        done = copied(store, category)
        process = start(SYNC, -1, 0.02, batch=5)
        Parallel.until(lambda done=done: copied(store, category) != done)  # type: ignore[misc]
        process.send_signal(number)
        process.wait(timeout=20)
    (partition,) = subscription.partitions()
    assert (partition.attempts, subscription.parked()) == (0, [])
    start(SYNC, -1, 0, batch=100)
    Parallel.until(lambda: len(copied(store, category)) == 200)
    assert copied(store, category) == list(range(200))
    assert subscription.parked() == []
