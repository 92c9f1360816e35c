"""The screenshots of docs/guides/ui.md: PGSTORE_TEST_UI=pictures makes them anew."""

import re
import time
from collections.abc import Iterator

import psycopg
import pytest

from pgstore.ui.samples import Samples, Series
from tests.ui.browser.conftest import PHONE, PICTURES, ROOT, WIDE, Open, Site
from tests.ui.browser.filling import STOCKS, fill
from tests.ui.browser.test_operations import subscribe

STORE = "bookshop"

# Of each picture the address, the window and the colours.
SHOWN = {
    "messages": ("/", WIDE, "light"),
    "message": ("/message?stream=stock-kindred&version=2", WIDE, "light"),
    "trace": ("/trace?correlation=request-0009", WIDE, "dark"),
    "live": ("/live", WIDE, "light"),
    "phone": ("/", PHONE, "dark"),
    "subscription": ("/subscription?subscription=invoices", WIDE, "light"),
    "store": ("/store", WIDE, "light"),
}


@pytest.fixture
def bookshop(conninfo: str) -> Iterator[str]:
    """A store of a name that fits the pictures, dropped afterwards."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"DROP SCHEMA IF EXISTS {STORE} CASCADE")
        yield STORE
        conn.execute(f"DROP SCHEMA IF EXISTS {STORE} CASCADE")


@pytest.mark.parametrize("name", SHOWN)
def test_picture_of_the_guide_is_made(
    open_site: Open, bookshop: str, conninfo: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, scale = time.monotonic(), 330
    monkeypatch.setattr("pgstore.ui.samples.INTERVAL", 0.2)
    monkeypatch.setattr(
        Samples, "now", lambda _: time.time() + (time.monotonic() - began) * scale - 10 * scale
    )
    monkeypatch.setattr(Series, "add", Series._add)
    path, size, scheme = SHOWN[name]
    site = open_site(size=size, scheme=scheme, name=bookshop, deciders=STOCKS)
    if name == "live":
        _come_alive(site, path)
    else:
        fill(site.store)
        site.open(path)
    if name in ("subscription", "store"):
        _be_sampled(site, path, conninfo)
    if name == "message":
        site.page.locator("#state").wait_for()
    site.picture(name, shown=True)


def _come_alive(site: Site, path: str) -> None:
    site.open(path)
    site.page.locator("#feed-state", has_text="Live").wait_for()
    fill(site.store, orders=8)
    site.page.locator("#feed tbody tr").nth(20).wait_for()
    site.page.wait_for_timeout(1200)  # until the figures have been shown


def _be_sampled(site: Site, path: str, conninfo: str) -> None:
    """Let a subscription work for some seconds, which the charts take for most of an hour."""
    for number in range(24):
        fill(site.store, orders=1 + 2 * (number % 4))
        if number % 3 == 0 or number > 18:
            bad = "Grace" if number > 18 else ""
            subscribe(site.store, "invoices", bad, category="order", partitions=4)
        site.page.wait_for_timeout(250)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"ANALYZE {STORE}.messages, {STORE}.streams")
    site.open(path)
    site.page.wait_for_selector(".uplot canvas")
    site.page.wait_for_timeout(1200)


def test_guide_shows_every_picture() -> None:
    page = (ROOT / "docs/guides/ui.md").read_text()
    shown = set(re.findall(r"\(ui/([\w-]+)\.png\)", page))
    assert shown == SHOWN.keys()
    assert shown == {path.stem for path in PICTURES.glob("*.png")}
