"""What clients do whose process has several threads, or several asyncio tasks.

As in tasks.py, what comes before `yield` is preparation.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from benchmarks.contenders.contract import Client, Writing
from benchmarks.payload import deposited
from benchmarks.tasks import WARM_UP, Place, Result, Task


def threads(
    client: Client,
    place: Place,
    *,
    threads: int,
    seconds: float,
    streams: int,
    category: str = "account",
) -> Task:
    """Write single messages for some time, by threads that share what the store lets them share."""
    clients = client.shared_by(threads)
    results: list[Result] = []
    failures: list[BaseException] = []
    ready, start = threading.Barrier(threads + 1), threading.Barrier(threads + 1)

    def work(number: int) -> None:
        mine = range(1 + place.number * threads + number, streams + 1, place.clients * threads)
        chance = random.Random(mine.start)
        own = clients[number]

        def write() -> str:
            fact = deposited()
            own.write(f"{category}-{chance.choice(mine)}", fact)
            return fact.reference

        try:
            for _ in range(WARM_UP):
                write()
            ready.wait()
            start.wait()
            written, begin = 0, time.perf_counter()
            while (now := time.perf_counter()) < begin + seconds:
                reference = write()
                written += 1
            results.append({"written": written, "seconds": now - begin, "reference": reference})
        except BaseException as error:
            failures.append(error)
            ready.abort()

    workers = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(threads)]
    for worker in workers:
        worker.start()
    with suppress(threading.BrokenBarrierError):
        ready.wait()
    if failures:
        raise failures[0]
    yield
    start.wait()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return summed(results, threads * WARM_UP)


def tasks(
    client: Client,
    place: Place,
    *,
    tasks: int,
    seconds: float,
    streams: int,
    category: str = "account",
) -> Task:
    """Write single messages for some time, by tasks that share an asynchronous client."""
    chance = random.Random(place.number)

    async def write_until(write: Writing, done: Callable[[int], bool]) -> Result:
        begin, written, reference = time.perf_counter(), 0, ""
        while not done(written):
            fact = deposited()
            await write(f"{category}-{chance.randint(1, streams)}", fact)
            reference = fact.reference
            written += 1
        return {
            "written": written,
            "seconds": time.perf_counter() - begin,
            "reference": reference,
        }

    async def all_of(write: Writing, done: Callable[[int], bool]) -> list[Result]:
        return await asyncio.gather(*(write_until(write, done) for _ in range(tasks)))

    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        write = runner.run(opened.enter_async_context(client.tasks(tasks)))
        runner.run(all_of(write, lambda written: written == WARM_UP))
        yield
        until = time.perf_counter() + seconds
        results = runner.run(all_of(write, lambda _: time.perf_counter() >= until))
        runner.run(opened.aclose())
    return summed(results, tasks * WARM_UP)


def transactions(client: Client, place: Place, *, size: int, seconds: float, streams: int) -> Task:
    """Write single messages, so many in each transaction, each to another stream."""
    chance = random.Random(place.number)

    def write() -> str:
        facts = [deposited() for _ in range(size)]
        numbers = sorted(chance.sample(range(1, streams + 1), size))
        client.write_several([f"account-{n}" for n in numbers], facts)
        return facts[-1].reference

    for _ in range(WARM_UP):
        write()
    yield
    done, begin, reference = 0, time.perf_counter(), ""
    while (now := time.perf_counter()) < begin + seconds:
        reference = write()
        done += 1
    result = {"written": done * size, "seconds": now - begin, "reference": reference}
    return summed([result], WARM_UP * size)


def summed(results: list[Result], warm_up: int) -> Result:
    """One result of all: they ran for the same time."""
    written = sum(each["written"] for each in results)
    return {
        "written": written,
        "seconds": max(each["seconds"] for each in results),
        "stored": written + warm_up,
        "reference": results[0]["reference"],
    }


TASKS: dict[str, Callable[..., Task]] = {
    task.__name__: task for task in (threads, tasks, transactions)
}
