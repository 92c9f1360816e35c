"""Events and signals of both colors."""

import asyncio
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from pgstore._async.source import AsyncSource
from pgstore._compat.events import AsyncCounter, AsyncEvent, Event
from pgstore._compat.signals import async_stopped_by_signals, stopped_by_signals


@pytest.mark.parametrize("kind", ["event", "signal"])
async def test_another_thread_wakes_a_task(kind: str) -> None:
    asyncio.get_running_loop().set_debug(True)
    event, counter = AsyncEvent(), AsyncCounter()
    seen = counter.value
    ring = event.set if kind == "event" else counter.advance
    threading.Timer(0.05, ring).start()
    before = time.monotonic()
    if kind == "event":
        assert await event.wait(60)
    else:
        assert await counter.wait(seen, counter.interruptions, 60)
    assert time.monotonic() - before < 30


@pytest.mark.parametrize("later", range(6))
async def test_a_wait_that_is_cancelled_as_its_event_comes_is_cancelled(later: int) -> None:
    event = AsyncEvent()
    task = asyncio.ensure_future(event.wait(10))
    await asyncio.sleep(0.01)
    event.set()
    for _ in range(later):
        await asyncio.sleep(0)
    if not task.cancel():
        assert later > 0
        return
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_a_pool_loses_is_raised() -> None:
    """As psycopg_pool does before Python 3.12, if a connection comes at the same moment."""
    given_back: list[object] = []

    class Losing:
        async def getconn(self, timeout: float | None = None) -> str:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(10)
            return "connection"

        async def putconn(self, conn: str) -> None:
            given_back.append(conn)

    pool: Any = Losing()
    task = asyncio.ensure_future(AsyncSource("", "store", create=False).take(pool))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert given_back == ["connection"]


def test_a_loop_that_is_closed_is_nobody_to_wake() -> None:
    event, counter = AsyncEvent(), AsyncCounter()

    async def wait() -> None:
        assert not await event.wait(0)
        assert not await counter.wait(counter.value, counter.interruptions, 0)

    asyncio.run(wait())
    event.set()
    counter.advance()
    assert event.is_set()


async def test_an_event_can_be_cleared_and_set_again() -> None:
    event = AsyncEvent()
    for _ in range(3):
        assert not await event.wait(0)
        event.set()
        assert await event.wait(0)
        event.clear()


def test_an_event_of_threads_can_be_cleared_and_set_again() -> None:
    event = Event()
    for _ in range(3):
        assert not event.wait(0)
        event.set()
        assert event.wait(0)
        event.clear()


def test_an_event_can_be_set_by_who_interrupts_its_waiting() -> None:
    """As a signal's handler does in the main thread, while it has the event's lock."""
    event = Event()
    with event._condition:
        event.set()
    assert event.wait(0)


async def test_one_signal_stops_all_that_run_in_a_loop() -> None:
    stopped: list[str] = []
    async with async_stopped_by_signals(lambda: stopped.append("outer")):
        async with async_stopped_by_signals(lambda: stopped.append("inner")):
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
        assert sorted(stopped) == ["inner", "outer"]
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        assert stopped.count("outer") == 2
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_the_last_that_ends_puts_the_signals_handlers_back() -> None:
    def mine(*_: object) -> None: ...

    stopped: list[str] = []
    loop = asyncio.get_running_loop()
    interrupt = signal.getsignal(signal.SIGINT)
    before = signal.signal(signal.SIGTERM, mine)
    try:
        first = async_stopped_by_signals(lambda: stopped.append("first"))
        second = async_stopped_by_signals(lambda: stopped.append("second"))
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
        await asyncio.sleep(0.05)
        assert stopped == ["second", "second"]
        # A second SIGINT would have been what it was before; a second SIGTERM changes nothing.
        assert signal.getsignal(signal.SIGINT) is interrupt
        assert signal.getsignal(signal.SIGTERM) is not mine
        await second.__aexit__(None, None, None)
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is interrupt
    finally:
        signal.signal(signal.SIGTERM, before)

    heard = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, heard.set)  # is the loop's, which hears it from the OS
    try:
        async with async_stopped_by_signals(lambda: None):
            pass
        signal.raise_signal(signal.SIGTERM)
        assert await asyncio.wait_for(heard.wait(), 5)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@pytest.mark.parametrize("color", ["tasks", "threads"])
async def test_a_handler_that_was_set_meanwhile_stays(color: str) -> None:
    def mine(*_: object) -> None: ...

    before = signal.getsignal(signal.SIGTERM)
    try:
        if color == "tasks":
            async with async_stopped_by_signals(lambda: None):
                signal.signal(signal.SIGTERM, mine)
        else:
            with stopped_by_signals(lambda: None):
                signal.signal(signal.SIGTERM, mine)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
