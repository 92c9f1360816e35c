"""Programs in which `run` is not alone: a signal reaches what else there is."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# What web servers do with signals: "uvicorn" sets handlers by signal.signal, and raises what it has
# got once more at its end; "hypercorn" asks the loop to.
SERVER = """
import asyncio, os, signal, sys
import pgstore
from tests.client.messages import EventA

SIGNALS = (signal.SIGTERM, signal.SIGINT)
conninfo, name, category, kind, options = sys.argv[1:]

async def serve(lifespan):
    ended, got = asyncio.Event(), []
    def end(number, frame=None):
        os.write(1, b"server\\n")  # print may be at work: it is not reentrant
        got.append(number)
        ended.set()
    if kind == "uvicorn":
        before = {number: signal.signal(number, end) for number in SIGNALS}
    else:
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, end, number)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with lifespan:
        print("up", flush=True)
        await ended.wait()
        server.close()
    if kind == "uvicorn":
        for number, handler in before.items():
            signal.signal(number, handler)
        print("down", flush=True)
        for number in got:
            signal.raise_signal(number)

class Lifespan:
    async def __aenter__(self):
        self.store = pgstore.AsyncMessageStore[EventA](conninfo, store=name, messages=EventA)
        self.runs = []
        for n in range(2):
            subscription = self.store.subscription(f"{category}{n}", category=category)
            @subscription.handler
            async def note(message: EventA) -> None: ...
            run = self.store.run(subscription, signals="False" not in options)
            self.runs.append(asyncio.create_task(run))
        while self.store._waker._waiting < 2:
            await asyncio.sleep(0.01)
    async def __aexit__(self, *_):
        if "stop" in options:
            self.store.stop()
        await asyncio.gather(*self.runs)
        print("runs", flush=True)
        await self.store.aclose()

asyncio.run(serve(Lifespan()))
"""

THREADS = """
import os, signal, sys
import pgstore
from tests.client.messages import EventA

conninfo, name, category, kind, options = sys.argv[1:]
store = pgstore.MessageStore[EventA](conninfo, store=name, messages=EventA)
subscription = store.subscription(category, category=category)

@subscription.handler
def note(message: EventA) -> None:
    print("up", flush=True)

def end(number, frame):
    os.write(1, b"server\\n")  # print may be at work: it is not reentrant
    if "stop" in options:
        store.stop()

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN if kind == "ignored" else end)
store.write(f"{category}-1", EventA(1))
with store:
    store.run(subscription, signals="False" not in options)
print("runs")
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(conninfo: str, shared: str, category: str) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-W",
            "error",
            "-c",
            program,
            conninfo,
            shared,
            category,
            *arguments,
        ]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


NUMBERS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
OPTIONS = pytest.mark.parametrize("options", ["signals=True", "signals=True stop", "False stop"])


@NUMBERS
@OPTIONS
def test_a_server_like_uvicorn_ends_with_its_runs(start: Start, number: int, options: str) -> None:
    process = start(SERVER, "uvicorn", options)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert output.split() == ["server", "runs", "down"], errors
    assert process.returncode == -number, errors


@NUMBERS
@OPTIONS
def test_a_server_with_handlers_of_the_loop_ends_with_its_runs(
    start: Start, number: int, options: str
) -> None:
    process = start(SERVER, "hypercorn", options)
    process.send_signal(number)
    assert process.communicate(timeout=30) == ("server\nruns\n", "")
    assert process.returncode == 0


@NUMBERS
@OPTIONS
def test_a_threaded_program_with_handlers_of_its_own_hears_them(
    start: Start, number: int, options: str
) -> None:
    process = start(THREADS, "handled", options)
    process.send_signal(number)
    assert process.communicate(timeout=30) == ("server\nruns\n", "")
    assert process.returncode == 0


def test_a_program_that_ignores_a_signal_goes_on(start: Start) -> None:
    process = start(THREADS, "ignored", "signals=True")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=1)
