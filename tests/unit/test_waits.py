"""Events and signals of both colors."""

import asyncio
import signal
import threading
import time

import pytest

from pgstore import _aio, _threads


@pytest.mark.parametrize("kind", ["event", "signal"])
async def test_another_thread_wakes_a_task(kind: str) -> None:
    asyncio.get_running_loop().set_debug(True)
    event, counter = _aio.Event(), _aio.Signal()
    seen = counter.value
    ring = event.set if kind == "event" else counter.advance
    threading.Timer(0.05, ring).start()
    before = time.monotonic()
    if kind == "event":
        assert await _aio.wait_for(event, 5)
    else:
        assert await counter.wait(seen, 5)
    assert time.monotonic() - before < 1


def test_a_loop_that_is_closed_is_nobody_to_wake() -> None:
    event, counter = _aio.Event(), _aio.Signal()

    async def wait() -> None:
        assert not await _aio.wait_for(event, 0)
        assert not await counter.wait(counter.value, 0)

    asyncio.run(wait())
    event.set()
    counter.advance()
    assert event.is_set()


async def test_an_event_can_be_cleared_and_set_again() -> None:
    event = _aio.Event()
    for _ in range(3):
        assert not await _aio.wait_for(event, 0)
        event.set()
        assert await _aio.wait_for(event, 0)
        event.clear()


def test_an_event_of_threads_can_be_cleared_and_set_again() -> None:
    event = _threads.Event()
    for _ in range(3):
        assert not _threads.wait_for(event, 0)
        event.set()
        assert _threads.wait_for(event, 0)
        event.clear()


def test_an_event_can_be_set_by_who_interrupts_its_waiting() -> None:
    """As a signal's handler does in the main thread, while it has the event's lock."""
    event = _threads.Event()
    with event._condition:
        event.set()
    assert _threads.wait_for(event, 0)


async def test_one_signal_stops_all_that_run_in_a_loop() -> None:
    stopped: list[str] = []
    async with _aio.stopped_by_signals(lambda: stopped.append("outer")):
        async with _aio.stopped_by_signals(lambda: stopped.append("inner")):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
        assert sorted(stopped) == ["inner", "outer"]
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        assert stopped.count("outer") == 2
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
