"""Export and import."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pgstore._core import statements as s
from pgstore._core.files import MAX_BYTES
from pgstore.cli._app import argument, command, flag, option
from pgstore.cli._call import Call
from pgstore.cli._completion import categories, streams
from pgstore.cli._errors import USAGE, CommandError
from pgstore.cli._values import counted

if TYPE_CHECKING:
    from pgstore.transfer import Source

PANEL = "Moving messages"


From = Literal["file", "message-db", "depeche"]


@command("export", panel=PANEL)
def export(
    call: Call,
    file: Annotated[
        str, argument("FILE", "JSON Lines; .gz and .zst are compressed, - is standard output.")
    ],
    category: Annotated[
        str | None, option("NAME", "Only this category.", complete=categories)
    ] = None,
    stream: Annotated[str | None, option("NAME", "Only this stream.", complete=streams)] = None,
    after: Annotated[
        int,
        option(
            "POSITION",
            "Only what comes after this global position: where an earlier export ended.",
            least=0,
        ),
    ] = 0,
    force: Annotated[
        bool, flag("Replace FILE if it is there, once all is written.", "--force")
    ] = False,
) -> None:
    """Write all messages to a file, or those of a category or a stream.

    The store at one moment: everything up to the safe position, nothing in flight. The file is
    there under its name when it is complete.

    \b
      pgstore export bank.jsonl.gz
      pgstore export --after 120345 bank-2.jsonl.gz
    """
    import pgstore.transfer as transfer

    with call.connect() as session, _progress(call, "Exporting") as told:
        end = session.value(s.SAFE_POSITION)
        try:
            done = transfer.export_file(
                session.conn,
                file,
                store=call.store,
                category=category,
                stream=stream,
                after=after,
                overwrite=force,
                on_progress=lambda messages, position: told(
                    messages, position - after, end - after
                ),
            )
        except FileExistsError as error:
            raise CommandError(
                f"{error.filename}: {error.strerror}",
                hint="Give the export another name, or replace the file with --force.",
            ) from None
    sentence = (
        f"Exported {counted(done.messages, 'message')} up to position {done.up_to_position}"
        f"{_floors(done.floors)}."
    )
    if transfer.is_stdout(file):
        call.out.note(sentence)
        return
    call.out.done(
        sentence,
        file=os.fsencode(file).decode(errors="replace"),
        bytes=Path(file).stat().st_size,
        messages=done.messages,
        floors=done.floors,
        after_position=done.after_position,
        up_to_position=done.up_to_position,
    )


@command("import", panel=PANEL)
def import_(
    call: Call,
    source: Annotated[
        str,
        argument(
            "FILE|CONNINFO",
            "An export, - for standard input; or the other store's connection string.",
        ),
    ],
    kind: Annotated[
        From, option("file|message-db|depeche", "What the messages come from.", "--from")
    ] = "file",
    positions: Annotated[
        Literal["auto", "keep", "new"],
        option(
            "auto|keep|new",
            "Global positions: kept in a store that is empty (auto), kept or refused (keep),"
            " or given anew (new).",
        ),
    ] = "auto",
    dry_run: Annotated[bool, flag("Check everything, import nothing.", "--dry-run")] = False,
    source_store: Annotated[str | None, option("NAME", "depeche: the store's name.")] = None,
    source_schema: Annotated[
        str | None, option("NAME", "The schema of its tables; message_store for message-db.")
    ] = None,
    time_zone: Annotated[
        str, option("NAME", "depeche: of the sessions that wrote its times.")
    ] = "UTC",
    type_key: Annotated[
        str, option("KEY", "depeche: where a message names its type.")
    ] = "__typename__",
    max_bytes: Annotated[
        int,
        option(
            "N", "The longest line that is read, or the largest message of another store.", least=1
        ),
    ] = MAX_BYTES,
) -> None:
    """Bring in messages with their ids, versions and times, in order.

    An interrupted import is simply run again: messages that are there already are skipped. A
    message that would break a stream is refused, with its line.

    \b
      pgstore import bank.jsonl.gz
      pgstore import --from message-db postgresql://localhost/message_store
      pgstore import --from depeche --source-store bank postgresql://localhost/old
    """
    import pgstore.transfer as transfer

    found = _source(kind, source, source_store, source_schema, time_zone, type_key, max_bytes)
    with call.connect() as session:
        if dry_run:
            checked = transfer.check(session.conn, found, store=call.store)
            call.out.done(
                f"{counted(checked.messages - checked.stored, 'message')} of"
                f" {counted(checked.streams, 'stream')} can be imported,"
                f" {checked.stored} are there already{_floors(checked.floors)}.",
                can_be_imported=checked.messages - checked.stored,
                stored=checked.stored,
                floors=checked.floors,
                streams=checked.streams,
            )
            return
        with _progress(call, "Importing") as told:
            done = transfer.import_from(
                session.conn,
                found,
                store=call.store,
                positions=positions,
                on_progress=lambda messages: told(messages, messages, found.total),
            )
    kept = "their positions" if done.positions_kept else "new positions"
    call.out.done(
        f"Imported {counted(done.imported, 'message')} with {kept}, {done.skipped} were there"
        f" already{_floors(done.floors)}.",
        imported=done.imported,
        skipped=done.skipped,
        floors=done.floors,
        positions_kept=done.positions_kept,
    )


def _source(
    kind: From,
    source: str,
    source_store: str | None,
    source_schema: str | None,
    time_zone: str,
    type_key: str,
    max_bytes: int,
) -> "Source":
    import pgstore.transfer as transfer

    match kind:
        case "file":
            if source.startswith(("postgres://", "postgresql")) and ":" in source:
                raise CommandError(
                    "that is a connection string, not a file", code=USAGE, hint="see --from"
                )
            return transfer.FileSource(source, max_bytes=max_bytes)
        case "message-db":
            return transfer.MessageDbSource(
                source, schema=source_schema or "message_store", max_bytes=max_bytes
            )
        case "depeche":
            if source_store is None:
                raise CommandError("--from depeche takes --source-store", code=USAGE)
            return transfer.DepecheSource(
                source,
                source_store,
                schema=source_schema,
                type_key=type_key,
                time_zone=time_zone,
                max_bytes=max_bytes,
            )


@contextmanager
def _progress(call: Call, title: str) -> Iterator[Callable[[int, int, int | None], None]]:
    """Show a bar on stderr if that is a terminal; call it with messages, progress and total."""
    if call.out.json or not call.out.notes.is_terminal:
        yield lambda *_: None
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[messages]} messages"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=call.out.notes, transient=True) as bar:
        task = bar.add_task(title, total=None, messages=0)
        yield lambda messages, done, total: bar.update(
            task, completed=done, total=total, messages=messages
        )


def _floors(number: int) -> str:
    return f"; {counted(number, 'stream')} begin later, where they were cut off" if number else ""
