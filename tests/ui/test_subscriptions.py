"""Subscriptions: how far they are, what holds them, and what the buttons do."""

import asyncio
import itertools
import logging
import re
from typing import Any

import httpx
import psycopg
import pytest

from pgstore.ui import samples
from pgstore.ui.views import VIEWS
from tests.ui.conftest import Opened, Raw, write
from tests.ui.steering import fail, post, send_form, subscribe, text_of

ONE = {"subscription": "balances"}
ACTIONS = [each for each in VIEWS if each.action and "/sub" in each.path]


async def state(store: Raw, name: str = "balances") -> list[tuple[str, int]]:
    found = await store.subscription(name).partitions()
    return [(each.state, each.checkpoint) for each in found]


async def test_store_without_subscriptions_says_what_to_do(client: httpx.AsyncClient) -> None:
    page = await client.get("/subscriptions")
    assert page.status_code == 200
    assert "store.subscription(" in text_of(page)


async def test_list_shows_what_needs_attention(client: httpx.AsyncClient, store: Raw) -> None:
    await fail(store)
    await subscribe(store, "quiet <i>", category="nothing")
    await store.run_once(await subscribe(store, "quiet", category="nothing"))
    text = text_of(await client.get("/subscriptions"))
    assert "balances everything ValueError: cannot handle it" in text
    assert "stopped 1 position" not in text
    assert "1 stopped 1 idle" in text
    assert "quiet nothing idle" in text
    assert "No transaction holds it back" in text


async def test_subscription_shows_each_partition_with_its_error(
    client: httpx.AsyncClient, store: Raw
) -> None:
    await fail(store)
    page = await client.get("/subscription", params=ONE)
    text = text_of(page)
    assert page.status_code == 200
    assert "Failed at position 5 , 2 attempts" in text
    assert "ValueError: cannot handle it" in text
    assert "by balances <b>" in text
    assert "by balances <b>" not in page.text
    assert "2 attempts, then stop the partition" in text
    assert "Retry… partition" in text


async def test_unknown_subscription_is_a_page_that_says_so(client: httpx.AsyncClient) -> None:
    for path in ("/subscription", "/subscription/parked", "/subscription/pause"):
        page = await client.get(path, params={"subscription": "nobody"})
        assert page.status_code == 404
        assert "There is no such subscription" in text_of(page)


async def test_lag_is_the_age_of_the_first_message_that_waits(
    client: httpx.AsyncClient, store: Raw, conninfo: str, store_name: str
) -> None:
    await fail(store)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await conn.execute(
            f"UPDATE {store_name}.messages SET added_at = added_at - interval '3 hours'"
        )
    text = text_of(await client.get("/subscription", params=ONE))
    assert "3 h" in text.partition("Late by")[2].partition("Rate")[0]


async def test_messages_that_wait_are_counted_in_each_partition(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = await subscribe(store, "balances", category="account", partitions=3)
    await subscription.create()
    for number in range(40):
        await write(store, f"account-{number}", "Good")
        await write(store, f"other-{number}", "Good")

    async def counts() -> list[str]:
        page = await client.get("/subscription", params=ONE)
        rows = re.findall(r"<tr>(.*?)</tr>", page.text.partition('id="live"')[2], re.S)
        cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in rows]
        return [re.sub("<[^>]*>", "", row[3]).strip() for row in cells if len(row) > 3]

    found = await counts()
    assert len(found) == 3
    assert sum(map(int, found)) == 40
    await store.run_once(subscription)
    assert await counts() == ["0", "0", "0"]
    await subscription.rewind(0)
    monkeypatch.setattr("pgstore.ui.counting._ALL", 30)
    monkeypatch.setattr("pgstore.ui.counting._EACH", 10)
    bounded = await counts()
    assert all(each.startswith("\u2265 ") for each in bounded)
    assert sum(int(each[2:]) for each in bounded) == 5


