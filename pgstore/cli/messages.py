"""Writing and reading messages."""

import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated, Any
from uuid import UUID

import msgspec
import typer

from pgstore._core import statements as s
from pgstore._core.ids import new_message_id
from pgstore.cli._app import command, within
from pgstore.cli._call import Call, Session
from pgstore.cli._completion import categories, streams, types
from pgstore.cli._errors import NOT_FOUND, USAGE, CommandError
from pgstore.cli._layout import Column, Layout, Row
from pgstore.cli._values import moment

PANEL = "Messages"

_PAGE = 1000

# Of DATA. PostgreSQL's jsonb holds no larger value.
_MOST = 256 << 20
_COLOURS = ("green", "cyan", "yellow", "magenta", "blue", "red")

Category = Annotated[
    list[str] | None,
    typer.Option(
        "--category",
        metavar="NAME",
        autocompletion=categories,
        help="Only streams of this category; may be repeated.",
    ),
]
Type = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="NAME",
        autocompletion=types,
        help="Only messages of this type; may be repeated.",
    ),
]


def colour(row: Row) -> str:
    """The colour of a message's type: always the same for a type."""
    return _COLOURS[zlib.crc32(row["type"].encode()) % len(_COLOURS)]


_VERSION = Column("version", right=True)
_STREAM = Column("stream", least=12)
_TYPE = Column("type", least=12, style=colour)
_DATA = Column("data", least=16)
_METADATA = Column("metadata", rank=4, least=12, optional=True)
_ADDED_AT = Column("added_at", rank=2)
_POSITION = Column("global_position", title="position", right=True, rank=3)
_ID = Column("message_id", rank=5)

_OF_A_STREAM = (_VERSION, _TYPE, _DATA, _METADATA, _ADDED_AT, _POSITION, _ID)
_OF_ALL = (
    msgspec.structs.replace(_POSITION, rank=0),
    _ADDED_AT,
    _TYPE,
    _STREAM,
    _VERSION,
    _DATA,
    _METADATA,
    _ID,
)


@command("write", panel=PANEL)
def write(
    call: Call,
    stream: Annotated[
        str,
        typer.Argument(
            metavar="STREAM",
            autocompletion=streams,
            help="Its category is what stands before the first minus: account of account-1.",
        ),
    ],
    type: Annotated[
        str | None, typer.Argument(metavar="TYPE", autocompletion=types, help="Name of the type.")
    ] = None,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="JSON; - for standard input, @FILE for a file.")
    ] = "{}",
    expected_version: Annotated[
        int | None,
        typer.Option(
            callback=within(0),
            metavar="N",
            help="Only if the stream is at this version; 0: only if it is empty.",
        ),
    ] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="A JSON object to keep beside the message.")
    ] = None,
    message_id: Annotated[
        UUID | None,
        typer.Option(
            metavar="UUID",
            help="The message's id. Written again to the same place, it is stored once.",
        ),
    ] = None,
    lines: Annotated[
        bool,
        typer.Option(
            "--lines",
            help="Write several messages, all or none: a line of DATA each. With TYPE a line is the"
            " data; without, an object with type, data, metadata and message_id.",
        ),
    ] = False,
    any_json: Annotated[
        bool, typer.Option("--any-json", help="DATA may be JSON that is no object, as 5 or [1, 2].")
    ] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Install the store if it is missing.")
    ] = False,
) -> None:
    """Append a message to a stream.

    Prints the stream's version and the message's place in the store. An argument that begins with a
    minus and is no option goes after --.

    \b
      pgstore write account-1 Deposited '{"amount": 10}'
      pgstore write account-1 Deposited @deposit.json --expected-version 1
      jq -c '.[]' deposits.json | pgstore write account-1 Deposited - --lines
      pgstore write account-1 Corrected --any-json -- -5
    """
    if lines and (metadata is not None or message_id is not None):
        raise CommandError("with --lines, metadata and ids are in the lines", code=USAGE)
    if type is None and not lines:
        raise CommandError("TYPE is missing", code=USAGE)
    if lines and type is not None and data == "{}" and (type == "-" or type.startswith("@")):
        data, type = type, None  # it is DATA: TYPE was left out
    text = _content("-" if lines and data == "{}" else data)
    batch = _messages_of(text, type) if lines else []
    if not any_json:
        _refuse_no_object("DATA", [text] if not lines else [bytes(each.data) for each in batch])
    from pgstore._core.shapes import refuse_type

    for name in {each.type for each in batch} | ({type} - {None}):
        refuse_type(name)
    with call.connect(create=create) as session:
        if type is not None and not lines:
            parameters = (
                stream,
                type,
                text,
                metadata,
                expected_version,
                message_id or new_message_id(),
            )
            row = session.row(s.WRITE, parameters)
        else:
            row = session.row(
                s.WRITE_ARRAYS,
                (
                    stream,
                    [each.type for each in batch],
                    [_text(each.data) for each in batch],
                    [_text(each.metadata) for each in batch],
                    expected_version,
                    [each.message_id or new_message_id() for each in batch],
                ),
            )
    written = f"{len(batch)} messages" if lines else type
    call.out.done(
        f"{stream} is at version {row['version']}: {written} at position {row['global_position']}.",
        stream=stream,
        **row,
    )


