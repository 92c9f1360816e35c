"""Run many calls at once: as tasks in asynchronous tests, as threads in synchronous ones."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

_PATIENCE = 60.0


class AsyncParallel:
    """Start calls with ``start``; ``results`` gives what each returned or raised, in order."""

    MANY = 50

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def start(self, *calls: Callable[[], Awaitable[Any]]) -> None:
        async def run(call: Callable[[], Awaitable[Any]]) -> Any:
            return await call()

        self._tasks += [asyncio.create_task(run(call)) for call in calls]

    @staticmethod
    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not condition():  # noqa: ASYNC110 - the condition is in the database
                await asyncio.sleep(0.01)

    async def results(self) -> Sequence[Any]:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.gather(*self._tasks, return_exceptions=True)


class Parallel:
    """The same with threads, which all wait for the last one before they begin."""

    MANY = 8

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=self.MANY)
        self._futures: list[Future[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=kind is None, cancel_futures=True)

    def start(self, *calls: Callable[[], Any]) -> None:
        together = threading.Barrier(min(len(calls), self.MANY))

        def run(call: Callable[[], Any], *, wait: bool) -> Any:
            if wait:
                together.wait(_PATIENCE)
            return call()

        self._futures += [
            self._threads.submit(run, call, wait=number < together.parties)
            for number, call in enumerate(calls)
        ]

    @staticmethod
    def until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def results(self) -> Sequence[Any]:
        deadline = time.monotonic() + _PATIENCE
        return [
            future.exception(max(0.0, deadline - time.monotonic())) or future.result()
            for future in self._futures
        ]
