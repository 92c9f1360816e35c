"""Search for messages, and a message with all that it has."""

from uuid import UUID

import msgspec
from starlette.responses import Response

from pgstore._core.text import printable
from pgstore.ui import payloads, queries
from pgstore.ui.pages import Page, View, number_of
from pgstore.ui.problems import Refusal
from pgstore.ui.searching import Query, position_before, search
from pgstore.ui.states import states_of
from pgstore.ui.stored import Stored
from pgstore.ui.views.streams import Stream, rows_of

# A type's last message is looked for among so many before a message.
_LOOK_BACK = 1000

# Streams beside the messages of a search.
_STREAMS = 8


async def messages(page: Page) -> Response:
    """The newest messages that match what is asked for."""
    query = _query(page)
    since, until = page.moment("since"), page.moment("until")
    correlation = page.text("correlation")
    if correlation and query == Query() and not (since or until):
        return page.redirect("/trace", correlation=correlation)
    if correlation:
        metadata = (query.metadata or {}) | {"correlation_id": correlation}
        query = msgspec.structs.replace(query, metadata=metadata)
    before = page.number("before")
    after = 0 if since is None else await position_before(page.console, since)
    if until is not None:
        bound = await position_before(page.console, until) + 1
        before = bound if before is None else min(before, bound)
    found = await search(page.console, query, before=before, after=after)
    values = {
        "query": query,
        "found": found,
        "is_filtered": bool(query != Query() or since or until),
        "continued": page.number("before") is not None,
    }
    if page.is_fragment:
        return page.render("messages_rows.html", **values)
    streams: list[Stream] = []
    if query.stream and not page.number("before"):
        streams = await rows_of(page, query.stream, "", _STREAMS)
    return page.render("messages.html", **values, streams=streams)


def _query(page: Page) -> Query:
    tag = page.text("tag")
    return Query(
        stream=page.exact("stream"),
        category=page.exact("category"),
        types=tuple(page.several("type")),
        metadata=_metadata(page.text("metadata")),
        tags=(tag,) if tag else (),
    )


def _metadata(text: str) -> dict[str, object] | None:
    """The filter that `key=text` or `key:=JSON` stands for."""
    if not text:
        return None
    key, equals, value = text.partition("=")
    if not equals or not key.strip(": "):
        raise Refusal.of_argument(
            "Metadata is looked for by key=text, or by key:=JSON for a number, true or an object."
        )
    if not key.endswith(":"):
        return {key.strip(): value.strip()}
    try:
        return {key[:-1].strip(): msgspec.json.decode(value.encode())}
    except (msgspec.DecodeError, RecursionError):
        raise Refusal.of_argument(f"After {printable(key)}= comes JSON.") from None


async def message(page: Page) -> Response:
    """A message: its payload, its metadata, and the differences from the last of its type."""
    found = await _message(page)
    (stream,) = await page.console.read(Stream, queries.STREAM, found.stream)
    given = (found.stream, found.type, found.version, max(found.version - _LOOK_BACK, 0))
    earlier = await page.console.read(Stored, queries.PREVIOUS_OF_TYPE, *given)
    changes, more = payloads.changes(earlier[0].data, found.data) if earlier else ([], False)
    return page.render(
        "message.html",
        message=found,
        stream=stream,
        data=payloads.tree(found.data),
        metadata=payloads.tree(found.metadata) if found.metadata else None,
        earlier=earlier[0] if earlier else None,
        changes=changes,
        more_changes=more,
        has_state=states_of(page.console.deciders, stream.category) is not None,
    )


async def _message(page: Page) -> Stored:
    """The message that the address names by its id, its position, or its version in a stream."""
    version, position = page.number("version"), page.number("position")
    if message_id := page.message_id("id"):
        found = await page.console.read(Stored, queries.BY_ID, str(message_id))
    elif position is not None:
        found = await page.console.read(Stored, queries.BY_POSITION, position)
    elif version is not None:
        name = page.exact("stream")
        found = await page.console.read(Stored, queries.BY_VERSION, name, version, version)
    else:
        raise Refusal.of_argument("The address names no message.")
    if not found:
        raise Refusal.of_absence(
            "There is no such message",
            "None was stored here, its writer rolled back, or it was deleted.",
            "The audit of the store says what was deleted.",
        )
    return found[0]


async def payload(page: Page) -> Response:
    """The payload of a message, for a row that is unfolded."""
    found = await _message(page)
    if not page.is_fragment:
        return page.redirect("/message", id=found.message_id)
    return page.render("payload_part.html", message=found, data=payloads.tree(found.data))


async def raw(page: Page) -> Response:
    """The payload or the metadata of a message, as it is stored."""
    found = await _message(page)
    text = found.metadata or "null" if page.text("of") == "metadata" else found.data
    return Response(text, media_type="application/json")


async def state(page: Page) -> Response:
    """The state of a stream at a version, and the places that its last message has changed."""
    name, version = page.exact("stream"), page.number("version")
    found = await page.console.read(Stream, queries.STREAM, name)
    states = states_of(page.console.deciders, found[0].category) if found else None
    if states is None or version is None:
        raise Refusal.of_absence(
            "There is no state to show",
            "The console was given no program that makes states of this category.",
            "Start it with --app MODULE:OBJECT.",
        )
    after = await states.at(name, version)
    before = await states.at(name, version - 1) if version > 1 else after
    changes, more = payloads.changes(before, after)
    template = "state_part.html" if page.is_fragment else "state.html"
    return page.render(
        template,
        stream=found[0],
        version=version,
        state=payloads.tree(after),
        changes=changes,
        more_changes=more,
    )


async def go(page: Page) -> Response:
    """Lead to the message or the streams that a text names."""
    given = page.exact("q").strip()
    if not given:
        return page.redirect("/")
    if number_of(given) is not None:
        return page.redirect("/message", position=given)
    try:
        return page.redirect("/message", id=UUID(given))
    except ValueError:
        pass
    if await page.console.read(Stream, queries.STREAM, given):
        return page.redirect("/stream", stream=given)
    return page.redirect("/streams", prefix=given)


_READ = ("all_messages", "stream_statistics", "read_matching", "read_stream", "get_message")

VIEWS = [
    View("/", messages, needs=_READ, title="Messages"),
    View("/message", message, needs=_READ),
    View("/message/payload", payload, needs=_READ),
    View("/message/raw", raw, needs=_READ),
    View("/state", state, needs=(*_READ, "load_stream")),
    View("/go", go, needs=_READ),
]
