"""Subscriptions and the store in a browser: for everybody, and what the buttons do."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from pgstore import MessageStore, RawMessage
from tests.ui.browser.conftest import PHONE, WIDE, Open, Site
from tests.ui.browser.filling import fill

PATHS = {
    "subscriptions": "/subscriptions",
    "subscription": "/subscription?subscription=invoices",
    "pause": "/subscription/pause?subscription=invoices",
    "retry": "/subscription/retry?subscription=invoices&partition={partition}",
    "rewind": "/subscription/rewind?subscription=invoices&to=20",
    "parked": "/subscription/parked?subscription=mails",
    "drop": "/subscription/parked/drop?subscription=mails",
    "store": "/store",
    "contents": "/store/contents",
    "retention": "/store/retention",
    "audit": "/store/audit",
    "checks": "/store/checks",
}


def subscribe(store: MessageStore[RawMessage], name: str, bad: str = "", **options: Any) -> Any:
    """A subscription that has handled what there is, but for some messages."""
    subscription = store.subscription(name, retry_delay=0, **options)

    @subscription.handler
    def handle(message: RawMessage) -> None:
        if bad and bad in message.data.decode():
            raise ValueError(f"no address for {bad!r}")

    store.run_once(subscription, raise_errors=False)
    return subscription


def prepare(site: Site) -> int:
    """Fill a shop, with a subscription in each state; the number of a stopped partition."""
    fill(site.store)
    store = site.store
    invoices = subscribe(store, "invoices", "Ada", category="order", partitions=4)
    subscribe(store, "mails", "UPS", category="parcel", on_failure="park", max_attempts=2)
    subscribe(store, "search index", partitions=8)
    subscribe(store, "statistics", types=["PaymentReceived"]).pause()
    stopped = [each.partition for each in invoices.partitions() if each.state == "stopped"]
    return int(stopped[0])


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_operations_are_for_everybody(
    open_site: Open, size: tuple[int, int], scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore.ui.samples.INTERVAL", 0.2)
    site = open_site(size=size, scheme=scheme)
    partition = prepare(site)
    found = []
    for name, path in PATHS.items():
        site.open(path.format(partition=partition))
        if name in ("store", "subscription"):
            site.page.wait_for_selector(".uplot canvas")
        shape = "phone" if size == PHONE else "wide"
        site.picture(f"{name}-{shape}-{scheme}")
        found += [f"{name}: {each}" for each in site.violations()]
        assert site.overflow() <= 0, name
    assert found == []


def test_empty_pages_are_for_everybody(site: Site) -> None:
    for path in ("/subscriptions", "/store", "/store/contents", "/store/retention", "/store/audit"):
        site.open(path)
        assert site.violations() == []


def test_page_of_a_subscription_follows_its_workers(open_site: Open) -> None:
    """Nobody loads the page again: its tables and its charts are renewed."""
    site = open_site()
    partition = prepare(site)
    site.open("/subscription?subscription=invoices")
    retry = site.page.locator(f"#retry-{partition}")
    retry.focus()
    with site.page.expect_response("**/subscription?**"):
        pass
    site.page.wait_for_timeout(100)  # until it is settled
    assert site.page.evaluate("document.activeElement.id") == f"retry-{partition}"
    assert site.page.locator("#live .state-stopped").count() > 0
    site.store.subscription("invoices", category="order", partitions=4).resume()
    site.page.wait_for_selector("#live .state-waiting")
    assert site.page.locator("#live .state-stopped").count() == 0
    assert site.page.locator("#summary .state-waiting").count() == 1


def test_page_of_a_subscription_that_is_dropped_says_so(site: Site) -> None:
    prepare(site)
    site.open("/subscription?subscription=mails")
    site.store.subscription("mails", category="parcel").drop()
    site.page.wait_for_selector(".problem")
    assert "There is no such subscription" in site.page.locator(".problem").inner_text()


def test_page_that_is_held_is_not_renewed(site: Site) -> None:
    prepare(site)
    site.open("/subscription?subscription=invoices")
    site.page.get_by_role("link", name="Hold it").click()
    site.page.wait_for_url("**still=1")
    assert site.page.locator("[hx-get]").count() == 0
    site.page.get_by_role("link", name="Update it").click()
    site.page.wait_for_selector("[hx-get]")


def test_chart_tells_a_value_under_the_pointer(
    open_site: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgstore.ui.samples.INTERVAL", 0.1)
    site = open_site()
    prepare(site)
    site.open("/subscription?subscription=invoices")
    site.page.wait_for_selector(".uplot canvas")
    chart = site.page.locator("figure[data-figure=behind]")
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    site.page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 40)
    tip = chart.locator(".plot-tip")
    tip.wait_for(state="visible")
    assert " at " in tip.inner_text()
    site.page.emulate_media(color_scheme="dark")
    site.page.wait_for_selector(".uplot canvas")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_every_action_by_keyboard_with_and_without_scripts(open_site: Open, scripts: bool) -> None:
    site = open_site(scripts=scripts)
    partition = prepare(site)
    store, page = site.store, site.page

    def press(name: str) -> None:
        page.get_by_role("link", name=name, exact=True).first.press("Enter")
        page.wait_for_selector(".question")

    def answer(name: str, sentence: str) -> None:
        page.get_by_role("button", name=name).press("Enter")
        page.wait_for_selector(".notice")
        assert sentence in page.locator(".notice").inner_text()

    site.open("/subscription?subscription=invoices")
    press(f"Retry… partition {partition}")
    answer("Retry", "tried again")
    assert store.subscription("invoices").partitions()[partition].state == "waiting"
    press("Pause…")
    page.get_by_role("link", name="Cancel").press("Enter")
    page.wait_for_selector("#summary")
    press("Pause…")
    answer("Pause", "It is paused")
    assert store.subscription("invoices").partitions()[0].state == "paused"
    press("Resume…")
    answer("Resume", "It continues")
    press("Rewind…")
    page.get_by_label("After position").fill("20")
    page.get_by_label("After position").press("Enter")
    page.wait_for_selector("#preview")
    answer("Rewind to position 20", "other position")
    assert {each.checkpoint for each in store.subscription("invoices").partitions()} == {20}
    site.open("/subscription/parked?subscription=mails")
    parked = [each.global_position for each in store.subscription("mails").parked()]
    press(f"Replay… position {parked[0]}")
    answer("Replay", "handed out again")
    press(f"Drop… position {parked[1]}")
    answer("Drop", "forgotten")
    press("Replay all…")
    answer("Replay", "handed out again")
    press("Drop all…")
    answer("Drop", "forgotten")
    assert store.subscription("mails").parked() == []


def test_verification_shows_its_end_by_itself(site: Site) -> None:
    fill(site.store)
    site.open("/store/verify")
    site.page.get_by_role("button", name="Verify").click()
    site.page.wait_for_selector("#verification .state-ok", timeout=60_000)
    assert site.violations() == []


def test_hostile_names_and_errors_have_no_effect(site: Site) -> None:
    """What is stored is shown, never interpreted."""
    hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>{{ 7*7 }}\u202e"\'>'
    site.write(f"{hostile}-1", hostile[:100])
    subscription = site.store.subscription(hostile, on_failure="park", max_attempts=1)

    @subscription.handler
    def handle(message: RawMessage) -> None:
        raise ValueError(hostile)

    site.store.run_once(subscription, raise_errors=False)
    site.open("/subscriptions")
    site.page.get_by_role("link", name="<img").first.click()
    site.page.wait_for_selector("#summary")
    for link in ("Pause…", "Rewind…"):
        site.page.get_by_role("link", name=link).click()
        site.page.wait_for_selector(".question")
        site.page.go_back()
    site.page.locator("#summary a").click()
    site.page.wait_for_selector("pre.error")
    assert "<script>" in site.page.locator("pre.error").inner_text()
    site.page.get_by_role("link", name="Drop all…").click()
    site.page.get_by_role("button", name="Drop").click()
    site.page.wait_for_selector(".notice")
    assert subscription.parked() == []
    for path in ("/store/contents", "/store/checks"):
        site.open(path)
    assert site.page.locator("main img, main script").count() == 0


def test_console_that_only_reads_has_no_action_and_refuses_each(open_site: Open) -> None:
    site = open_site(read_only=True)
    prepare(site)
    for path in ("/subscription?subscription=invoices", "/subscription/parked?subscription=mails"):
        site.open(path)
        names = [*site.page.get_by_role("link").all_inner_texts(), *buttons(site)]
        assert [name for name in names if name.endswith("…")] == []
    for action in ("pause", "rewind", "drop"):
        site.open(PATHS[action])
        assert "This console is read-only" in site.page.locator("main").inner_text()
        assert buttons(site) == []


def test_role_sees_and_does_what_it_may(open_site: Open, conninfo: str) -> None:
    role = f"ui_{uuid4().hex[:12]}"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} LOGIN".encode())
        try:
            site = open_site(role=role)
            prepare(site)
            schema = site.store.name

            def granted(kind: str) -> None:
                conn.execute(f"SELECT {schema}.grant_access('{role}', '{kind}')".encode())

            def shows(path: str, text: str) -> None:
                """Rights are asked for every few seconds."""
                for _ in range(60):
                    site.open(path)
                    if text in site.page.locator("main").inner_text():
                        return
                    site.page.wait_for_timeout(500)
                raise AssertionError(site.page.locator("main").inner_text())

            shows(PATHS["subscription"], "The role may not do this")
            granted("monitor")
            shows(PATHS["subscription"], "Partitions")
            assert site.page.get_by_role("link", name="Pause…").count() == 0
            shows(PATHS["pause"], "The role may not see this")
            assert buttons(site) == []
            granted("admin")
            shows(PATHS["subscription"], "Pause…")
            shows(PATHS["pause"], "Pause invoices?")
        finally:
            for kind in ("monitor", "admin"):
                conn.execute(f"SELECT {schema}.revoke_access('{role}', '{kind}')".encode())
            conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_action_that_the_store_refuses_says_why(open_site: Open) -> None:
    site = open_site()
    prepare(site)
    site.open(PATHS["pause"])
    site.store.subscription("invoices", category="order", partitions=4).drop()
    site.page.get_by_role("button", name="Pause").press("Enter")
    site.page.get_by_role("heading", name="There is no such subscription").wait_for()
    assert "MS021" in site.page.locator("main").inner_text()


def buttons(site: Site) -> list[str]:
    return list(site.page.locator("main").get_by_role("button").all_inner_texts())