async def test_pause_and_resume_after_a_question(client: httpx.AsyncClient, store: Raw) -> None:
    await store.run_once(await subscribe(store, "balances", partitions=2))
    question = await client.get("/subscription/pause", params=ONE)
    assert "Workers get no new batches of its 2 partitions" in text_of(question)
    assert {each for each, _ in await state(store)} == {"idle"}
    done = await send_form(client, question)
    assert done.status_code == 303
    assert {each for each, _ in await state(store)} == {"paused"}
    page = await client.get(done.headers["location"])
    assert "It is paused" in text_of(page)
    assert "Resume…" in text_of(page)
    question = await client.get("/subscription/resume", params=ONE)
    assert "The pause ends" in text_of(question)
    await send_form(client, question)
    assert {each for each, _ in await state(store)} == {"idle"}


async def test_form_that_is_sent_twice_is_done_once(client: httpx.AsyncClient, store: Raw) -> None:
    await fail(store)
    preview = await client.get("/subscription/rewind", params={"subscription": "balances", "to": 0})
    assert (await send_form(client, preview)).status_code == 303
    await write(store, "account-2", "Good")
    await store.run_once(await subscribe(store, "balances", partitions=2), raise_errors=False)
    handled = await state(store)
    assert max(checkpoint for _, checkpoint in handled) > 0
    again = await send_form(client, preview)
    assert again.status_code == 409
    assert "This form was sent before" in again.text
    assert await state(store) == handled


