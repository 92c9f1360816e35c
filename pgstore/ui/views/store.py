"""The store: its sizes and rates, what is in it, retention and the audit, its checks."""

import asyncio
from collections import Counter

from starlette.responses import Response

from pgstore._core.parameters import array
from pgstore.ui import operations
from pgstore.ui.pages import Page, View
from pgstore.ui.problems import Refusal
from pgstore.ui.sampling import keep_sampling
from pgstore.ui.storing import (
    Entry,
    Policy,
    Share,
    Statistics,
    StoredStream,
    Table,
    findings_of,
)
from pgstore.ui.subscribed import horizon_of
from pgstore.ui.views.subscriptions import columns

# Entries of the audit on a page.
_ENTRIES = 50


def _render(page: Page, template: str, **values: object) -> Response:
    """Answer with a template of a page that is a tab of the store's."""
    tabs = [(title, view.path) for title, view in _TABS.items() if page.may(*view.needs)]
    return page.render(template, tabs=tabs, **values)


async def _statistics(page: Page) -> Statistics | None:
    """The estimates and sizes, for a role that may see them."""
    if not page.may("store_statistics"):
        return None
    (found,) = await page.console.read(Statistics, operations.STATISTICS)
    return found


async def figures(page: Page) -> Response:
    """Positions, sizes, rates and growth."""
    keep_sampling(page.console)
    kept = page.console.samples
    return _render(
        page,
        "store.html",
        statistics=await _statistics(page),
        tables=await page.console.read(Table, operations.TABLES, page.console.name),
        horizon=await horizon_of(page),
        rate_now=kept.store.last("rate"),
        growth=kept.store.growth("bytes"),
        series=kept.store.minutes(),
    )


async def samples(page: Page) -> Response:
    """The samples of the store after a time, for its charts."""
    keep_sampling(page.console)
    return columns(page, page.console.samples.store)


async def contents(page: Page) -> Response:
    """Categories, types and the biggest streams, by messages at places that are evenly apart."""
    shares: dict[str, list[Share]] = {"category": [], "type": [], "stream": []}
    for kind, name, found in await page.console.rows(operations.SAMPLE):
        shares[kind].append(Share(name, found))
    streams: list[StoredStream] = []
    if page.may("stream_statistics"):
        names = array([each.name for each in shares["stream"]])
        streams = await page.console.read(StoredStream, operations.STREAMS_OF, names)
    statistics = await _statistics(page)
    return _render(
        page,
        "contents.html",
        looked=sum(each.found for each in shares["type"]),
        categories=shares["category"],
        types=shares["type"],
        streams=streams,
        estimate=statistics.messages_estimate if statistics else None,
        places=operations.PLACES_OF_SAMPLE,
        at_each=operations.AT_EACH,
    )


async def retention(page: Page) -> Response:
    """The policies of retention."""
    policies = await page.console.read(Policy, operations.RETENTION)
    return _render(page, "retention.html", policies=policies)


async def audit(page: Page) -> Response:
    """The changes of stored messages and of rights, the latest first."""
    before = page.number("before")
    entries = await page.console.read(Entry, operations.AUDIT, _ENTRIES + 1, before)
    return _render(
        page,
        "audit.html",
        entries=entries[:_ENTRIES],
        next=entries[_ENTRIES - 1].id if len(entries) > _ENTRIES else None,
        first=before is None,
    )


async def checks(page: Page) -> Response:
    """The findings of doctor, and the last verification."""
    found = await findings_of(page)
    return _render(
        page,
        "checks.html",
        findings=found,
        counts=Counter(each.status for each in found),
        verification=page.console.verification,
    )


async def progress(page: Page) -> Response:
    """The verification alone, for the page that shows its progress."""
    return page.render("verification.html", verification=page.console.verification)


async def ask_verify(page: Page) -> Response:
    last = page.console.verification.report
    facts = [
        "PostgreSQL reads all messages of the store several times: a large one takes minutes, and"
        " the disk is busy meanwhile.",
        "No session has to wait for it. It makes an empty store to compare with, which is rolled"
        " back.",
        "It runs on the console's server, one at a time, and can be stopped.",
    ]
    if last is not None and last.state == "done":
        facts.append(f"The last one took {last.seconds:.0f} seconds.")
    return page.render(
        "confirm.html",
        section="Store",
        title="Verify the store?",
        facts=facts,
        button="Verify",
        fields={},
        back=page.url("/store/checks"),
        error=None,
        is_dangerous=False,
    )


async def verify(page: Page) -> Response:
    console = page.console
    if console.verification.is_running:
        raise Refusal(
            409,
            "A verification runs already",
            "The console runs one at a time.",
            "Wait for it, or stop it, on the page of checks.",
        )
    connection, role = await console.like_connections(), page.rights.role
    console.keep_running("verify", lambda: console.verification.run(connection, role, console.name))
    await asyncio.sleep(0)  # the task begins: the next page shows that it runs
    return page.redirect("/store/checks")


async def stop(page: Page) -> Response:
    page.console.verification.stop()
    return page.redirect("/store/checks")


_FIGURES, _VERIFY = ("horizon", "last_position"), ("verify_store",)
_TABS = {
    "Figures": View("/store", figures, needs=_FIGURES, title="Store"),
    "Contents": View("/store/contents", contents, needs=("last_position", "all_messages")),
    "Retention": View("/store/retention", retention, needs=("list_retention",)),
    "Audit": View("/store/audit", audit, needs=("list_audit",)),
    "Checks": View("/store/checks", checks, needs=("applied_migrations",)),
}
VIEWS = [
    *_TABS.values(),
    View("/store/figures", samples, needs=_FIGURES),
    View("/store/verification", progress, needs=_VERIFY),
    View("/store/verify", ask_verify, needs=_VERIFY, asks=True),
    View("/store/verify", verify, needs=_VERIFY, action=True),
    View("/store/verify/stop", stop, needs=_VERIFY, action=True),
]