@command("read", panel=PANEL)
def read(
    call: Call,
    stream: Annotated[
        str | None,
        typer.Argument(
            metavar="STREAM", autocompletion=streams, help="The stream, or --category, or --all."
        ),
    ] = None,
    from_version: Annotated[
        int | None, typer.Option(metavar="N", help="Of a stream: the first version to read.")
    ] = None,
    backward: Annotated[
        bool, typer.Option("--backward", help="Of a stream: from high versions to low ones.")
    ] = False,
    category: Category = None,
    all: Annotated[bool, typer.Option("--all", help="Read all streams, in global order.")] = False,
    type: Type = None,
    after: Annotated[
        int | None,
        typer.Option(metavar="POSITION", help="Across streams: only after this global position."),
    ] = None,
    max_count: Annotated[
        int | None, typer.Option(callback=within(0), metavar="N", help="The most messages.")
    ] = None,
) -> None:
    """Read a stream, a category or everything.

    A stream in the order of its versions; across streams in global order, up to the safe position:
    nothing can appear later among what was read.

    \b
      pgstore read account-1 --backward --max-count 10
      pgstore read --category account --type Deposited --after 1000
      pgstore read --all --json > messages.jsonl
    """
    across = all or bool(category)
    if (stream is not None) == across or (all and category):
        raise CommandError("give one of STREAM, --category and --all", code=USAGE)
    if stream is not None and (type or after is not None):
        raise CommandError("--type and --after go with --category or --all", code=USAGE)
    if across and (backward or from_version is not None):
        raise CommandError("--backward and --from-version go with STREAM", code=USAGE)
    with call.connect() as session:
        if stream is not None:
            rows = _of_stream(session, stream, from_version, backward, max_count)
            if not call.out.rows(rows, _OF_A_STREAM):
                _tell_why_none(call, session, stream)
        else:
            rows = _across(session, after or 0, type or None, category or None, max_count)
            call.out.rows(rows, _OF_ALL, empty="There is no such message.")


