"""Actions on subscriptions, each after a page that names what will happen."""

from starlette.responses import Response

from pgstore._core import statements
from pgstore._core.text import printable
from pgstore.ui import operations, queries
from pgstore.ui.counting import Count, count_matching
from pgstore.ui.formats import counted, cut
from pgstore.ui.pages import Page, View, number_of
from pgstore.ui.problems import Refusal
from pgstore.ui.subscribed import Partition, absent, partitions_of, subscription_of, tally

_NEEDS = ("list_subscriptions", "list_partitions")


def ask(
    page: Page,
    title: str,
    facts: list[str],
    button: str,
    *,
    back: str = "/subscription",
    error: str | None = None,
    is_dangerous: bool = False,
    **fields: object,
) -> Response:
    """Ask before an action on a subscription: the form, with these fields, goes to this address."""
    name = page.exact("subscription")
    fields = {"subscription": name} | fields
    return page.render(
        "confirm.html",
        section="Subscriptions",
        title=title,
        facts=facts,
        button=button,
        fields={key: each for key, each in fields.items() if each is not None},
        back=page.url(back, subscription=name),
        error=error,
        is_dangerous=is_dangerous,
    )


async def ask_pause(page: Page) -> Response:
    name = page.exact("subscription")
    found = await subscription_of(page, name)
    counts = dict(tally([each.state for each in await partitions_of(page, name)]))
    working = counts.get("working", 0)
    facts = [
        f"Workers get no new batches of its {counted(found.partitions, 'partition')}.",
        f"Batches that have begun are finished: {counted(working, 'partition')} at work now."
        if working
        else "No worker is at work on it now.",
        "It stays paused, and its messages wait, until it is resumed.",
    ]
    if found.paused:
        facts = ["It is paused already: nothing changes."]
    return ask(page, f"Pause {_shown(name)}?", facts, "Pause")


async def pause(page: Page) -> Response:
    return await _act(page, "paused", statements.PAUSE_SUBSCRIPTION)


async def ask_resume(page: Page) -> Response:
    name = page.exact("subscription")
    found = await subscription_of(page, name)
    failed = [each for each in await partitions_of(page, name) if each.can_retry]
    facts = ["The pause ends: workers get batches again."] if found.paused else []
    if failed:
        numbers = ", ".join(str(each.partition) for each in failed[:20])
        more = f" and {len(failed) - 20} more" if len(failed) > 20 else ""
        facts.append(
            f"Of {counted(len(failed), 'partition')} ({numbers}{more}) the message that has failed"
            " is tried again at once, as if for the first time."
        )
    if not facts:
        facts = ["It is neither paused nor stopped: nothing changes."]
    return ask(page, f"Resume {_shown(name)}?", facts, "Resume")


async def resume(page: Page) -> Response:
    return await _act(page, "resumed", statements.RESUME_SUBSCRIPTION, None)


async def ask_retry(page: Page) -> Response:
    name, number = page.exact("subscription"), page.number("partition")
    found = await subscription_of(page, name)
    failed = _failed(await partitions_of(page, name), number)
    end = "the message is parked" if found.on_failure == "park" else "the partition stops"
    facts = [
        f"Partition {failed.partition} has failed at the message at position"
        f" {failed.failed_position:,}, after {counted(failed.attempts, 'attempt')}.",
        "A worker tries it again at once, as if for the first time.",
        f"If it fails {found.max_attempts} times, {end} again."
        if found.max_attempts > 1
        else f"If it fails, {end}.",
    ]
    if found.paused:
        facts[1] = "The subscription is paused: a worker tries it again when that ends."
    title = f"Retry partition {failed.partition} of {_shown(name)}?"
    return ask(page, title, facts, "Retry", error=failed.error, partition=failed.partition)


async def retry(page: Page) -> Response:
    return await _act(
        page, "retried", statements.RESUME_SUBSCRIPTION, form_number(page, "partition")
    )


def _failed(partitions: list[Partition], number: int | None) -> Partition:
    for each in partitions:
        if each.partition == number and each.can_retry:
            return each
    raise Refusal(
        409,
        "Nothing waits for another attempt",
        "The partition holds no message that has failed. It may have been handled meanwhile.",
        "Load the page of the subscription again.",
    )


async def ask_rewind(page: Page) -> Response:
    """Ask where to, or show what a rewind to there does."""
    name = page.exact("subscription")
    found = await subscription_of(page, name)
    ((lowest, highest, working),) = await page.console.rows(operations.EXTENT, name)
    if lowest is None:  # it was dropped a moment ago
        raise absent()
    safe = await page.console.value(queries.HORIZON)
    to = page.number("to")
    if (moment := page.moment("time")) is not None:
        to = int(await page.console.value(operations.PLACE_OF_TIME, moment.isoformat()))
    if to is not None and to > safe:
        raise Refusal.of_argument(f"The position is at most the safe one, {safe:,}, not {to:,}.")
    again = skipped = coming = None
    if to is not None and page.may("read_matching"):
        if to < highest:
            again = await count_matching(page.console, found, to, highest)
        if to > lowest:
            skipped = await count_matching(page.console, found, lowest, to)
        coming = await count_matching(page.console, found, to, safe)
    return page.render(
        "rewind.html",
        subscription=found,
        to=to,
        moment=moment,
        lowest=lowest,
        highest=highest,
        working=working,
        safe=safe,
        again=again,
        skipped=skipped,
        coming=coming,
        said=_said,
    )


def _said(count: Count) -> str:
    """A count in words, and how far it has looked."""
    if count.is_all:
        return counted(count.messages, "message")
    return (
        f"at least {counted(count.messages, 'message')} (counted up to position {count.reached:,})"
    )


async def rewind(page: Page) -> Response:
    return await _act(
        page, "rewound", statements.REWIND_SUBSCRIPTION, form_number(page, "to"), None
    )


async def _act(page: Page, done: str, statement: str, *parameters: int | None) -> Response:
    name = page.form.get("subscription", "")
    await page.console.act(statement, name, *parameters)
    return page.redirect("/subscription", subscription=name, done=done)


def form_number(page: Page, name: str) -> int:
    """A number of the form."""
    given = page.form.get(name, "")
    if (found := number_of(given)) is None:
        raise Refusal.of_argument(f"This is no number from 0 on: {printable(given[:100])}")
    return found


def _shown(name: str) -> str:
    return printable(cut(name, 60))


_PAUSE = ("pause_subscription",)
_RESUME = ("resume_subscription",)
_REWIND = ("rewind_subscription",)
VIEWS = [
    View("/subscription/pause", ask_pause, needs=_NEEDS + _PAUSE, asks=True),
    View("/subscription/pause", pause, needs=_PAUSE, action=True),
    View("/subscription/resume", ask_resume, needs=_NEEDS + _RESUME, asks=True),
    View("/subscription/resume", resume, needs=_RESUME, action=True),
    View("/subscription/retry", ask_retry, needs=_NEEDS + _RESUME, asks=True),
    View("/subscription/retry", retry, needs=_RESUME, action=True),
    View("/subscription/rewind", ask_rewind, needs=(*_NEEDS, *_REWIND, "horizon"), asks=True),
    View("/subscription/rewind", rewind, needs=_REWIND, action=True),
]
