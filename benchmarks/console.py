"""Measure the pages of the web console on a large store: `python -m benchmarks.console`.

A store is filled with a million messages, and each page is asked for some times, in rounds of an
order of their own, by one client without a network. The figures are the median of the processor
time that the client, the console and the server take together, which other work on the machine
hardly changes, and the shortest time until the answer. The first time of each page is left out: its
statements are planned then. It needs Linux, which tells the processor time of other processes.

`--into docs/guides/ui.md` writes them between the marks of that page.
"""

import argparse
import asyncio
import random
import re
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
from psycopg.rows import TupleRow

import pgstore
from pgstore import embedded, ui
from pgstore._core.files import write_whole
from tests.plans.filling import fill

MARKED = re.compile(r"(?<=<!-- console -->\n).*?(?=<!-- /console -->)", re.DOTALL)

# Beside `tests/plans/filling.py`, which says what there is: a stream of 100,000 messages, 100,000
# small streams, a rare category, tags, correlation ids.
PAGES = {
    "the newest messages": "/",
    "messages of a category": "/?category=small",
    "messages of a rare category": "/?category=rare",
    "messages of a type": "/?type=T1",
    "messages of a type that there is not": "/?type=None",
    "messages of a stream by its name": "/?stream=big-1",
    "messages of streams by a beginning": "/?stream=medium",
    "messages with a value in their metadata": "/?metadata=correlation_id%3Dc7",
    "messages with a rare tag": "/?tag=rare",
    "messages since a time": "/?since=2020-01-01T00:00",
    "messages in the middle of the store": "/?before=500000",
    "streams, the latest": "/streams",
    "streams by the beginning of a name": "/streams?prefix=small-99",
    "a stream of 100,000 messages": "/stream?stream=big-1",
    "its middle": "/stream?stream=big-1&from=50000",
    "a small stream": "/stream?stream=small-6",
    "a message": "/message?stream=big-1&version=50000",
    "a trace": "/trace?correlation=c7",
    "live, before the feed": "/live",
    "subscriptions": "/subscriptions",
    "a subscription, all of its 16 partitions behind": "/subscription?subscription=everything",
    "a subscription with a rare tag": "/subscription?subscription=tagged",
    "the preview of a rewind": "/subscription/rewind?subscription=everything&to=0",
    "the store": "/store",
    "the store's contents": "/store/contents",
    "the store's retention": "/store/retention",
    "the store's audit": "/store/audit",
    "the store's checks": "/store/checks",
}

# Subscriptions that have handled nothing yet.
SUBSCRIBED = """
SELECT create_subscription('everything', partitions => 16);
SELECT create_subscription('of a category', categories => '{rare}', partitions => 4);
SELECT create_subscription('tagged', tags => '{rare}', partitions => 2);
"""


def processor_time(processes: list[int]) -> float:
    """Milliseconds that this process and others have run."""
    theirs = 0
    for process in processes:
        with suppress(OSError):  # a connection that the page of checks has closed
            theirs += int(Path(f"/proc/{process}/schedstat").read_text().split()[0])
    return time.process_time() * 1000 + theirs / 1e6


def sessions(conn: psycopg.Connection[TupleRow]) -> list[int]:
    """The processes of the store's connections."""
    rows = conn.execute(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> %s",
        [conn.info.backend_pid],
    )
    return [pid for (pid,) in rows]


async def measured(
    store: pgstore.AsyncMessageStore[pgstore.RawMessage],
    conn: psycopg.Connection[TupleRow],
    rounds: int,
) -> str:
    """A line for each page."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PAGES}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(ui.app(store)), base_url="http://localhost"
    ) as client:
        for number in range(rounds + 1):
            for name in random.sample([*PAGES], len(PAGES)):
                processes = sessions(conn)
                began, ran = time.perf_counter(), processor_time(processes)
                answer = await client.get(PAGES[name])
                took = (time.perf_counter() - began) * 1000
                if answer.status_code == 200 and number:
                    found[name].append((processor_time(processes) - ran, took))
    lines = ["| page | processor time | shortest time |", "| --- | --- | --- |"]
    for name, values in found.items():
        if values:
            ran = statistics.median(each for each, _ in values)
            took = min(each for _, each in values)
            lines.append(f"| {name} | {ran:.0f} ms | {took:.0f} ms |")
        else:
            print(f"no answer: {name}", file=sys.stderr)
    return "\n".join(lines)


async def run(conninfo: str, messages: int, rounds: int) -> str:
    async with pgstore.AsyncMessageStore(conninfo, messages=pgstore.RawMessage) as store:
        await store.safe_position()  # which installs it
        with psycopg.connect(conninfo, autocommit=True) as conn:
            conn.execute("SET search_path = pgstore")
            fill(conn, messages)
            conn.execute("VACUUM ANALYZE")
            conn.execute(SUBSCRIBED)
            return await measured(store, conn, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--into", type=Path, help="the page to write the table into")
    given = parser.parse_args()
    with embedded.Server(settings={"synchronous_commit": "off"}) as server:
        text = asyncio.run(run(server.conninfo, given.messages, given.rounds))
    print(text)
    if given.into is not None:
        page = given.into.read_text()
        write_whole(given.into, MARKED.sub(lambda _: f"\n{text}\n\n", page, count=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
