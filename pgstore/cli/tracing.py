"""The messages of a correlation id, as a tree of causes."""

from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

import msgspec

from pgstore._core import statements as s
from pgstore._core.causes import in_tree
from pgstore.cli._app import argument, command
from pgstore.cli._call import Call, Session
from pgstore.cli._errors import NOT_FOUND, CommandError
from pgstore.cli._layout import Column, Row
from pgstore.cli.reading import as_stored, colour

_PAGE = 1000

_COLUMNS = (
    Column("tree", title="type", style=colour),
    Column("stream", least=12),
    Column("version", right=True, rank=2),
    Column("global_position", title="position", right=True, rank=3),
    Column("added_at", rank=1),
    Column("data", least=16, rank=5),
    Column("message_id", rank=4),
)


_RAILS = {"end": "└─ ", "branch": "├─ ", "line": "│  ", "none": "   "}


class _Ids(msgspec.Struct):
    """The ids in the metadata that connect messages."""

    correlation_id: Any = None
    causation_id: Any = None


_ids = msgspec.json.Decoder(_Ids).decode


@command("trace", panel="Messages")
def trace(
    call: Call,
    correlation_id: Annotated[
        str, argument("ID", "The correlation id, or the id of a message with one.")
    ],
) -> None:
    """Show the messages of a correlation id, each below the message that caused it.

    They are those whose metadata has it as correlation_id. causation_id is there the id of the
    message that caused one. A cause that has not the correlation id itself is shown too.

    \b
      pgstore trace 0197f0c2-5a3e-7d1c-9b1e-3f6f0a2b4c5d
    """
    with call.connect() as session:
        found = _correlated(session, correlation_id) or _of_message(session, correlation_id)
        if not found:
            raise CommandError(
                f"no message has the correlation id {correlation_id}", code=NOT_FOUND
            )
        known = {row["message_id"] for row in found}
        causes = {_cause(row) for row in found} - known - {None}
        found += session.rows(s.GET_MESSAGES, ["\n".join(map(str, causes))]) if causes else []
    rows = _drawn(found)
    if call.out.json:
        rows = ({key: row[key] for key in row if key != "tree"} for row in rows)
    call.out.rows(rows, _COLUMNS)


def _correlated(session: Session, correlation_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    position = 0
    while True:
        rows = session.rows(s.READ_CORRELATED, (correlation_id, position, _PAGE))
        found += rows
        if len(rows) < _PAGE:
            return found
        position = rows[-1]["global_position"]


def _of_message(session: Session, message_id: str) -> list[dict[str, Any]]:
    """The messages of the correlation id of a message."""
    if (known := _uuid(message_id)) is None:
        return []
    for row in session.rows(s.GET_MESSAGES, [str(known)]):
        found = row["metadata"] and _ids(row["metadata"]).correlation_id
        if isinstance(found, str):
            return _correlated(session, found)
    return []


def _cause(row: Row) -> UUID | None:
    return _uuid(_ids(row["metadata"]).causation_id) if row["metadata"] else None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _drawn(rows: list[dict[str, Any]]) -> Iterator[Row]:
    """Rows in the order of the tree, with its lines before the types."""
    for row, _, rails in in_tree(rows, _facts):
        lines = "".join(map(_RAILS.__getitem__, rails))
        yield {"depth": len(rails), "tree": lines + row["type"], **as_stored(row)}


def _facts(row: Row) -> tuple[UUID, int, UUID | None]:
    return row["message_id"], row["global_position"], _cause(row)
