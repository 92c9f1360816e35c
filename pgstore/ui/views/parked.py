"""Messages that a subscription has put aside: the list, and what to do with them."""

from datetime import UTC, datetime

from starlette.responses import Response

from pgstore._core import statements
from pgstore.ui import operations
from pgstore.ui.formats import counted
from pgstore.ui.pages import Page, View
from pgstore.ui.problems import Refusal
from pgstore.ui.subscribed import Parked, subscription_of
from pgstore.ui.views.steering import ask, form_number

_PAGE = 50

_BACK = "/subscription/parked"

# Sentences after an action, by the word in the address: of one message, and of several.
_DONE = {
    "replayed": ("It is handed out again.", "{} will be handed out again."),
    "dropped": ("It was forgotten.", "{} were forgotten."),
}


async def parked(page: Page) -> Response:
    """The messages that a subscription has parked, with the error of the last attempt."""
    name, after = page.exact("subscription"), page.number("after", 0)
    found = await subscription_of(page, name)
    messages = await page.console.read(
        Parked, operations.PARKED, name, after, None, None, _PAGE + 1
    )
    shown = messages[:_PAGE]
    done, count = _DONE.get(page.text("done")), page.number("count")
    said = ""
    if done is not None and count is not None:
        said = done[0] if count == 1 else done[1].format(counted(count, "message"))
    return page.render(
        "parked.html",
        subscription=found,
        messages=shown,
        total=messages[0].total if messages else 0,
        first=after == 0,
        next=shown[-1].global_position if len(messages) > _PAGE else None,
        done=said,
    )


async def _one(page: Page, name: str, position: int) -> Parked:
    found = await page.console.read(Parked, operations.PARKED, name, 0, position, position, 1)
    if not found:
        raise _absent()
    return found[0]


def _absent() -> Refusal:
    return Refusal.of_absence(
        "There is no such parked message",
        "It may have been handled, or forgotten, meanwhile.",
        "Load the list of parked messages again.",
    )


def _name_of(message: Parked) -> str:
    place = f"The message at position {message.global_position:,}"
    if message.stream is None:
        return f"{place}, which was deleted since,"
    return f"{place}, version {message.version:,} of its stream,"


async def _until(page: Page, name: str) -> tuple[int, datetime | None]:
    """How many are parked, and when the last of them was."""
    ((count, until),) = await page.console.rows(operations.PARKED_UNTIL, name)
    if not count:
        raise _absent()
    return count, until


async def ask_replay(page: Page) -> Response:
    name, position = page.exact("subscription"), page.number("position")
    found = await subscription_of(page, name)
    error = None
    if position is None:
        count, _ = await _until(page, name)
        title = f"Replay {counted(count, 'message')}?"
        facts = [
            f"{'The message' if count == 1 else counted(count, 'message')} that it has parked will"
            " be handed out again, out of order.",
            "Messages that were deleted since are left out.",
        ]
    else:
        message = await _one(page, name, position)
        title, error = "Replay a message?", message.error
        facts = [f"{_name_of(message)} will be handed out again, out of order."]
        if message.stream is None:
            raise Refusal.of_absence(
                "This message was deleted", "It cannot be handed out again.", "Drop it."
            )
    facts.append("One that fails again stays parked.")
    if found.paused:
        facts.append("The subscription is paused: that happens when it is resumed.")
    return ask(page, title, facts, "Replay", back=_BACK, error=error, position=position)


async def replay(page: Page) -> Response:
    name, position = page.form.get("subscription", ""), _position(page)
    count = await page.console.act(statements.REPLAY_PARKED, name, position)
    if position is not None and not count:
        raise _absent()
    return page.redirect("/subscription/parked", subscription=name, done="replayed", count=count)


async def ask_drop(page: Page) -> Response:
    name, position = page.exact("subscription"), page.number("position")
    await subscription_of(page, name)
    error, until = None, None
    if position is None:
        count, until = await _until(page, name)
        title = f"Drop {counted(count, 'message')}?"
        facts = [
            "The subscription forgets all messages that it has parked until now, with their"
            " errors: it will never handle them.",
            "One that is parked from now on stays.",
        ]
    else:
        message = await _one(page, name, position)
        title, error = "Drop a message?", message.error
        facts = [f"{_name_of(message)} is forgotten as dealt with: it will never be handled."]
    facts.append("Messages stay in their streams.")
    return ask(
        page,
        title,
        facts,
        "Drop",
        back=_BACK,
        error=error,
        is_dangerous=True,
        position=position,
        until=until and until.isoformat(),
    )


async def drop(page: Page) -> Response:
    name, position = page.form.get("subscription", ""), _position(page)
    if position is not None:
        count = await page.console.act(statements.DROP_PARKED, name, position)
        if not count:
            raise _absent()
    else:
        count = await page.console.act(operations.DROP_UNTIL, name, name, _until_of(page))
    return page.redirect("/subscription/parked", subscription=name, done="dropped", count=count)


def _until_of(page: Page) -> str:
    """The time in the form up to which messages were parked."""
    try:
        moment = datetime.fromisoformat(page.form.get("until", ""))
        return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise Refusal.of_argument("The form does not say until when.") from None


def _position(page: Page) -> int | None:
    return form_number(page, "position") if page.form.get("position") else None


_NEEDS = ("list_subscriptions", "list_parked")
VIEWS = [
    View("/subscription/parked", parked, needs=_NEEDS),
    View("/subscription/parked/replay", ask_replay, needs=(*_NEEDS, "replay_parked"), asks=True),
    View("/subscription/parked/replay", replay, needs=("replay_parked",), action=True),
    View("/subscription/parked/drop", ask_drop, needs=(*_NEEDS, "drop_parked"), asks=True),
    View("/subscription/parked/drop", drop, needs=("drop_parked", "list_parked"), action=True),
]
