"""Writing messages."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated
from uuid import UUID

import msgspec

from pgstore._core import statements as s
from pgstore._core.ids import new_message_id
from pgstore.cli._app import argument, command, flag, option
from pgstore.cli._call import Call
from pgstore.cli._completion import streams, types
from pgstore.cli._errors import USAGE, CommandError

# Of DATA. PostgreSQL's jsonb holds no larger value.
_MOST = 256 << 20


@command("write", panel="Messages")
def write(
    call: Call,
    stream: Annotated[
        str,
        argument(
            "STREAM",
            "Its category is what stands before the first minus: account of account-1.",
            complete=streams,
        ),
    ],
    type: Annotated[str | None, argument("TYPE", "Name of the type.", complete=types)] = None,
    data: Annotated[str, argument("DATA", "JSON; - for standard input, @FILE for a file.")] = "{}",
    expected_version: Annotated[
        int | None,
        option("N", "Only if the stream is at this version; 0: only if it is empty.", least=0),
    ] = None,
    metadata: Annotated[
        str | None, option("JSON", "A JSON object to keep beside the message.")
    ] = None,
    message_id: Annotated[
        UUID | None,
        option("UUID", "The message's id. Written again to the same place, it is stored once."),
    ] = None,
    tag: Annotated[
        list[str] | None, option("TAG", "A tag of the message; may be repeated.")
    ] = None,
    condition: Annotated[
        str | None,
        option(
            "JSON", "Only if no message has come that this query looks for, since --decided-upon."
        ),
    ] = None,
    decided_upon: Annotated[str | None, option("TOKEN", "The token of read --query.")] = None,
    lines: Annotated[
        bool,
        flag(
            "Write several messages, all or none: a line of DATA each. With TYPE a line is the"
            " data; without, an object with type, data, metadata, message_id and tags.",
            "--lines",
        ),
    ] = False,
    any_json: Annotated[
        bool, flag("DATA may be JSON that is no object, as 5 or [1, 2].", "--any-json")
    ] = False,
    create: Annotated[bool, flag("Install the store if it is missing.", "--create")] = False,
) -> None:
    """Append a message to a stream.

    Prints the stream's version and the message's place in the store. An argument that begins with a
    minus and is no option goes after --.

    \b
      pgstore write account-1 Deposited '{"amount": 10}'
      pgstore write enrolment-1 Enrolled --tag student:7 --tag course:42
      pgstore write account-1 Deposited @deposit.json --expected-version 1
      jq -c '.[]' deposits.json | pgstore write account-1 Deposited - --lines
      pgstore write account-1 Corrected --any-json -- -5
    """
    if lines and (metadata is not None or message_id is not None or tag):
        raise CommandError("with --lines, metadata, ids and tags are in the lines", code=USAGE)
    if (condition is None) != (decided_upon is None):
        raise CommandError("--condition and --decided-upon go together", code=USAGE)
    if type is None and not lines:
        raise CommandError("TYPE is missing", code=USAGE)
    if lines and type is not None and data == "{}" and (type == "-" or type.startswith("@")):
        data, type = type, None  # it is DATA: TYPE was left out
    text = _content("-" if lines and data == "{}" else data)
    batch = _messages_of(text, type) if lines else []
    texts = [bytes(each.data).decode() for each in batch] if lines else [text]
    if not any_json:
        _refuse_no_object(texts)
    from pgstore._core.shapes import refuse_type

    for name in {each.type for each in batch} | ({type} - {None}):
        refuse_type(name)
    values: tuple[object, ...]
    if lines:
        statement = s.WRITE_ARRAYS_TAGGED
        values = (
            [each.type for each in batch],
            texts,
            [_text(each.metadata) for each in batch],
            expected_version,
            [each.message_id or new_message_id() for each in batch],
            [_text(each.tags) for each in batch],
        )
    else:
        statement = s.WRITE_TAGGED
        values = (type, text, metadata, expected_version, message_id or new_message_id(), tag)
    with call.connect(create=create) as session:
        row = session.row(statement, (stream, *values, condition, decided_upon))
    written = f"{len(batch)} messages" if lines else type
    call.out.done(
        f"{stream} is at version {row['version']}: {written} at position {row['global_position']}.",
        stream=stream,
        **row,
    )


class _Line(msgspec.Struct):
    """A line of `write --lines`."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    # Not `Raw | None`, which takes nothing but null.
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    message_id: UUID | None = None
    tags: msgspec.Raw = msgspec.Raw(b"null")


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


def _refuse_no_object(texts: Sequence[str]) -> None:
    """Refuse what does not begin as an object; whether the rest is JSON, the server says."""
    from pgstore._core.arguments import describe

    for number, text in enumerate(texts, start=1):
        if not text.lstrip(" \t\r\n").startswith("{"):
            where = f"DATA of message {number}" if len(texts) > 1 else "DATA"
            raise CommandError(
                f"{where} is no JSON object: {describe(text)}",
                code=USAGE,
                hint="""give an object, as '{"amount": 10}'; --any-json takes any other JSON""",
            )


def _text(raw: msgspec.Raw) -> str | None:
    text = bytes(raw).decode()
    return None if text == "null" else text
