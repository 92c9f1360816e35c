"""Subscriptions: how far each is, its partitions, and charts of the last hour."""

from contextlib import suppress

import msgspec
from starlette.responses import Response

from pgstore.errors import StandbyError
from pgstore.ui import operations, samples
from pgstore.ui.counting import Count, count_to_come
from pgstore.ui.pages import Page, View
from pgstore.ui.samples import Place, Series, latest
from pgstore.ui.sampling import keep_sampling
from pgstore.ui.subscribed import (
    STATES,
    Overview,
    Partition,
    horizon_of,
    left,
    line,
    partitions_of,
    subscription_of,
    tally,
    worst,
)

# A list of more subscriptions, or partitions, is cut off.
_MOST = 200

# Sentences after an action, by the word in the address.
_DONE = {
    "paused": "It is paused. Workers get no new batches.",
    "resumed": "It continues.",
    "retried": "The message is tried again.",
    "rewound": "It continues from the other position.",
}


async def subscriptions(page: Page) -> Response:
    """All subscriptions, each in a line."""
    keep_sampling(page.console)
    found = await page.console.read(
        Overview,
        operations.overview(reads=page.may("all_messages"), monitors=page.may("count_parked")),
        _MOST + 1,
    )
    kept = page.console.samples
    rows = []
    for each in found[:_MOST]:
        series = kept.subscriptions.get(each.name)
        place = Place(each.name, 0, each.position, each.behind, each.seconds)
        rows.append(
            {
                "subscription": each,
                "seconds": kept.seconds(place),
                "rate": series.last("rate") if series else None,
                "line": line(series.column("behind")) if series else "",
                "tally": tally(each.states),
            }
        )
    return page.render(
        "subscriptions.html",
        rows=rows,
        more=len(found) > _MOST,
        horizon=await horizon_of(page),
    )


async def subscription(page: Page) -> Response:
    """A subscription with its partitions."""
    keep_sampling(page.console)
    name = page.exact("subscription")
    found = await subscription_of(page, name)
    partitions = await partitions_of(page, name)
    kept = page.console.samples
    rates = {each.partition: kept.rate(name, each.partition) for each in partitions}
    series = kept.subscriptions.get(name)
    coming: dict[int, Count] = {}
    if page.may("read_matching"):
        with suppress(StandbyError):  # the horizon's card says so
            coming = await count_to_come(page.console, found, partitions)
    parked = None
    if page.may("count_parked"):
        parked = await page.console.value(operations.PARKED_COUNT, name)
    shares = [rate for rate in rates.values() if rate is not None]
    return page.render(
        "subscription.html",
        subscription=found,
        partitions=shown(partitions),
        more=max(len(partitions) - _MOST, 0),
        rates=rates,
        left={each.partition: left(each, rates[each.partition]) for each in partitions},
        state_name=worst([each.state for each in partitions]),
        tally=tally([each.state for each in partitions]),
        position=min(each.checkpoint for each in partitions),
        behind=max(each.behind for each in partitions),
        seconds=latest(each.seconds for each in partitions),
        mean=sum(shares) / len(shares) if shares else None,
        coming=coming,
        failed=any(each.can_retry for each in partitions),
        parked=parked,
        horizon=await horizon_of(page),
        series=series.minutes() if series else [],
        is_left_out=series is None and kept.left_out,
        done=_DONE.get(page.text("done"), ""),
    )


def shown(partitions: list[Partition]) -> list[Partition]:
    """The partitions of a page: of very many those that need attention most."""
    if len(partitions) <= _MOST:
        return partitions
    order = {state: place for place, state in enumerate(STATES)}
    return sorted(partitions, key=lambda each: (order[each.state], -each.behind))[:_MOST]


async def figures(page: Page) -> Response:
    """The samples of a subscription after a time, for its charts."""
    keep_sampling(page.console)
    series = page.console.samples.subscriptions.get(page.exact("subscription"))
    return columns(page, series)


def columns(page: Page, series: Series | None) -> Response:
    """Samples as JSON: a list for each figure."""
    after = (page.number("after", 0) or 0) / 1000
    content = {} if series is None else series.columns(after)
    body = {"since": page.console.samples.started, "every": samples.INTERVAL, "columns": content}
    return Response(msgspec.json.encode(body), media_type="application/json")


_NEEDS = ("list_subscriptions", "list_partitions")
VIEWS = [
    View("/subscriptions", subscriptions, needs=_NEEDS, title="Subscriptions"),
    View("/subscription", subscription, needs=_NEEDS),
    View("/subscription/figures", figures, needs=_NEEDS),
]
