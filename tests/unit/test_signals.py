"""What handled SIGTERM and SIGINT before `run` hears them too."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from pgstore._compat import signals
from pgstore._compat.signals import async_stopped_by_signals, stopped_by_signals

NUMBERS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back what the test has set."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class Heard(list[str]):
    """Who has heard a signal."""

    def by(self, name: str) -> Callable[..., None]:
        return lambda *_: self.append(name)


@NUMBERS
def test_a_handler_that_was_there_is_called_too(number: int) -> None:
    heard = Heard()
    signal.signal(number, mine := heard.by("mine"))
    with stopped_by_signals(heard.by("run")):
        signal.raise_signal(number)
    assert heard == ["run", "mine"]
    assert signal.getsignal(number) is mine


@NUMBERS
def test_nested_ones_are_called_and_so_is_the_handler_before(number: int) -> None:
    heard = Heard()
    signal.signal(number, heard.by("mine"))
    with (
        stopped_by_signals(heard.by("outer")),
        stopped_by_signals(heard.by("inner")),
    ):
        signal.raise_signal(number)
    assert heard == ["inner", "outer", "mine"]


def test_a_second_sigint_goes_to_the_handler_before_alone() -> None:
    heard = Heard()
    signal.signal(signal.SIGINT, heard.by("mine"))
    with (
        stopped_by_signals(heard.by("outer")),
        stopped_by_signals(heard.by("inner")),
    ):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert heard == ["inner", "outer", "mine", "mine"]


@NUMBERS
def test_what_python_does_by_default_waits_for_a_second_signal(number: int) -> None:
    heard = Heard()
    signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signals.interrupt)
    with stopped_by_signals(heard.by("run")):
        signal.raise_signal(number)
        assert heard == ["run"]
        if number == signal.SIGINT:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)


@NUMBERS
def test_a_signal_that_is_ignored_stays_ignored(number: int) -> None:
    heard = Heard()
    signal.signal(number, signal.SIG_IGN)
    with stopped_by_signals(heard.by("run")):
        signal.raise_signal(number)
    assert heard == []
    assert signal.getsignal(number) is signal.SIG_IGN


def test_a_handler_set_meanwhile_that_calls_the_one_before_does_so_later_too() -> None:
    heard = Heard()
    signal.signal(signal.SIGTERM, heard.by("before"))
    with stopped_by_signals(heard.by("run")):
        ours: Any = signal.getsignal(signal.SIGTERM)

        def chained(number: int, frame: Any) -> None:
            heard.append("mine")
            ours(number, frame)

        signal.signal(signal.SIGTERM, chained)
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["mine", "run", "before", "mine", "before"]


@NUMBERS
@pytest.mark.parametrize("way", ["signal.signal", "add_signal_handler"])
async def test_asyncio_several_at_once_and_the_handler_before(number: int, way: str) -> None:
    heard = Heard()
    loop = asyncio.get_running_loop()
    if way == "signal.signal":
        signal.signal(number, heard.by("mine"))
    else:
        loop.add_signal_handler(number, heard.by("mine"))
    try:
        async with (
            async_stopped_by_signals(heard.by("first")),
            async_stopped_by_signals(heard.by("second")),
        ):
            signal.raise_signal(number)
            await asyncio.sleep(0.05)
        assert sorted(heard) == ["first", "mine", "second"]
        signal.raise_signal(number)  # and is alone again afterwards
        await asyncio.sleep(0.05)
        assert sorted(heard) == ["first", "mine", "mine", "second"]
    finally:
        loop.remove_signal_handler(number)


@pytest.mark.parametrize("threads_inside", [False, True])
async def test_a_threaded_one_inside_an_asynchronous_one(threads_inside: bool) -> None:
    heard = Heard()
    signal.signal(signal.SIGTERM, heard.by("mine"))
    with ExitStack() as stack:
        inner: AbstractContextManager[None] = stopped_by_signals(heard.by("threads"))
        async with async_stopped_by_signals(heard.by("tasks")):
            if threads_inside:
                stack.enter_context(inner)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
            stack.close()
    assert sorted(heard) == sorted(["mine", "tasks"] + ["threads"] * threads_inside)


def test_the_handler_of_asyncio_run_is_a_default_one() -> None:
    """It cancels the main task, which would interrupt the batch in hand."""

    async def main() -> list[str]:
        heard = Heard()
        async with async_stopped_by_signals(heard.by("run")):
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0.05)
        return heard

    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert asyncio.run(main()) == ["run"]
