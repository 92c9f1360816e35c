"""The store: its figures, its contents, retention and the audit, doctor and verify."""

import asyncio
import threading
from typing import Any

import httpx
import psycopg
import pytest

import pgstore.transfer as transfer
from pgstore import ui
from pgstore.ui import operations, samples
from tests.ui.conftest import Opened, Raw, write
from tests.ui.steering import fail, post, send_form, text_of
from tests.ui.test_subscriptions import figures


async def fill(store: Raw) -> None:
    for number in range(30):
        await write(store, f"account-{number % 3}", "Deposited")
    for number in range(10):
        await write(store, f"order-{number}", "Placed")


async def test_figures_say_that_nothing_is_counted(client: httpx.AsyncClient, store: Raw) -> None:
    await fill(store)
    text = text_of(await client.get("/store"))
    assert "Nothing is counted" in text
    assert "Readers across streams, and subscriptions, read up to position 40 of 40" in text
    assert "messages" in text.partition("Tables")[2]


async def test_samples_of_the_store_are_kept(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "INTERVAL", 0.05)
    first = await figures(client, "/store/figures", 1)
    await fill(store)
    columns = (await figures(client, "/store/figures", len(first["columns"]["time"]) + 2))[
        "columns"
    ]
    assert max(each for each in columns["rate"] if each is not None) > 0
    assert columns["bytes"][-1] > 0
    assert columns["held_back"][-1] == 0
    text = text_of(await client.get("/store"))
    assert "Samples of this page's server, every 5 seconds since" in text


async def test_contents_say_what_was_looked_at(client: httpx.AsyncClient, store: Raw) -> None:
    assert "no messages yet" in text_of(await client.get("/store/contents"))
    await fill(store)
    text = text_of(await client.get("/store/contents"))
    assert "Of 40 messages that were looked at: up to 250 at 20 places" in text
    assert "account 75.0 %" in text
    assert "Placed 25.0 %" in text
    assert "account-0 10 10" in text.partition("Biggest streams")[2]


async def test_contents_of_a_large_store_are_those_of_all_its_places(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store)
    fewer = operations.SAMPLE
    for before, after in (("/ 20", "/ 4"), ("(0, 19)", "(0, 3)"), ("LIMIT 250", "LIMIT 2")):
        assert before in fewer
        fewer = fewer.replace(before, after)
    monkeypatch.setattr(operations, "SAMPLE", fewer)
    text = text_of(await client.get("/store/contents"))
    assert "Of 8 messages that were looked at" in text
    assert "account 75.0 %" in text


async def set_retention(conninfo: str, store: Raw, max_count: int, reason: str = "") -> None:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await conn.execute(
            f"SELECT {store.name}.set_retention('account', max_count => %s, reason => %s)",
            [max_count, reason],
        )


async def test_retention_shows_policies_and_what_waits(
    client: httpx.AsyncClient, store: Raw, conninfo: str
) -> None:
    assert "Messages are kept for ever" in text_of(await client.get("/store/retention"))
    await store.subscription("late").create()
    await fill(store)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await conn.execute(f"SELECT {store.name}.set_retention('account', max_age => '0')")
    text = text_of(await client.get("/store/retention"))
    assert "account 00:00:00 any number stays" in text
    assert "waits for a subscription" in text


async def test_audit_comes_in_pages(client: httpx.AsyncClient, store: Raw, conninfo: str) -> None:
    await fill(store)
    for number in range(60):
        await set_retention(conninfo, store, number, f"reason {number}.")
    first = text_of(await client.get("/store/audit"))
    assert "reason 59." in first
    assert "reason 9." not in first
    page = await client.get("/store/audit")
    before = page.text.partition("before=")[2].partition('"')[0]
    second = text_of(await client.get("/store/audit", params={"before": before}))
    assert "reason 9." in second
    assert "reason 59." not in second


async def test_doctor_lists_what_hurts_first(client: httpx.AsyncClient, store: Raw) -> None:
    await fail(store, on_failure="park")
    text = text_of(await client.get("/store/checks"))
    assert "pgstore parked list NAME" in text
    assert "parked messages balances: 1" in text
    assert text.index("parked messages") < text.index("client encoding")
    assert "pooler none" in text
    assert "at schema version" in text


