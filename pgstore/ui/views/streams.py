"""Streams by name, and a stream as a time line."""

from datetime import datetime

import msgspec
from starlette.responses import Response

from pgstore.ui import queries
from pgstore.ui.pages import Page, View
from pgstore.ui.problems import Refusal
from pgstore.ui.states import states_of
from pgstore.ui.stored import Brief

_PAGE = 50


class Stream(msgspec.Struct, frozen=True):
    """A row of the view stream_statistics."""

    stream: str
    category: str
    messages: int
    first_version: int | None
    version: int | None
    first_position: int | None
    last_position: int | None
    first_added_at: datetime | None
    last_added_at: datetime | None


async def streams(page: Page) -> Response:
    """The streams whose names begin with a text, or those that were written to last."""
    prefix, after = page.exact("prefix"), page.exact("after")
    if prefix or after or page.text("order") == "name":
        found = await rows_of(page, prefix, after, _PAGE + 1)
        more = found[-2].stream if len(found) > _PAGE else None
        return page.render(
            "streams.html", streams=found[:_PAGE], prefix=prefix, more=more, recent=False
        )
    found = await page.console.read(Stream, queries.RECENT_STREAMS)
    return page.render("streams.html", streams=found, prefix="", more=None, recent=True)


async def rows_of(page: Page, prefix: str, after: str, most: int) -> list[Stream]:
    """Streams whose names begin with a text, in the order of their names, after one."""
    start = max(prefix, after, key=lambda name: name.encode(errors="replace"))
    return await page.console.read(Stream, queries.STREAMS, start, after, prefix, prefix, most)


async def stream(page: Page) -> Response:
    """The messages of a stream, the newest first or the oldest."""
    name, forward = page.exact("stream"), page.text("order") == "oldest"
    version = page.number("from")
    found = await page.console.read(Stream, queries.STREAM, name)
    if not found:
        raise Refusal.of_absence(
            "There is no such stream",
            "No message was ever written to a stream of this name.",
            "Look for it by the beginning of its name.",
        )
    messages = await page.console.read(
        Brief, queries.STREAM_PAGE, name, version, _PAGE + 1, str(not forward).lower()
    )
    shown = messages[:_PAGE]
    return page.render(
        "stream.html",
        stream=found[0],
        messages=shown,
        forward=forward,
        has_state=states_of(page.console.deciders, found[0].category) is not None,
        next=messages[_PAGE].version if len(messages) > _PAGE else None,
        previous=_before(shown, found[0], forward),
    )


def _before(shown: list[Brief], stream: Stream, forward: bool) -> int | None:
    """The version at which the page before this one begins; None for the first page."""
    if not shown or stream.first_version is None or stream.version is None:
        return None
    first = shown[0].version
    if forward:
        return max(first - _PAGE, stream.first_version) if first > stream.first_version else None
    return min(first + _PAGE, stream.version) if first < stream.version else None


VIEWS = [
    View("/streams", streams, needs=("stream_statistics", "all_messages"), title="Streams"),
    View("/stream", stream, needs=("stream_statistics", "read_stream")),
]
