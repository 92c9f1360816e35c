"""Export: a store, a category or a stream, as the lines of a file."""

from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import IO

import msgspec
import psycopg
from psycopg import Connection

from pgstore._core import statements as s
from pgstore._core.arguments import count, describe, refuse_no_function, refuse_other, text_of
from pgstore._core.quoting import Statements
from pgstore._sync.cursor import run
from pgstore.errors import InvalidArgumentError
from pgstore.transfer._format import FORMAT, End, Header, Lines
from pgstore.transfer._store import closed_if_interrupted, statements_of
from pgstore.transfer.files import path_of, written_file

PAGE = 10_000
_SEPARATOR = b"\x02"


class Exported(msgspec.Struct, frozen=True):
    """The counts of an export; the next one continues after `up_to_position`."""

    messages: int
    floors: int
    after_position: int
    up_to_position: int


Progress = Callable[[int, int], None]
"""Called after each page: messages so far, and the global position reached."""


def export_file(
    conn: Connection[object],
    path: str | Path,
    *,
    store: str = "pgstore",
    category: str | None = None,
    stream: str | None = None,
    after: int = 0,
    overwrite: bool = False,
    on_progress: Progress | None = None,
) -> Exported:
    """Export to a file, which is there when it is complete; `.gz` and `.zst` are compressed.

    Raises FileExistsError if there is such a file, unless `overwrite`: then it is replaced at the
    end, whole by whole. Until then the export is beside it, as FILE.xxxxxxxx.part.
    """
    with written_file(path_of(path), overwrite=overwrite) as file:
        return export(
            conn, file, store=store, category=category, stream=stream, after=after,
            on_progress=on_progress,
        )  # fmt: skip


def export(
    conn: Connection[object],
    file: IO[bytes],
    *,
    store: str = "pgstore",
    category: str | None = None,
    stream: str | None = None,
    after: int = 0,
    on_progress: Progress | None = None,
) -> Exported:
    """Write all messages after a global position, in global order; or a category's or a stream's.

    It is the store at one moment: everything up to the safe position, nothing in flight. The
    connection is in autocommit mode, and in one transaction meanwhile. Memory stays flat.
    """
    if not callable(getattr(file, "write", None)) or hasattr(file, "encoding"):
        raise InvalidArgumentError(f"file must be open for bytes, not {describe(file)}")
    refuse_no_function("on_progress", on_progress, optional=True)
    statements, header = _begun(conn, store, category, stream, after)
    after, up_to = header.after_position, header.up_to_position
    chosen = {"category": category, "stream": stream}
    lines = Lines()
    file.write(lines.header(header))
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # The file is, whatever the connection's encoding is.
        conn.execute("SET LOCAL client_encoding = 'UTF8'")
        floors = 0
        with closing(_copied(conn, statements.copy_out(s.EXPORT_FLOORS, **chosen))) as rows:
            for text in rows:
                file.write(lines.line(text[:-1]))
                floors += 1
        messages, position = 0, after
        while position < up_to:
            page = statements.copy_out(
                s.EXPORT_MESSAGES, after=position, up_to=up_to, count=PAGE, **chosen
            )
            written, reached = _write_page(conn, page, file, lines)
            messages += written
            position = reached if written == PAGE else up_to
            if on_progress is not None:
                on_progress(messages, position)
    file.write(lines.end(End(messages=messages, floors=floors)))
    return Exported(messages, floors, after, up_to)


def _begun(
    conn: Connection[object], store: str, category: str | None, stream: str | None, after: int
) -> tuple[Statements, Header]:
    """Make the header. Call it before the transaction that reads: its snapshot must be later."""
    refuse_other(conn, Connection)
    for name, value in {"category": category, "stream": stream}.items():
        if value is not None:
            text_of(name, value)
    if category is not None and stream is not None:
        raise InvalidArgumentError("export a category or a stream, not both")
    if not conn.autocommit:
        raise InvalidArgumentError("an export takes a connection in autocommit mode")
    after = count("after", after)
    statements = statements_of(conn, store)
    ((safe, schema_version, now),) = run(conn, statements[s.EXPORT_HEADER], ())
    return statements, Header(
        format=FORMAT,
        store=store,
        schema_version=schema_version,
        exported_at=now.astimezone(UTC),
        after_position=after,
        up_to_position=max(safe, after),
        category=category,
        stream=stream,
    )


def _write_page(
    conn: Connection[object], statement: str, file: IO[bytes], lines: Lines
) -> tuple[int, int]:
    """Write a page of messages; how many, and the last one's position."""
    count, position = 0, b"0"
    line = lines.line
    write = file.write
    with closing(_copied(conn, statement)) as rows:
        for row in rows:
            position, _, text = row.partition(_SEPARATOR)
            write(line(text[:-1]))
            count += 1
    return count, int(position)


def _copied(conn: Connection[object], statement: str) -> Generator[bytes]:
    """Rows of a COPY. Closed before the transaction ends: as long as it runs, nothing else can."""
    with (
        closed_if_interrupted(conn),
        psycopg.ClientCursor(conn) as cursor,
        cursor.copy(statement.encode()) as copy,
    ):
        for row in copy:
            yield bytes(row)
