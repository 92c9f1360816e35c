"""Subscriptions and the store in a browser: for everybody, and what the buttons do."""

import time
from typing import Any

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