async def test_many_pages_of_checks_make_few_connections(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now: list[int] = []

    class Counted(psycopg.AsyncConnection[Any]):
        @classmethod
        async def connect(cls, *args: Any, **options: Any) -> Any:
            named = options | {"application_name": store.name}
            conn = await super().connect(*args, **named)
            asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            found = await (await conn.execute(asked, [store.name])).fetchone()
            await conn.rollback()
            assert found is not None
            open_now.append(found[0])
            return conn

    monkeypatch.setattr("pgstore.ui.storing.AsyncConnection", Counted)
    pages = await asyncio.gather(*(client.get("/store/checks") for _ in range(5)))
    assert {page.status_code for page in pages} == {200}
    assert max(open_now) <= 3  # one that is closed may still be listed


async def verified(client: httpx.AsyncClient) -> str:
    """What the page says when no verification runs."""
    async with asyncio.timeout(60):
        while True:
            page = await client.get("/store/verification")
            if "every 1s" not in page.text:
                return text_of(await client.get("/store/checks"))
            await asyncio.sleep(0.02)


async def test_verify_runs_on_demand(client: httpx.AsyncClient, store: Raw) -> None:
    await fill(store)
    assert "was not verified since" in text_of(await client.get("/store/checks"))
    question = await client.get("/store/verify")
    assert "reads all messages of the store several times" in text_of(question)
    done = await send_form(client, question)
    assert done.headers["location"] == "/store/checks"
    text = await verified(client)
    assert "checks found nothing wrong" in text
    assert "versions have no gaps 40 none" in text


async def test_verify_shows_what_is_wrong_first(
    client: httpx.AsyncClient, store: Raw, conninfo: str, store_name: str
) -> None:
    await fill(store)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await conn.execute(f"DELETE FROM {store_name}.messages WHERE version = 2")
    await post(client, "/store/verify")
    text = await verified(client)
    assert "1 of" in text
    assert "found something wrong" in text
    assert "versions have no gaps 37 3 stream account-0: version 3 after 1" in text


class Held:
    """A verification that waits in its first part."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.let_go = threading.Event(), threading.Event()
        monkeypatch.setattr(transfer, "verify", self._verify)

    def _verify(self, conn: Any, *, store: str, begin: Any) -> list[transfer.Check]:
        begin("messages and tables")
        self.reached.set()
        conn.execute("SELECT pg_sleep(60)")
        return []

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 20)


async def test_verify_shows_its_progress_runs_once_and_is_stopped(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    await post(client, "/store/verify")
    await held.wait()
    text = text_of(await client.get("/store/checks"))
    assert "running Part 1 of 4: messages and tables" in text
    second = await post(client, "/store/verify")
    assert second.status_code == 409
    assert "A verification runs already" in text_of(second)
    await post(client, "/store/verify/stop")
    assert "The last verification was stopped" in await verified(client)


async def test_verify_ends_with_the_application(
    store: Raw, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    application = ui.app(store)
    transport = httpx.ASGITransport(application)
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        application.router.lifespan_context(application),
    ):
        await post(client, "/store/verify")
        await held.wait()
    with psycopg.connect(conninfo) as conn:
        left = conn.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'pgstore ui verify' AND state = 'active'"
        ).fetchone()
    assert left == (0,)


async def test_verify_that_cannot_connect_says_so(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify(conn: Any, *, store: str, begin: Any) -> list[transfer.Check]:
        raise psycopg.OperationalError("the server is gone")

    monkeypatch.setattr(transfer, "verify", verify)
    await post(client, "/store/verify")
    assert "with an error: the server is gone" in await verified(client)


async def test_console_that_is_read_only_verifies_nothing(opened: Opened, store: Raw) -> None:
    client = opened(read_only=True)
    assert "Verify…" not in text_of(await client.get("/store/checks"))
    refused = await post(client, "/store/verify")
    assert refused.status_code == 403
    assert "was not verified" in text_of(await client.get("/store/checks"))
