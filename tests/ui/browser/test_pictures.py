"""The screenshots of docs/guides/ui.md: PGSTORE_TEST_UI=pictures makes them anew."""

import re
from array import array
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime

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
    samples = Samples()
    monkeypatch.setattr("pgstore.ui.console.Samples", lambda: samples)
    monkeypatch.setattr("pgstore.ui.samples.INTERVAL", 0.2)
    monkeypatch.setattr(Series, "add", Series._add)
    path, size, scheme = SHOWN[name]
    site = open_site(size=size, scheme=scheme, name=bookshop, deciders=STOCKS)
    if name == "live":
        _come_alive(site, path)
    else:
        fill(site.store)
        site.open(path)
    if name in ("subscription", "store"):
        _be_sampled(site, samples, conninfo)
        monkeypatch.undo()  # the next sample comes after the picture
        site.open(path)
        site.page.wait_for_selector(".uplot canvas")
        site.page.wait_for_timeout(1200)
    if name == "message":
        site.page.locator("#state").wait_for()
    site.picture(name, shown=True)


def _come_alive(site: Site, path: str) -> None:
    site.open(path)
    site.page.locator("#feed-state", has_text="Live").wait_for()
    fill(site.store, orders=8)
    site.page.locator("#feed tbody tr").nth(20).wait_for()
    site.page.wait_for_timeout(1200)  # until the figures have been shown


def _be_sampled(site: Site, samples: Samples, conninfo: str) -> None:
    """Let a subscription work for some seconds, which the page takes for most of an hour."""
    for number in range(24):
        fill(site.store, orders=1 + 2 * (number % 4))
        if number % 3 == 0 or number > 18:
            bad = "Grace" if number > 18 else ""
            subscribe(site.store, "invoices", bad, category="order", partitions=4)
        site.page.wait_for_timeout(250)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"ANALYZE {STORE}.messages, {STORE}.streams")
    _stretch(samples, 55 * 60)


def _stretch(samples: Samples, seconds: float) -> None:
    """Let the samples be those of so long a time, and say so."""
    now = samples.now()
    scale = seconds / (now - samples.started.timestamp())
    samples.started = datetime.fromtimestamp(now - seconds, UTC)
    recent = [(now - (now - then) * scale, places) for then, places in list(samples._recent)]
    samples._recent = deque(recent, samples._recent.maxlen)
    for series in (samples.store, *samples.subscriptions.values()):
        times, rates = series._columns["time"], series._columns["rate"]
        end = len(times)  # the task may add another one meanwhile
        times[:end] = array("d", (now - (now - each) * scale for each in times[:end]))
        rates[:end] = array("d", (each / scale for each in rates[:end]))


def test_guide_shows_every_picture() -> None:
    page = (ROOT / "docs/guides/ui.md").read_text()
    shown = set(re.findall(r"\(ui/([\w-]+)\.png\)", page))
    assert shown == SHOWN.keys()
    assert shown == {path.stem for path in PICTURES.glob("*.png")}
