"""Programs that run subscriptions: what signals make of them."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgstore import MessageStore
from tests.client.messages import EventA
from tests.client.parallel import Parallel

ROOT = Path(__file__).resolve().parent.parent.parent

SYNC = """
import sys, time
import psycopg, pgstore
from tests.client.messages import EventA

conninfo, name, category = sys.argv[1:]
store = pgstore.MessageStore[EventA](conninfo, store=name, messages=EventA)
subscription = store.subscription(category, category=category, batch_size=3)

@subscription.handler
def copy(message: EventA, tx: psycopg.Connection) -> None:
    print(message.num, flush=True)
    time.sleep(0.3)
    store.write(f"copy{category}", message, conn=tx)

with store:
    store.run(subscription, workers=2)
print("end")
"""

ASYNC = """
import asyncio, sys
import psycopg, pgstore
from tests.client.messages import EventA

async def main(conninfo: str, name: str, category: str) -> None:
    store = pgstore.AsyncMessageStore[EventA](conninfo, store=name, messages=EventA)
    subscription = store.subscription(category, category=category, batch_size=3)

    @subscription.handler
    async def copy(message: EventA, tx: psycopg.AsyncConnection) -> None:
        print(message.num, flush=True)
        await asyncio.sleep(0.3)
        await store.write(f"copy{category}", message, conn=tx)

    async with store:
        await store.run(subscription, workers=2)

asyncio.run(main(*sys.argv[1:]))
print("end")
"""

FORGETFUL = """
import asyncio, sys
import pgstore
from tests.client.messages import EventA

async def follow(store, category):
    async for _ in store.follow(category=category):
        pass

async def main(conninfo, name, category):
    store = pgstore.AsyncMessageStore[EventA](conninfo, store=name, messages=EventA)
    tasks.append(asyncio.create_task(follow(store, category)))
    subscription = store.subscription(category, category=category)

    @subscription.handler
    async def note(message: EventA) -> None: ...

    tasks.append(asyncio.create_task(store.run(subscription)))
    while store._waker._waiting < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)

tasks = []
asyncio.run(main(*sys.argv[1:]))
print([task.cancelled() for task in tasks])
"""

INTERRUPTED = {
    "SYNC": SYNC.replace("time.sleep(0.3)", "raise SystemExit(3)"),
    "ASYNC": ASYNC.replace("await asyncio.sleep(0.3)", "raise SystemExit(3)"),
}

Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def store(conninfo: str, shared: str) -> Iterator[MessageStore[Any]]:
    with MessageStore[EventA](conninfo, store=shared, messages=EventA) as store:
        yield store


@pytest.fixture
def start(conninfo: str, shared: str, category: str) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(program: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-c", program, conninfo, shared, category]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("program", [SYNC, ASYNC], ids=["sync", "async"])
def test_a_signal_lets_it_finish_its_batch_and_exit(
    store: MessageStore[Any], start: Start, category: str, program: str, number: int
) -> None:
    third = store.write_many(f"{category}-1", [EventA(number) for number in range(3)])
    store.write_many(f"{category}-1", [EventA(number) for number in range(3, 9)])
    process = start(program)
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    process.send_signal(number)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest.split(), errors) == (0, ["1", "2", "end"], "")
    assert [stored.message.num for stored in store.read(f"copy{category}")] == [0, 1, 2]
    (partition,) = store.subscription(category, category=category).partitions()
    assert (partition.leased_until, partition.checkpoint) == (None, third.global_position)


def test_an_idle_one_exits_at_once(
    store: MessageStore[Any], start: Start, category: str, server_conninfo: str
) -> None:
    process = start(SYNC)
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        asleep = (
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'"
            " AND objsubid = 2 AND pid IN (SELECT pid FROM pg_stat_activity WHERE state = 'idle')"
        )
        Parallel.until(lambda: conn.execute(asleep).rowcount > 0)
    process.terminate()
    assert process.communicate(timeout=20) == ("end\n", "")


def test_a_program_that_ends_under_its_tasks_ends_quietly(start: Start) -> None:
    process = start(FORGETFUL)
    assert process.communicate(timeout=20) == ("[True, True]\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize("kind", ["SYNC", "ASYNC"])
def test_system_exit_in_a_handler_ends_the_program(
    store: MessageStore[Any], start: Start, category: str, kind: str
) -> None:
    store.write(f"{category}-1", EventA(1))
    process = start(INTERRUPTED[kind])
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (3, "")
    (partition,) = store.subscription(category, category=category).partitions()
    assert (partition.leased_until, partition.attempts) == (None, 0)


@pytest.mark.parametrize("kind", ["SYNC", "ASYNC"])
def test_system_exit_in_a_handler_comes_out_of_run(
    store: MessageStore[Any], start: Start, category: str, kind: str
) -> None:
    store.write(f"{category}-1", EventA(1))
    run = re.compile(r"^( *)((?:await )?store\.run\(.*\))$", re.MULTILINE)
    caught = r"\1try:\n\1    \2\n\1except SystemExit as error:\n\1    print(error.code)"
    process = start(run.sub(caught, INTERRUPTED[kind]))
    assert process.communicate(timeout=20) == ("1\n3\nend\n", "")
