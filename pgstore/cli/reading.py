"""Reading messages."""

import zlib
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from pgstore._core import statements as s
from pgstore.cli._app import argument, command, flag, option
from pgstore.cli._call import Call, Session
from pgstore.cli._completion import categories, streams, types
from pgstore.cli._errors import USAGE, CommandError
from pgstore.cli._layout import Column, Layout, Row
from pgstore.cli._values import moment

PANEL = "Messages"

_PAGE = 1000

_COLOURS = ("green", "cyan", "yellow", "magenta", "blue", "red")

Category = Annotated[
    list[str] | None,
    option("NAME", "Only streams of this category; may be repeated.", complete=categories),
]
Type = Annotated[
    list[str] | None, option("NAME", "Only messages of this type; may be repeated.", complete=types)
]


def _object(text: str | None) -> str | None:
    """Refuse what is no JSON object."""
    if text is not None:
        try:
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except msgspec.MsgspecError as error:
            raise typer.BadParameter(f"must be a JSON object: {error}") from None
    return text


Metadata = Annotated[
    str | None,
    option("JSON", "Only messages whose metadata contains this object.", callback=_object),
]
Tag = Annotated[
    list[str] | None,
    option("TAG", "Only messages with this tag; may be repeated: with all of them."),
]


def colour(row: Row) -> str:
    """The colour of a message's type: always the same for a type."""
    return _COLOURS[zlib.crc32(row["type"].encode()) % len(_COLOURS)]


# No stream pattern and no partition, as READ_PAGE takes them.
_UNFILTERED = (None, None, None, "stream")

# Types, categories, metadata and tags.
_Chosen = tuple[list[str] | None, list[str] | None, str | None, list[str] | None]

_VERSION = Column("version", right=True)
_STREAM = Column("stream", least=12)
_TYPE = Column("type", least=12, style=colour)
_DATA = Column("data", least=16)
_METADATA = Column("metadata", rank=4, least=12, optional=True)
_TAGS = Column("tags", rank=4, least=12, optional=True)
_ADDED_AT = Column("added_at", rank=2)
_POSITION = Column("global_position", title="position", right=True, rank=3)
_ID = Column("message_id", rank=5)

_OF_A_STREAM = (_VERSION, _TYPE, _DATA, _METADATA, _TAGS, _ADDED_AT, _POSITION, _ID)
_FIRST = msgspec.structs.replace(_POSITION, rank=0)
_OF_ALL = (_FIRST, _ADDED_AT, _TYPE, _STREAM, _VERSION, _DATA, _METADATA, _TAGS, _ID)


@command("read", panel=PANEL)
def read(
    call: Call,
    stream: Annotated[
        str | None,
        argument("STREAM", "The stream, or --category, or --all, or --query.", complete=streams),
    ] = None,
    from_version: Annotated[
        int | None, option("N", "Of a stream: the first version to read.")
    ] = None,
    backward: Annotated[
        bool, flag("Of a stream: from high versions to low ones.", "--backward")
    ] = False,
    category: Category = None,
    all: Annotated[bool, flag("Read all streams, in global order.", "--all")] = False,
    query: Annotated[
        str | None,
        option(
            "JSON",
            "Read what any item of this array looks for, and the token for write --condition.",
        ),
    ] = None,
    type: Type = None,
    metadata: Metadata = None,
    tag: Tag = None,
    after: Annotated[
        int | None, option("POSITION", "Across streams: only after this global position.")
    ] = None,
    max_count: Annotated[int | None, option("N", "The most messages.", least=0)] = None,
) -> None:
    """Read a stream, a category, everything, or what a query looks for.

    A stream in the order of its versions; across streams in global order, up to the safe position:
    nothing can appear later among what was read. A query reads all that is committed.

    \b
      pgstore read account-1 --backward --max-count 10
      pgstore read --category account --type Deposited --after 1000
      pgstore read --all --json > messages.jsonl
      pgstore read --query '[{"tags": ["course:42"]}, {"tags": ["student:7"]}]'
    """
    if [stream is not None, bool(category), all, query is not None].count(True) != 1:
        raise CommandError("give one of STREAM, --category, --all and --query", code=USAGE)
    if not (category or all) and (type or metadata or tag):
        raise CommandError("--type, --metadata and --tag go with --category or --all", code=USAGE)
    if stream is None and (backward or from_version is not None):
        raise CommandError("--backward and --from-version go with STREAM", code=USAGE)
    if stream is not None and after is not None:
        raise CommandError("--after goes with --category, --all or --query", code=USAGE)
    if query is not None and max_count is not None:
        raise CommandError("--query reads all messages: leave --max-count out", code=USAGE)
    with call.connect() as session:
        if query is not None:
            _of_query(call, session, query, after or 0)
        elif stream is not None:
            rows = _of_stream(session, stream, from_version, backward, max_count)
            if not call.out.rows(rows, _OF_A_STREAM):
                version = session.version(stream)
                call.out.note(f"There is no such message: stream {stream} is at version {version}.")
        else:
            rows = _across(session, after or 0, (type, category, metadata, tag), max_count)
            call.out.rows(rows, _OF_ALL, empty="There is no such message.")


