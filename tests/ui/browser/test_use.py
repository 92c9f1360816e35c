"""A person uses the console: keys, links, copying, the token, the viewer's zone."""

import pytest

from tests.ui.browser.conftest import Open, Site
from tests.ui.browser.filling import STOCKS, fill
from tests.ui.browser.test_operations import subscribe


def test_keys_lead_to_the_next_and_the_previous(site: Site) -> None:
    for amount in (1, 2, 3):
        site.write("account-1", "Deposited", f'{{"amount": {amount}}}')
    site.open("/message?stream=account-1&version=2")
    site.page.keyboard.press("j")
    site.page.wait_for_url("**/message?stream=account-1&version=3")
    site.page.keyboard.press("k")
    site.page.wait_for_url("**/message?stream=account-1&version=2")
    site.page.keyboard.press("/")
    site.page.keyboard.type("account-1")
    site.page.keyboard.press("Enter")
    site.page.wait_for_url("**/stream?stream=account-1")


def test_search_is_in_the_address_and_continues_on_demand(site: Site) -> None:
    fill(site.store, orders=40)
    site.open("/")
    site.page.get_by_label("Category").fill("order")
    site.page.get_by_role("button", name="Search").click()
    site.page.wait_for_url("**/?category=order")
    rows = site.page.locator("table.messages .main-link")
    assert rows.count() == 50
    site.page.get_by_role("link", name="Continue").click()
    site.page.get_by_text("Searched to the beginning").wait_for()
    assert rows.count() == 80
    positions = [int(each.replace(",", "")) for each in rows.all_text_contents()]
    assert positions == sorted(positions, reverse=True)
    assert len(set(positions)) == 80


def test_times_are_those_of_the_viewer(site: Site) -> None:
    site.write("account-1", "Opened")
    site.open("/message?position=1")
    shown = site.page.locator("dl.facts time")
    utc = shown.get_attribute("datetime")
    here = site.page.evaluate(
        "(text) => new Date(text).toLocaleTimeString('en-GB', {timeZone: 'Europe/Vienna'})", utc
    )
    assert here in shown.text_content()


def test_payload_is_folded_unfolded_and_copied(site: Site) -> None:
    site.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    site.write("account-1", "Opened", '{"owner": {"name": "Ada"}, "n": 1.50}')
    site.open("/message?position=1")
    name = site.page.get_by_text("“Ada”")
    site.page.get_by_role("button", name="Fold", exact=True).click()
    assert not name.is_visible()
    site.page.get_by_role("button", name="Unfold").click()
    assert name.is_visible()
    site.page.get_by_role("button", name="Copy", exact=True).click()
    site.page.get_by_text("Copied").first.wait_for()
    copied = site.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == '{"n": 1.50, "owner": {"name": "Ada"}}'


def test_state_comes_with_the_message(open_site: Open) -> None:
    site = open_site(deciders=STOCKS)
    fill(site.store, orders=20)
    site.open("/message?stream=stock-kindred&version=2")
    site.page.locator("#state", has_text="times_counted: 2").wait_for()
    assert site.violations() == []


def test_row_unfolds_into_its_payload(site: Site) -> None:
    site.write("account-1", "Opened", '{"owner": {"name": "Ada"}}')
    for path in ("/", "/stream?stream=account-1"):
        site.open(path)
        site.page.locator("details.fold > summary").click()
        site.page.get_by_text("“Ada”").wait_for()
        assert site.violations() == []


def test_console_works_below_a_path(open_site: Open) -> None:
    site = open_site(at="/tools/console")
    site.write("account-1", "Opened", '{"owner": "Ada"}')
    site.open("/")
    site.page.locator("details.fold > summary").click()
    site.page.get_by_text("“Ada”").wait_for()
    site.page.get_by_role("link", name="account-1").click()
    site.page.get_by_role("link", name="Live").last.click()
    site.page.locator("#feed-state", has_text="Live").wait_for()
    site.write("account-1", "Deposited")
    site.page.locator("#feed tbody tr").wait_for()
    assert "/tools/console/live" in site.page.url


def test_whole_console_can_be_used_without_a_mouse(site: Site) -> None:
    site.write("account-1", "Opened")
    site.open("/")
    site.page.keyboard.press("Tab")
    assert site.page.evaluate("() => document.activeElement.textContent") == "To the content"
    site.page.keyboard.press("Enter")
    assert site.page.evaluate("() => document.activeElement.id") == "content"
    for _ in range(30):
        site.page.keyboard.press("Tab")
        if site.page.evaluate("() => document.activeElement.className") == "main-link":
            break
    site.page.keyboard.press("Enter")
    site.page.wait_for_url("**/message?id=*")


@pytest.mark.parametrize("path", ["/store/checks", "/subscriptions", "/"])
def test_current_section_is_in_sight_on_a_phone(open_site: Open, path: str) -> None:
    site = open_site(size=(360, 740))
    site.open(path)
    for link in site.page.locator("nav [aria-current='page']").all():
        box = link.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    assert site.page.evaluate("() => scrollY") == 0
    assert site.overflow() <= 0


def test_token_is_asked_for_once(open_site: Open) -> None:
    token = "a token of the test, which is long"
    site = open_site(token=token)
    site.write("account-1", "Opened")
    site.open("/streams?prefix=a")
    assert "/login" in site.page.url
    assert site.violations() == []
    site.page.get_by_label("Token").fill("another")
    site.page.get_by_role("button", name="Log in").click()
    site.page.get_by_text("This is not the token.").wait_for()
    site.page.get_by_label("Token").fill(token)
    site.page.get_by_role("button", name="Log in").click()
    site.page.wait_for_url("**/streams?prefix=a")
    assert site.page.get_by_role("link", name="account-1").is_visible()
    assert site.page.evaluate("() => document.cookie") == ""


def test_link_of_another_site_asks_for_no_token_and_leaves_forms_as_they_are(
    open_site: Open,
) -> None:
    token = "a token of the test, which is long"
    site = open_site(token=token)
    site.write("account-1", "Opened")
    subscribe(site.store, "balances")
    site.open("/subscription/pause?subscription=balances")
    site.page.get_by_label("Token").fill(token)
    site.page.get_by_role("button", name="Log in").click()
    site.page.get_by_role("button", name="Pause").wait_for()
    other = site.page.context.new_page()
    other.goto(f'data:text/html,<a href="{site.address}/streams?prefix=a">look</a>')
    other.get_by_text("look").click()
    other.get_by_role("link", name="account-1").wait_for()
    site.page.get_by_role("button", name="Pause").click()
    site.page.get_by_text("It is paused.").wait_for()


def test_without_scripts_everything_can_be_read(open_site: Open, chromium: object) -> None:
    site = open_site()
    site.write("account-1", "Opened", '{"owner": "Ada"}')
    context = chromium.new_context(java_script_enabled=False)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(site.address + "/")
    page.get_by_role("link", name="1", exact=True).click()
    assert page.get_by_text("“Ada”").is_visible()
    assert "UTC" in page.locator("dl.facts time").text_content()
    context.close()
