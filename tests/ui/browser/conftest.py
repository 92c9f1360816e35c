"""Debian's Chromium on a console; PGSTORE_TEST_UI asks for it, see `make test-ui`.

They run in a process of their own: Playwright has an event loop in the main thread until it ends,
and pytest-asyncio cannot run another one there.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

import pgstore
from pgstore import MessageStore, RawMessage
from tests.skips import skip
from tests.stores import Stores
from tests.ui.serving import served

ROOT = Path(__file__).parents[3]
AXE = ROOT / ".cache" / "ui" / "axe.min.js"

# Screenshots that the guide and the README show are made anew with PGSTORE_TEST_UI=pictures.
PICTURES = ROOT / "docs" / "guides" / "ui"

WIDE, PHONE = (1280, 800), (390, 844)


class Site:
    """A store with a console, and a page of a browser that has opened it."""

    def __init__(self, store: MessageStore[RawMessage], address: str, page: Any) -> None:
        self.store = store
        self.address = address
        self.page = page
        self.faults: list[str] = []
        self.effects: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._hear)
        page.on("dialog", self._dismiss)
        page.on("request", self._watch)

    def _hear(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def _dismiss(self, dialog: Any) -> None:
        self.effects.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:")):
            self.effects.append(f"request: {request.url}")

    def open(self, path: str) -> None:
        """Open a page and wait until its scripts have run."""
        self.page.goto(self.address + path)
        self.page.wait_for_load_state("load")

    def write(self, stream: str, type: str, data: str = "{}", **options: Any) -> Any:
        """Write a message of a type with a payload of JSON."""
        return self.store.write(stream, RawMessage(type, data.encode()), **options)

    def picture(self, name: str, *, shown: bool = False) -> None:
        """Make a screenshot, into .cache/ui, or for the docs if it is shown there."""
        wanted = shown and os.environ.get("PGSTORE_TEST_UI") == "pictures"
        folder = PICTURES if wanted else ROOT / ".cache" / "ui" / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(folder / f"{name}.png"))

    def violations(self) -> list[str]:
        """Everything that keeps people from using this page, as axe finds it."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(
            "() => axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)"
        )
        return [
            f"{each['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for each in found
            for node in each["nodes"]
        ]

    def overflow(self) -> int:
        """So many pixels the page is wider than the window."""
        width: int = self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width


Open = Callable[..., Site]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser."""
    program = shutil.which("chromium")
    if not os.environ.get("PGSTORE_TEST_UI") or program is None or not AXE.exists():
        skip("browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip("browser")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_site(chromium: Any, conninfo: str, stores: Stores) -> Iterator[Open]:
    """Serve a console, and open a page on it; at the end nothing has failed in the browser."""
    sites: list[Site] = []
    with ExitStack() as stack:

        def open_site(
            *,
            size: tuple[int, int] = WIDE,
            scheme: str = "light",
            name: str | None = None,
            scripts: bool = True,
            role: str | None = None,
            **options: Any,
        ) -> Site:
            name = name or stack.enter_context(stores.taken())
            store = stack.enter_context(
                pgstore.MessageStore(conninfo, store=name, messages=RawMessage)
            )
            connects = conninfo if role is None else make_conninfo(conninfo, user=role)
            address = stack.enter_context(served(connects, name, **options))
            context = chromium.new_context(
                viewport={"width": size[0], "height": size[1]},
                color_scheme=scheme,
                timezone_id="Europe/Vienna",
                locale="en-GB",
                reduced_motion="reduce",
                java_script_enabled=scripts,
            )
            context.set_default_timeout(20_000)
            stack.callback(context.close)
            sites.append(Site(store, address, context.new_page()))
            return sites[-1]

        yield open_site
        for site in sites:
            assert site.faults == []
            assert site.effects == []


@pytest.fixture
def site(open_site: Open) -> Site:
    """A console that nobody needs to log in to."""
    return open_site()