@command("tail", panel=PANEL)
def tail(
    call: Call,
    follow: Annotated[
        bool, flag("Go on with the messages to come, until Ctrl-C.", "--follow", "-f")
    ] = False,
    count: Annotated[int, option("N", "Begin with the last N.", "--lines", "-n", least=0)] = 10,
    category: Category = None,
    type: Type = None,
    metadata: Metadata = None,
    tag: Tag = None,
    poll: Annotated[
        bool, flag("Look once a second, where a pooler allows no waiting session.", "--poll")
    ] = False,
) -> None:
    """Show the last messages, and with -f those to come.

    They come in global order, each when everything before it is known.

    \b
      pgstore tail -f
      pgstore tail -n 50 --category account
    """
    with call.connect() as session:
        safe = session.value(s.SAFE_POSITION)
        rows = _last(session, safe, count, (type, category, metadata, tag))
    layout = Layout(_OF_ALL, call.out.width, titles=False)
    _show(call, layout, rows)
    if not follow:
        if not rows and not call.out.json:
            call.out.note("There is no such message.")
        return
    with (
        call.messages(poll=poll, prepare_threshold=None) as store,
        store.follow(
            after_position=safe,
            types=type,
            categories=category,
            metadata=None if metadata is None else msgspec.json.decode(metadata),
            tags=tag,
        ) as new,
    ):
        for stored in new:
            row = {
                "message_id": stored.message_id,
                "stream": stored.stream,
                "version": stored.version,
                "global_position": stored.global_position,
                "type": stored.message.type,
                "data": msgspec.Raw(stored.message.data),
                "metadata": stored.metadata,
                "added_at": stored.added_at,
                "tags": stored.tags,
            }
            _show(call, layout, [row])


@command("message", panel=PANEL)
def message(call: Call, message_id: Annotated[UUID, argument("ID", "Its message_id.")]) -> None:
    """Show all that is stored of a message.

    \b
      pgstore message 0197f0c2-5a3e-7d1c-9b1e-3f6f0a2b4c5d
    """
    with call.connect() as session:
        row = as_stored(session.message(message_id))
    if not call.out.json:
        row["added_at"] = moment(row["added_at"])
    call.out.record(row)


def as_stored(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its JSON as it is stored: numbers keep their digits."""
    for key in ("data", "metadata"):
        if row[key] is not None:
            row[key] = msgspec.Raw(row[key].encode())
    row["tags"] = msgspec.json.decode(row["tags"] or "[]")
    return row


def _of_stream(
    session: Session, stream: str, from_version: int | None, backward: bool, max_count: int | None
) -> Iterator[Row]:
    while max_count is None or max_count > 0:
        size = _PAGE if max_count is None else min(_PAGE, max_count)
        rows = session.rows(s.READ_STREAM, (stream, from_version, size, backward))
        yield from map(as_stored, rows)
        if len(rows) < size:
            return
        from_version = rows[-1]["version"] + (-1 if backward else 1)
        max_count = None if max_count is None else max_count - size


def _of_query(call: Call, session: Session, query: str, after: int) -> None:
    *rows, last = session.rows(s.READ_TAGGED, (query, after))
    for row in rows:
        del row["decided_upon"]
    call.out.rows(map(as_stored, rows), _OF_ALL, empty="There is no such message.")
    token = last["decided_upon"]
    call.out.done(f"decided upon: {token}", decided_upon=token)


def _across(
    session: Session, after: int, chosen: _Chosen, max_count: int | None, up_to: int | None = None
) -> Iterator[Row]:
    types, categories, metadata, tags = chosen
    while max_count is None or max_count > 0:
        size = _PAGE if max_count is None else min(_PAGE, max_count)
        parameters = (after, size, types, categories, *_UNFILTERED, up_to)
        if metadata is None and tags is None:
            rows = session.rows(s.READ_PAGE, parameters)
        else:
            rows = session.rows(s.READ_MATCHING, (metadata, *parameters, tags))
        for row in rows:
            reached, more = row.pop("reached_position"), row.pop("more", False)
            del row["looked_position"]
            if row["message_id"] is None:
                if not more:
                    return
                after = reached
                break
            yield as_stored(row)
            after = row["global_position"]
            max_count = None if max_count is None else max_count - 1


def _last(session: Session, safe: int, count: int, chosen: _Chosen) -> list[Row]:
    """The last messages up to a position: in windows before it, each larger than the one before."""
    window = max(4 * count, 100)
    found: list[Row] = []
    end = safe
    while count > len(found) and end > 0:
        start = max(end - window, 0)
        found = [*_across(session, start, chosen, None, end), *found]
        end, window = start, window * 4
    return found[-count:] if count else []


def _show(call: Call, layout: Layout, rows: list[Row]) -> None:
    if call.out.json:
        call.out.documents(rows)
        return
    layout.grow(rows)
    call.out.lines(map(layout.line, rows))
