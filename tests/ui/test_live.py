"""The feed: every message is counted, the newest are sent, and it ends with its browser."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pgstore import RawMessage
from tests.ui.conftest import Opened, Raw, write
from tests.ui.serving import serving

Batch = dict[str, Any]


@pytest.fixture
async def address(store: Raw) -> AsyncIterator[str]:
    """A console that is served: a transport without a socket gives no event before the last."""
    async with serving(store) as address:
        yield address


async def batches(address: str, query: str = "", **headers: str) -> AsyncIterator[Batch]:
    """The batches of a feed, each with the id of its event."""
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("GET", f"{address}/live/events{query}", headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                key, _, value = line.partition(": ")
                event[key] = value
                continue
            if event.get("event") == "batch":
                yield json.loads(event["data"]) | {"id": int(event["id"])}
            event = {}


async def count(address: str, messages: int, query: str = "", **headers: str) -> list[Batch]:
    """The batches up to so many messages."""
    found: list[Batch] = []
    feed = batches(address, query, **headers)
    async for batch in feed:
        found.append(batch)
        if sum(each["count"] for each in found) >= messages:
            break
    await feed.aclose()  # type: ignore[attr-defined]
    return found


async def test_feed_counts_every_message_and_sends_the_newest(address: str, store: Raw) -> None:
    for _ in range(6):
        await store.write_many("account-1", [RawMessage("Deposited", b'{"n": 1}')] * 500)
    found = await count(address, 3000, "?after=0")
    assert sum(each["count"] for each in found) == 3000
    assert max(len(each["rows"]) for each in found) <= 50
    last = found[-1]
    assert last["id"] == last["rows"][-1]["position"] == 3000
    assert last["rows"][-1]["data"] == '{"n": 1}'


async def test_feed_begins_with_what_is_new(address: str, store: Raw) -> None:
    await write(store, "account-1", "Opened")
    feed = batches(address)
    waiting = asyncio.ensure_future(anext(feed))
    await followed(store)
    await write(store, "account-1", "Deposited")
    batch = await asyncio.wait_for(waiting, 20)
    assert [each["version"] for each in batch["rows"]] == [2]
    await feed.aclose()  # type: ignore[attr-defined]


async def followed(store: Raw) -> None:
    """Wait until a session of the store waits for messages."""
    from pgstore.ui.console import Console

    ((lock_class,),) = await store._database.rows("SELECT STORE._bell_lock_class()::int8", ())
    console = Console(store, read_only=True, deciders={}, sections=[])
    statement = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND classid::bigint = %s::bigint & 4294967295"
    )
    for _ in range(400):
        if await console.value(statement, lock_class):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no session waits")


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ("", [1, 2, 3, 4]),
        ("&category=account", [1, 2, 3]),
        ("&stream=account-1", [1, 2]),
        ("&stream=account_1", []),
        ("&type=Opened", [1, 3, 4]),
        ("&category=account&type=Opened,Other", [1, 3]),
    ],
)
async def test_feed_has_what_it_is_asked_for(
    address: str, store: Raw, query: str, positions: list[int]
) -> None:
    await write(store, "account-1", "Opened")
    await write(store, "account-1", "Deposited")
    await write(store, "account-2", "Opened")
    await write(store, "order-1", "Opened")
    if not positions:  # and then one that fits, so that the feed has something to say
        await write(store, "account_1", "Opened")
        positions = [5]
    found = await count(address, len(positions), f"?after=0{query}")
    assert [row["position"] for each in found for row in each["rows"]] == positions


async def test_browser_that_comes_back_misses_nothing(address: str, store: Raw) -> None:
    for _ in range(4):
        await write(store, "account-1", "Deposited")
    found = await count(address, 2, **{"Last-Event-ID": "2"})
    assert [row["position"] for each in found for row in each["rows"]] == [3, 4]


async def test_position_of_another_history_begins_at_the_end(address: str, store: Raw) -> None:
    await write(store, "account-1", "Deposited")
    feed = batches(address, "?after=999")
    waiting = asyncio.ensure_future(anext(feed))
    await followed(store)
    await write(store, "account-1", "Deposited")
    assert (await asyncio.wait_for(waiting, 20))["rows"][0]["position"] == 2
    await feed.aclose()  # type: ignore[attr-defined]


async def test_feed_ends_with_its_browser(store: Raw) -> None:
    async with serving(store) as address:
        await write(store, "account-1", "Deposited")
        await count(address, 1, "?after=0")
        for _ in range(400):
            tasks = [each for each in asyncio.all_tasks() if "_pump" in repr(each)]
            if not tasks:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the follower of a browser that has left still runs")


async def test_follower_waits_for_a_browser_that_does_not_read(
    store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pgstore.ui import feeds

    monkeypatch.setattr(feeds, "_UNSENT", 100)
    await store.write_many("account-1", [RawMessage("Deposited", b"{}")] * 1000)
    async with store.follow(after_position=0) as follower:
        feed = feeds.Feed(follower)
        events = feed.events(_stays)
        await anext(events)
        first = json.loads((await anext(events)).split(b"data: ")[1])
        for _ in range(20):
            await asyncio.sleep(0)
        assert first["count"] == 100
        assert follower.position <= 200
        await events.aclose()  # type: ignore[attr-defined]


async def _stays() -> bool:
    return False


async def test_too_many_feeds_are_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgstore.ui.views.live.MOST", 0)
    page = await opened().get("/live/events")
    assert page.status_code == 503