@command("tail", panel=PANEL)
def tail(
    call: Call,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with the messages to come, until Ctrl-C.")
    ] = False,
    count: Annotated[
        int,
        typer.Option(
            "--lines", "-n", callback=within(0), metavar="N", help="Begin with the last N."
        ),
    ] = 10,
    category: Category = None,
    type: Type = None,
    poll: Annotated[
        bool,
        typer.Option(
            "--poll", help="Look once a second, where a pooler allows no waiting session."
        ),
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
        rows = _last(session, safe, count, type or None, category or None)
    layout = Layout(_OF_ALL, call.out.width, titles=False)
    _show(call, layout, rows)
    if not follow:
        if not rows and not call.out.json:
            call.out.note("There is no such message.")
        return
    with (
        call.messages(poll=poll, prepare_threshold=None) as store,
        store.follow(after_position=safe, types=type or None, categories=category or None) as new,
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
            }
            _show(call, layout, [row])


@command("message", panel=PANEL)
def message(
    call: Call, message_id: Annotated[UUID, typer.Argument(metavar="ID", help="Its message_id.")]
) -> None:
    """Show all that is stored of a message.

    \b
      pgstore message 0197f0c2-5a3e-7d1c-9b1e-3f6f0a2b4c5d
    """
    with call.connect() as session:
        found = list(map(as_stored, session.rows(s.GET_MESSAGES, [message_id])))
    if not found:
        from pgstore.errors import MessageNotFoundError

        raise MessageNotFoundError(message_id)
    (row,) = found
    if not call.out.json:
        row["added_at"] = moment(row["added_at"])
    call.out.record(row)


class _Line(msgspec.Struct):
    """A line of `write --lines`."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    metadata: msgspec.Raw | None = None
    message_id: UUID | None = None


def _content(data: str) -> str:
    try:
        if data == "-":
            return _limited(sys.stdin.buffer, data)
        if data.startswith("@"):
            with Path(data[1:]).open("rb") as file:
                return _limited(file, data)
    except OSError as error:
        raise CommandError(f"{data}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{data}: not UTF-8: {error}", code=USAGE) from None
    return data


def _limited(file: IO[bytes], name: str) -> str:
    """Read a file that is small enough to write at once: a device may never end."""
    content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise CommandError(f"{name}: more than {_MOST} bytes", hint="write it in parts")
    return content.decode()


def _messages_of(text: str, type: str | None) -> list[_Line]:
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            if type is None:
                found.append(msgspec.json.decode(line, type=_Line))
            else:
                found.append(_Line(type, msgspec.json.decode(line, type=msgspec.Raw)))
        except RecursionError:
            raise CommandError(f"line {number}: nested too deep", code=USAGE) from None
        except msgspec.MsgspecError as error:
            raise CommandError(f"line {number}: {error}", code=USAGE) from None
    if not found:
        raise CommandError("there is no message in DATA", code=USAGE)
    return found


def _refuse_no_object(place: str, several: Sequence[str | bytes]) -> None:
    """Refuse what does not begin as an object; whether the rest is JSON, the server says."""
    from pgstore._core.arguments import describe

    for number, each in enumerate(several, start=1):
        text = each if isinstance(each, str) else each.decode()
        if not text.lstrip(" \t\r\n").startswith("{"):
            where = f"{place} of message {number}" if len(several) > 1 else place
            raise CommandError(
                f"{where} is no JSON object: {describe(text)}",
                code=USAGE,
                hint="""give an object, as '{"amount": 10}'; --any-json takes any other JSON""",
            )


def _text(raw: msgspec.Raw | None) -> str | None:
    return None if raw is None else bytes(raw).decode()


def as_stored(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its JSON as it is stored: numbers keep their digits."""
    for key in ("data", "metadata"):
        if row[key] is not None:
            row[key] = msgspec.Raw(row[key].encode())
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


def _tell_why_none(call: Call, session: Session, stream: str) -> None:
    version = session.value(s.STREAM_VERSION, [stream])
    if not version:
        raise CommandError(f"there is no stream {stream}", code=NOT_FOUND)
    call.out.note(f"There is no such message: stream {stream} is at version {version}.")


def _across(
    session: Session,
    after: int,
    types: list[str] | None,
    categories: list[str] | None,
    max_count: int | None,
    up_to: int | None = None,
) -> Iterator[Row]:
    while max_count is None or max_count > 0:
        size = _PAGE if max_count is None else min(_PAGE, max_count)
        rows = session.rows(s.READ_PAGE_UP_TO, (after, size, types, categories, up_to))
        for row in rows:
            del row["reached_position"]
            if row["message_id"] is None:  # there is nothing more
                return
            yield as_stored(row)
            after = row["global_position"]
        max_count = None if max_count is None else max_count - size


def _last(
    session: Session,
    safe: int,
    count: int,
    types: list[str] | None,
    categories: list[str] | None,
) -> list[Row]:
    """The last messages up to a position: in windows before it, each larger than the one before."""
    window = max(4 * count, 100)
    found: list[Row] = []
    end = safe
    while count > len(found) and end > 0:
        start = max(end - window, 0)
        found = [*_across(session, start, types, categories, None, end), *found]
        end, window = start, window * 4
    return found[-count:] if count else []


def _show(call: Call, layout: Layout, rows: list[Row]) -> None:
    if call.out.json:
        for row in rows:
            call.out.document(row)
        sys.stdout.flush()
        return
    layout.grow(rows)
    for row in rows:
        call.out.line(layout.line(row))
