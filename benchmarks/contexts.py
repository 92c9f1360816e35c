"""Measure the price of metadata, contexts and spans: `python -m benchmarks.contexts`.

One client does the same in several ways, each for a moment in a round, in an order of its own: it
writes a message, writes a batch, reads with a block around each message, and runs handlers that do
nothing. The figures are medians of the rounds, and of the ratios to the first way within each
round. The server flushes no commit, so that the client's part is as large as it can be.

`--into docs/guides/tracing.md` writes them between the marks of that page.
"""

import argparse
import random
import re
import statistics
import sys
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.sdk.trace import TracerProvider

import pgstore
import pgstore.otel
from pgstore import embedded
from pgstore._core.files import write_whole
from pgstore._core.metadata import Context, enter_context, leave_context, text_in_context

Work = Callable[[], int]  # how many messages it dealt with
Store = pgstore.MessageStore[Any]

BATCH = 100
HANDLED = 2000
METADATA = {"user": "ada", "tenant": "a"}
MARKED = re.compile(r"(?<=<!-- contexts -->\n).*?(?=<!-- /contexts -->)", re.DOTALL)


class Added(msgspec.Struct):
    amount: int


def block() -> AbstractContextManager[None]:
    return pgstore.message_context(correlation_id="request-7", user="ada")


def write(store: Store, **options: Any) -> Work:
    def work() -> int:
        store.write("one-1", Added(1), **options)
        return 1

    return work


def write_batch(store: Store, **options: Any) -> Work:
    messages = [Added(n) for n in range(BATCH)]

    def work() -> int:
        store.write_many("many-1", messages, **options)
        return BATCH

    return work


def within(work: Work) -> Work:
    def in_block() -> int:
        with block():
            return work()

    return in_block


def read(store: Store, around: Callable[[Any], AbstractContextManager[None]]) -> Work:
    def work() -> int:
        for stored in store.read_category("read", max_count=HANDLED):
            with around(stored):
                pass
        return HANDLED

    return work


def handle(store: Store, name: str) -> Work:
    """Have a subscription handle the same messages again; the rewind is part of the work."""
    subscription = store.subscription(name, category="read")

    @subscription.handler
    def ignore(message: Added) -> None: ...

    def work() -> int:
        subscription.rewind(0)
        return store.run_once(subscription)

    store.run_once(subscription)
    return work


def ways(stores: dict[str, Store]) -> dict[str, dict[str, Work]]:
    """What is compared, and the ways to do it, the first of which is the measure of the others."""
    plain, no_provider, spans = stores["plain"], stores["no-provider"], stores["spans"]

    def written(make: Callable[..., Work]) -> dict[str, Work]:
        return {
            "written": make(plain),
            "with `metadata=`": make(plain, metadata=METADATA),
            "in a `message_context`": within(make(plain)),
            "instrumented, no provider": make(no_provider),
            "instrumented": make(spans),
        }

    without = {"instrumented, `create_spans=False`": write_batch(stores["one-span"])}
    return {
        "a message": written(write),
        f"each message of a batch of {BATCH}": written(write_batch) | without,
        "a message of a page": {
            "read": read(plain, nullcontext),
            "`message_context(stored)` around it": read(plain, pgstore.message_context),
        },
        "a message of a subscription": {
            "handled": handle(plain, "plain"),
            "instrumented, no provider": handle(no_provider, "no-provider"),
            "instrumented": handle(spans, "spans"),
        },
    }


def took(work: Work, seconds: float) -> float:
    """Do some work again and again; how many microseconds each message took."""
    done, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or done == 0:
        done += work()
    return elapsed * 1e6 / done


def compared(works: dict[str, Work], rounds: int, seconds: float) -> Iterator[tuple[str, str, str]]:
    """Each way, its microseconds for a message, and its share of the first one's."""
    found: dict[str, list[float]] = {way: [] for way in works}
    for number in range(rounds + 1):  # the first round warms up
        for way in random.sample([*works], len(works)):
            if (value := took(works[way], seconds)) and number:
                found[way].append(value)
    first = next(iter(found.values()))
    for way, values in found.items():
        ratio = statistics.median(mine / its for mine, its in zip(values, first, strict=True))
        yield way, f"{statistics.median(values):.1f} µs", f"{ratio:.2f}"


def alone() -> Iterator[tuple[str, str, str]]:
    """What a write without metadata and a handler's call pay for contexts, by themselves."""

    def enter() -> None:
        leave_context(enter_context(Context(None, ())))

    parts = {
        "a look for a context, outside of all blocks": lambda: text_in_context(None),
        "a context made, entered and left, without a write": enter,
    }
    for name, part in parts.items():
        value = min(timeit.repeat(part, number=100_000, repeat=5)) * 1e9 / 100_000
        yield name, f"{value:.0f} ns", ""


def table(stores: dict[str, Store], rounds: int, seconds: float) -> str:
    lines = ["| | takes | of the first way |", "| --- | --- | --- |"]
    for what, works in ways(stores).items():
        for way, value, ratio in compared(works, rounds, seconds):
            lines.append(f"| {what}, {way} | {value} | {ratio} |")
    lines += [f"| {name} | {value} | {ratio} |" for name, value, ratio in alone()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--into", type=Path, help="the page to write the table into")
    given = parser.parse_args()
    with (
        embedded.Server(settings={"synchronous_commit": "off"}) as server,
        ExitStack() as opened,
    ):
        stores = {
            name: opened.enter_context(pgstore.MessageStore(server.conninfo, messages=Added))
            for name in ("plain", "no-provider", "spans", "one-span")
        }
        for number in range(0, HANDLED, BATCH):
            stores["plain"].write_many("read-1", [Added(number + n) for n in range(BATCH)])
        provider = TracerProvider()  # makes the spans, and sends them nowhere
        pgstore.otel.instrument(stores["no-provider"])
        pgstore.otel.instrument(stores["spans"], tracer_provider=provider)
        pgstore.otel.instrument(stores["one-span"], tracer_provider=provider, create_spans=False)
        text = table(stores, given.rounds, given.seconds)
    print(text)
    if given.into is not None:
        page = given.into.read_text()
        write_whole(given.into, MARKED.sub(lambda _: f"\n{text}\n\n", page, count=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
