"""The feed in a browser: it shows, counts, pauses, and stays usable under load."""

import threading
import time

from pgstore import RawMessage
from tests.ui.browser.conftest import Site

BATCH = [RawMessage("Deposited", b'{"amount": 10}')] * 100


def is_live(site: Site) -> None:
    site.page.locator("#feed-state", has_text="Live").wait_for()


def count(site: Site) -> int:
    text: str = site.page.locator("#feed-count").text_content()
    return int(text.replace(",", ""))


def wait_for_count(site: Site, messages: int) -> None:
    site.page.wait_for_function(
        "(n) => Number(document.getElementById('feed-count').textContent.replaceAll(',', '')) >= n",
        arg=messages,
    )


def test_messages_are_shown_as_they_come(site: Site) -> None:
    site.open("/live?category=account")
    is_live(site)
    assert site.page.locator("#feed-none").is_visible()
    site.write("order-1", "Placed")
    site.write("account-1", "Opened", '{"owner": "Ada"}')
    row = site.page.locator("#feed tbody tr")
    row.wait_for()
    assert row.count() == 1
    assert "account-1" in row.text_content()
    assert '{"owner": "Ada"}' in row.text_content()
    wait_for_count(site, 1)
    assert site.violations() == []


def test_feed_pauses_and_continues_without_a_gap(site: Site) -> None:
    site.open("/live")
    is_live(site)
    site.write("account-1", "Opened")
    site.page.locator("#feed tbody tr").wait_for()
    site.page.get_by_role("button", name="Pause").click()
    site.page.locator("#feed-state", has_text="Paused").wait_for()
    for _ in range(3):
        site.write("account-1", "Deposited")
    assert site.page.locator("#feed tbody tr").count() == 1
    site.page.keyboard.press("Escape")
    site.page.locator("h1").click()
    site.page.keyboard.press("p")
    site.page.locator("#feed tbody tr").nth(3).wait_for()
    positions = site.page.locator("#feed .main-link").all_text_contents()
    assert positions == ["4", "3", "2", "1"]


def test_two_thousand_messages_a_second_do_not_freeze_the_page(site: Site) -> None:
    site.open("/live")
    is_live(site)
    site.page.evaluate(
        """() => {
          window.longest = 0;
          let before = performance.now();
          const look = () => {
            const now = performance.now();
            window.longest = Math.max(window.longest, now - before);
            before = now;
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    written = 0
    ended = threading.Event()

    def write() -> None:
        nonlocal written
        began = time.monotonic()
        while not ended.is_set():
            site.store.write_many(f"account-{written % 7}", BATCH)
            written += len(BATCH)
            ended.wait(max(0.0, began + written / 2000 - time.monotonic()))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for_count(site, 6000)
        # The page answers while they come.
        site.page.get_by_role("button", name="Clear").click()
        site.picture("live-load")
        assert site.page.locator("#feed tbody tr").count() <= 300
        assert site.page.evaluate("() => window.longest") < 2000
    finally:
        ended.set()
        writer.join()
    wait_for_count(site, written)
    assert count(site) == written
    assert site.page.locator("#feed tbody tr").count() <= 300