async def test_log_says_what_was_done_and_for_whom(
    opened: Opened, store: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    await fail(store)
    client = opened(behind_proxy=True)
    client.headers["X-Forwarded-User"] = "ada"
    asked = {"subscription": "balances"}
    with caplog.at_level(logging.INFO, "pgstore"):
        await send_form(client, await client.get("/subscription/pause", params=asked))
    assert "did /subscription/pause {'subscription': 'balances'} for ada" in caplog.text
    assert "token" not in caplog.text


async def test_retry_names_the_message_and_tries_it_again(
    client: httpx.AsyncClient, store: Raw
) -> None:
    await fail(store)
    (stopped,) = [n for n, (each, _) in enumerate(await state(store)) if each == "stopped"]
    path = "/subscription/retry"
    question = await client.get(path, params=ONE | {"partition": stopped})
    assert "has failed at the message at position 5, after 2 attempts" in text_of(question)
    assert "cannot handle it" in text_of(question)
    await send_form(client, question)
    assert (await state(store))[stopped][0] == "waiting"
    nothing = await client.get(path, params=ONE | {"partition": 1 - stopped})
    assert nothing.status_code == 409
    assert "Nothing waits for another attempt" in text_of(nothing)


async def test_resume_names_the_stopped_partitions(client: httpx.AsyncClient, store: Raw) -> None:
    await fail(store)
    question = await client.get("/subscription/resume", params=ONE)
    assert "the message that has failed is tried again at once" in text_of(question)
    await send_form(client, question)
    assert "waiting" in {each for each, _ in await state(store)}


async def test_rewind_counts_what_will_be_handled_again(
    client: httpx.AsyncClient, store: Raw
) -> None:
    for number in range(20):
        await write(store, f"account-{number}", "Good")
        await write(store, f"other-{number}", "Good")
    await store.run_once(await subscribe(store, "balances", category="account"))
    start = await client.get("/subscription/rewind", params=ONE)
    assert "It has handled everything up to position 40" in text_of(start)
    preview = await client.get("/subscription/rewind", params=ONE | {"to": 10})
    text = text_of(preview)
    assert "15 messages between there and position 40 will be handled again" in text
    assert "Parked messages stay parked" in text
    done = await send_form(client, preview)
    assert {each for _, each in await state(store)} == {10}
    assert "It continues from the other position" in text_of(
        await client.get(done.headers["location"])
    )
    forward = await client.get("/subscription/rewind", params=ONE | {"to": 30})
    assert "10 messages after position 10 will be left out" in text_of(forward)


async def test_rewind_to_a_time_goes_where_the_preview_says(
    client: httpx.AsyncClient, store: Raw, conninfo: str, store_name: str
) -> None:
    for number in range(6):
        await write(store, f"account-{number}", "Good")
    await store.run_once(await subscribe(store, "balances"))
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as conn:
        await conn.execute(
            f"UPDATE {store_name}.messages"
            " SET added_at = timestamptz '2026-03-01 12:00Z' + global_position * interval '1 h'"
        )
    asked = ONE | {"time": "2026-03-01T17:00", "zone": "60"}
    preview = await client.get("/subscription/rewind", params=asked)
    assert "are those after position 3" in text_of(preview)
    assert "3 messages between there and position 6" in text_of(preview)
    await send_form(client, preview)
    assert await state(store) == [("waiting", 3)]


async def test_rewind_beyond_the_safe_position_is_refused(
    client: httpx.AsyncClient, store: Raw
) -> None:
    await fail(store)
    page = await client.get("/subscription/rewind", params=ONE | {"to": 99})
    assert page.status_code == 400
    assert "at most the safe one, 5, not 99" in text_of(page)
    refused = await post(client, "/subscription/rewind", to=99, **ONE)
    assert refused.status_code == 400
    assert "must be between 0 and the safe position" in text_of(refused)


async def test_count_of_a_preview_ends(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        await write(store, f"account-{number}", "Good")
    await store.run_once(await subscribe(store, "balances"))
    monkeypatch.setattr("pgstore.ui.counting._FIRST", 10)
    monkeypatch.setattr("pgstore.ui.counting.MOST", 10)
    text = text_of(await client.get("/subscription/rewind", params=ONE | {"to": 0}))
    assert "at least 10 messages (counted up to position 10)" in text


async def parked(store: Raw) -> list[int]:
    return [each.global_position for each in await store.subscription("balances").parked()]


async def park(store: Raw) -> Any:
    subscription = await fail(store, on_failure="park", max_attempts=1)
    await write(store, "account-2", "Bad")
    await store.run_once(subscription, raise_errors=False)
    assert await parked(store) == [5, 6]
    return subscription


async def test_parked_messages_are_listed_with_their_errors(
    client: httpx.AsyncClient, store: Raw
) -> None:
    await park(store)
    text = text_of(await client.get("/subscription/parked", params=ONE))
    assert "Messages that were put aside after 1 attempt: 2." in text
    assert text.count("ValueError: cannot handle it") == 2
    assert "Parked 2" in text_of(await client.get("/subscription", params=ONE))


async def test_parked_message_is_replayed_or_dropped(client: httpx.AsyncClient, store: Raw) -> None:
    await park(store)
    path = "/subscription/parked/replay"
    question = await client.get(path, params=ONE | {"position": 5})
    assert "The message at position 5, version 2 of its stream, will be handed out again" in (
        text_of(question)
    )
    done = await send_form(client, question)
    page = await client.get(done.headers["location"])
    assert "It is handed out again" in text_of(page)
    assert "to be replayed" in text_of(page)
    question = await client.get("/subscription/parked/drop", params=ONE | {"position": 6})
    assert "it will never be handled" in text_of(question)
    await send_form(client, question)
    assert await parked(store) == [5]
    gone = await client.get("/subscription/parked/drop", params=ONE | {"position": 6})
    assert gone.status_code == 404
    again = await post(client, "/subscription/parked/drop", position=6, **ONE)
    assert again.status_code == 404


async def test_all_parked_messages_are_replayed(client: httpx.AsyncClient, store: Raw) -> None:
    await park(store)
    question = await client.get("/subscription/parked/replay", params=ONE)
    assert "2 messages that it has parked will be handed out again" in text_of(question)
    done = await send_form(client, question)
    page = await client.get(done.headers["location"])
    assert "2 messages will be handed out again" in text_of(page)


async def test_dropping_all_leaves_what_was_parked_since_the_question(
    client: httpx.AsyncClient, store: Raw
) -> None:
    subscription = await park(store)
    question = await client.get("/subscription/parked/drop", params=ONE)
    assert "Drop 2 messages?" in text_of(question)
    await write(store, "account-3", "Bad")
    await store.run_once(subscription, raise_errors=False)
    done = await send_form(client, question)
    assert await parked(store) == [7]
    assert "2 messages were forgotten" in text_of(await client.get(done.headers["location"]))


async def test_parked_messages_come_in_pages(client: httpx.AsyncClient, store: Raw) -> None:
    for number in range(60):
        await write(store, f"account-{number}", "Bad")
    subscription = await subscribe(store, "balances", on_failure="park", max_attempts=1)
    await store.run_once(subscription, raise_errors=False)
    first = await client.get("/subscription/parked", params=ONE)
    assert "60" in text_of(first)
    assert first.text.count('class="error-row"') == 50
    second = await client.get("/subscription/parked", params=ONE | {"after": 50})
    assert second.text.count('class="error-row"') == 10


async def test_horizon_names_the_session_that_holds_it(
    client: httpx.AsyncClient, store: Raw, conninfo: str, store_name: str
) -> None:
    await subscribe(store, "balances")
    await store.run_once(await subscribe(store, "balances"))
    with psycopg.connect(conninfo, application_name="left open") as conn:
        conn.execute(f"SELECT * FROM {store_name}.write_message('slow-1', 'Good', '{{}}')")
        await write(store, "account-1", "Good")
        text = text_of(await client.get("/subscriptions"))
        assert "1 position waits for a transaction" in text or "2 positions wait" in text
        assert f"holds it process {conn.info.backend_pid}" in text
        assert "left open" in text
        assert "idle in transaction" in text


async def figures(client: httpx.AsyncClient, path: str, rows: int, **query: Any) -> dict[str, Any]:
    """The samples, when there are so many."""
    async with asyncio.timeout(20):
        while True:
            found: dict[str, Any] = (await client.get(path, params=query)).json()
            if len(found["columns"].get("time", ())) >= rows:
                return found
            await asyncio.sleep(0.02)


async def test_samples_of_a_subscription_are_kept(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "INTERVAL", 0.05)
    subscription = await fail(store)
    found = await figures(client, "/subscription/figures", 2, **ONE)
    columns = found["columns"]
    assert columns["behind"][-1] == max(each.behind for each in await subscription.partitions())
    assert columns["seconds"][-1] > 0
    assert columns["rate"][-1] == 0
    last = columns["time"][-1]
    later = await client.get("/subscription/figures", params=ONE | {"after": int(last * 1000) + 1})
    assert all(each >= last for each in later.json()["columns"]["time"])


async def test_refusal_of_the_database_is_a_sentence(client: httpx.AsyncClient, store: Raw) -> None:
    await store.run_once(await subscribe(store, "balances"))
    gone = await post(client, "/subscription/pause", subscription="nobody")
    assert gone.status_code == 404
    assert "MS021" in gone.text
    assert "There is no such subscription" in text_of(gone)
    wrong = await post(client, "/subscription/retry", partition=7, **ONE)
    assert wrong.status_code == 400
    assert "must be one of 0 to" in text_of(wrong)
    none = await post(client, "/subscription/rewind", to="x", **ONE)
    assert none.status_code == 400
    assert "This is no number from 0 on" in text_of(none)


async def test_of_very_many_partitions_those_in_need_are_shown(
    client: httpx.AsyncClient, store: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore.ui.views.subscriptions._MOST", 2)
    await fail(store, partitions=16)
    page = await client.get("/subscription", params=ONE)
    text = text_of(page)
    assert "And 14 more partitions" in text
    assert page.text.count('class="with-error"') == 1
    assert "15 idle" in text


HOSTILE = (
    *("", " ", "\x00", "-1", "1" * 5000, "9223372036854775807", "9223372036854775808", "\u0661"),
    *(
        "9999-12-31T23:59:59",
        "0001-01-01T00:00+14:00",
        "2026-W01-1",
        "<script>",
        "\u202e",
        "\ud800",
    ),
)
FIELDS = ("subscription", "partition", "position", "to", "time", "zone", "after", "until", "count")


@pytest.mark.parametrize("path", sorted({each.path for each in VIEWS if "/sub" in each.path}))
async def test_no_value_makes_the_console_fail(
    client: httpx.AsyncClient, store: Raw, path: str
) -> None:
    await park(store)
    for name, value in itertools.product(FIELDS, HOSTILE):
        given = ONE | {name: value.encode(errors="replace").decode()}
        page = await client.get(path, params=given)
        assert page.status_code < 500, (name, value[:40], text_of(page))


@pytest.mark.parametrize("path", sorted(each.path for each in ACTIONS))
async def test_no_form_makes_the_console_fail(
    client: httpx.AsyncClient, store: Raw, path: str
) -> None:
    await park(store)
    for name, value in itertools.product(FIELDS, HOSTILE):
        given = ONE | {name: value.encode(errors="replace").decode()}
        page = await post(client, path, **given)
        assert page.status_code < 500, (name, value[:40], text_of(page))
