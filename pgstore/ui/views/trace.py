"""The messages of a correlation id, each below the message that caused it."""

from uuid import UUID

from starlette.responses import Response

from pgstore._core.parameters import array
from pgstore.ui import queries
from pgstore.ui.causes import steps_of
from pgstore.ui.pages import Page, View
from pgstore.ui.problems import Refusal
from pgstore.ui.stored import Stored

_PAGE = 500


async def trace(page: Page) -> Response:
    correlation, marked = page.text("correlation"), None
    if message_id := page.message_id("message"):
        (message,) = await _messages(page, [message_id]) or (None,)
        if message is None:
            raise Refusal.of_absence("There is no such message", "No message has this id.")
        # A first message may have no correlation id: those that follow have its own id.
        correlation, marked = message.correlation_id or str(message.message_id), message
    if not correlation:
        return page.render("trace.html", correlation="", steps=[], next=None, marked=None)
    if len(correlation.encode(errors="replace")) > 255:
        raise Refusal.of_argument("A correlation id has 255 bytes at most.")
    after = page.number("after", 0)
    found = await page.console.read(Stored, queries.CORRELATED, correlation, after, _PAGE + 1)
    shown = found[:_PAGE]
    known = {each.message_id for each in shown}
    causes = {each.causation_id for each in shown if each.causation_id} - known
    if marked is not None and marked.message_id not in known:
        causes.add(marked.message_id)
    shown += await _messages(page, sorted(causes))
    return page.render(
        "trace.html",
        correlation=correlation,
        steps=steps_of(shown),
        next=shown[_PAGE - 1].position if len(found) > _PAGE else None,
        marked=marked and marked.message_id,
    )


async def _messages(page: Page, ids: list[UUID]) -> list[Stored]:
    if not ids:
        return []
    return await page.console.read(Stored, queries.BY_IDS, array(map(str, ids)))


_NEEDS = ("read_correlated", "get_messages")

VIEWS = [View("/trace", trace, needs=_NEEDS, title="Trace")]
