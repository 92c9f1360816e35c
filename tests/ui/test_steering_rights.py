"""Buttons that the role may not use are not there, and the database refuses what they would do."""

from collections.abc import AsyncIterator

import pytest

from tests.ui.conftest import Opened, Raw, write
from tests.ui.steering import fail, post, send_form, text_of
from tests.ui.test_rights import AsRole

ONE = {"subscription": "balances"}
ACTIONS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/subscription/pause", {}),
    ("/subscription/resume", {}),
    ("/subscription/retry", {"partition": "0"}),
    ("/subscription/rewind", {"to": "0"}),
    ("/subscription/parked/replay", {}),
    ("/subscription/parked/drop", {"position": "5"}),
)
BUTTONS = (
    "Pause…",
    "Resume all…",
    "Rewind…",
    "Retry…",
    "Replay…",
    "Drop…",
    "Replay all…",
    "Drop all…",
)


@pytest.fixture
async def as_role(conninfo: str, store: Raw) -> AsyncIterator[AsRole]:
    async with AsRole(conninfo, store) as made:
        yield made


async def prepare(store: Raw) -> None:
    """A subscription that has parked a message, and one that is stopped."""
    await fail(store, on_failure="park", max_attempts=1)
    await fail(store, "stopped")


async def said(client: object, *paths: str) -> str:
    """What pages of the subscriptions say."""
    texts = []
    for path in paths:
        page = await client.get(path)  # type: ignore[attr-defined]
        assert page.status_code == 200, path
        texts.append(text_of(page))
    return " ".join(texts)


PAGES = (
    "/subscription?subscription=balances",
    "/subscription?subscription=stopped",
    "/subscription/parked?subscription=balances",
)


async def test_owner_has_all_buttons(opened: Opened, store: Raw) -> None:
    await prepare(store)
    text = await said(opened(), *PAGES)
    assert [each for each in BUTTONS if each not in text] == []


async def test_console_that_is_read_only_has_no_button_and_refuses(
    opened: Opened, store: Raw
) -> None:
    await prepare(store)
    client = opened(read_only=True)
    text = await said(client, *PAGES)
    assert [each for each in BUTTONS if each in text] == []
    before = await store.subscription("balances").partitions()
    for path, fields in ACTIONS:
        for answer in (
            await client.get(path, params=ONE | fields),
            await post(client, path, **ONE | fields),
        ):
            assert answer.status_code == 403, path
            assert "This console is read-only" in text_of(answer)
    assert await store.subscription("balances").partitions() == before
    assert len(await store.subscription("balances").parked()) == 1


async def test_role_that_monitors_looks_and_has_no_button(as_role: AsRole, store: Raw) -> None:
    await prepare(store)
    client = await as_role.client("monitor")
    text = await said(client, "/subscriptions", "/store", "/store/retention", *PAGES)
    assert [each for each in BUTTONS if each in text] == []
    assert "ValueError: cannot handle it" in text
    for path, fields in ACTIONS:
        for answer in (
            await client.get(path, params=ONE | fields),
            await post(client, path, **ONE | fields),
        ):
            assert answer.status_code == 403, path
            assert "may not use" in text_of(answer)
    for path in ("/store/contents", "/store/audit", "/store/verify"):
        assert (await client.get(path)).status_code == 403
    page = await client.get("/store")
    assert ">Contents</a>" not in page.text
    assert ">Checks</a>" in page.text
    assert "Verify…" not in await said(client, "/store/checks")


async def test_role_that_consumes_steers(as_role: AsRole, store: Raw) -> None:
    await prepare(store)
    client = await as_role.client("consume")
    text = await said(client, "/subscriptions", "/store", *PAGES)
    assert [each for each in BUTTONS if each not in text] == []
    assert "the right “monitor” shows them" in text
    preview = await client.get("/subscription/rewind", params=ONE | {"to": 0})
    assert "The role may not read messages: they are not counted" in text_of(preview)
    assert (await send_form(client, preview)).status_code == 303
    assert {each.checkpoint for each in await store.subscription("balances").partitions()} == {0}
    assert (await client.get("/store/retention")).status_code == 403


async def test_role_that_reads_sees_no_subscription(as_role: AsRole, store: Raw) -> None:
    await prepare(store)
    client = await as_role.client("read")
    page = await client.get("/subscriptions")
    assert page.status_code == 403
    assert ">Subscriptions</a>" not in page.text
    text = await said(client, "/store", "/store/contents", "/store/checks")
    assert "may not look" in text
    assert "grant monitor" in text


async def test_right_that_was_taken_is_missed_by_the_database(as_role: AsRole, store: Raw) -> None:
    """The console remembers rights for some seconds; the database does not."""
    await prepare(store)
    client = await as_role.client("consume")
    question = await client.get("/subscription/pause", params=ONE)
    as_role.admin(
        "REVOKE EXECUTE ON FUNCTION {}.pause_subscription FROM {}", store.name, f"ui_{store.name}"
    )
    refused = await send_form(client, question)
    assert refused.status_code == 403
    assert "42501" in refused.text
    assert "The role may not do this" in text_of(refused)


async def test_right_of_everybody_is_not_enough_to_steer(as_role: AsRole, store: Raw) -> None:
    await prepare(store)
    as_role.admin("GRANT EXECUTE ON FUNCTION {}.drop_parked TO PUBLIC", store.name)
    client = await as_role.client("monitor")
    as_role.admin("GRANT EXECUTE ON FUNCTION {}.drop_parked TO PUBLIC", store.name)
    refused = await post(client, "/subscription/parked/drop", position=5, **ONE)
    assert refused.status_code == 403
    assert "42501" in refused.text
    assert len(await store.subscription("balances").parked()) == 1


async def test_form_without_the_token_does_nothing(opened: Opened, store: Raw) -> None:
    await prepare(store)
    client = opened()
    await client.get("/subscriptions")
    for path, fields in ACTIONS:
        answer = await client.post(path, data=ONE | fields, headers={"Origin": "http://localhost"})
        assert answer.status_code == 403, path
        assert "This form is out of date" in text_of(answer)
    assert len(await store.subscription("balances").parked()) == 1


async def test_role_that_monitors_learns_how_late_from_samples(as_role: AsRole, store: Raw) -> None:
    await prepare(store)
    client = await as_role.client("monitor")
    text = await said(client, "/subscription?subscription=stopped")
    assert "Late by not known" in text
    await write(store, "account-1", "Good")
