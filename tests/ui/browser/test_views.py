"""Each view in a browser: light and dark, wide and on a phone, and for everybody."""

import pytest

from tests.ui.browser.conftest import PHONE, WIDE, Open, Site
from tests.ui.browser.filling import STOCKS, fill

PATHS = {
    "messages": "/",
    "search": "/?stream=order-&type=OrderPlaced&metadata=user%3Dshop",
    "nothing": "/?type=Nothing",
    "streams": "/streams",
    "stream": "/stream?stream=order-0007",
    "message": "/message?stream=order-0007&version=2",
    "changed": "/message?stream=stock-kindred&version=2",
    "state": "/state?stream=stock-kindred&version=2",
    "trace": "/trace?correlation=request-0007",
    "trace-none": "/trace",
    "live": "/live",
    "missing": "/stream?stream=nowhere",
}


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views_are_for_everybody(open_site: Open, size: tuple[int, int], scheme: str) -> None:
    site = open_site(size=size, scheme=scheme, deciders=STOCKS)
    fill(site.store)
    found = []
    for name, path in PATHS.items():
        site.open(path)
        shape = "phone" if size == PHONE else "wide"
        site.picture(f"{name}-{shape}-{scheme}")
        found += [f"{name}: {each}" for each in site.violations()]
        assert site.overflow() <= 0, name
    assert found == []


def test_empty_store_is_for_everybody(site: Site) -> None:
    for path in ("/", "/streams"):
        site.open(path)
        assert site.violations() == []
    site.picture("empty")
