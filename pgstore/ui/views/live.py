"""Messages as they come: everything, a category, a stream, or some types."""

from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from pgstore._core import statements as s
from pgstore.ui.feeds import MOST, Feed
from pgstore.ui.pages import Page, View, number_of
from pgstore.ui.problems import Refusal
from pgstore.ui.searching import like

# A browser that comes back after a longer time begins so many positions before the end.
_LONGEST = 20_000


async def live(page: Page) -> Response:
    filters = {name: page.exact(name) for name in ("category", "stream", "type")}
    return page.render("live.html", filters=filters)


async def events(page: Page) -> Response:
    console, start = page.console, await _start(page)
    if len(console.feeds) >= MOST:
        raise Refusal(
            503,
            "Too many browsers follow this store",
            f"{MOST} of them do at this moment.",
            "Close some pages, and try again.",
        )
    stream = page.exact("stream")
    feed = Feed(
        console.store.follow(
            after_position=start,
            category=page.exact("category") or None,
            stream_pattern=like(stream) if stream else None,
            types=page.several("type") or None,
        )
    )

    async def content() -> AsyncIterator[bytes]:
        console.feeds.add(feed)
        try:
            async for event in feed.events(page.request.is_disconnected):
                yield event
        finally:
            console.feeds.discard(feed)

    # A proxy that gathers what it sends on would hold events back.
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(content(), media_type="text/event-stream", headers=headers)


async def _start(page: Page) -> int:
    """The position to follow after: the one that the browser has seen, or the last one."""
    safe = int(await page.console.value(s.SAFE_POSITION))
    seen = number_of(page.request.headers.get("last-event-id", "") or page.text("after"))
    # Beyond the end: a position of another history.
    return safe if seen is None or seen > safe else max(seen, safe - _LONGEST)


_NEEDS = ("read_page", "read_all", "safe_position", "fall_asleep", "wake_up", "wake_channel")

VIEWS = [
    View("/live", live, needs=_NEEDS, title="Live"),
    View("/live/events", events, needs=_NEEDS),
]
