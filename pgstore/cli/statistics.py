"""The numbers and sizes of a store, and how fast they grow."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pgstore._core import statements as s
from pgstore._core.progress import pace
from pgstore.cli._app import command, option
from pgstore.cli._call import Call, Session
from pgstore.cli._completion import categories as category_names
from pgstore.cli._layout import Column, Row
from pgstore.cli._live import Interval, Times, watch
from pgstore.cli._values import duration, shown, volume
from pgstore.cli.subscriptions import Sampler, summary

if TYPE_CHECKING:
    from rich.text import Text

PANEL = "Statistics"

_UNKNOWN = "not known on a standby"

_MESSAGES = Column("messages", right=True)
_FIRST = (
    Column("first_position", right=True, rank=4),
    Column("last_position", right=True, rank=3),
    Column("first_added_at", rank=2),
    Column("last_added_at", rank=1),
)
_STREAMS = (
    Column("stream", least=16),
    _MESSAGES,
    Column("version", right=True),
    Column("first_version", right=True, rank=3),
    *_FIRST,
)
_CATEGORIES = (Column("category", least=16), Column("streams", right=True), _MESSAGES, *_FIRST)
_TYPES = (
    Column("type", least=16),
    _MESSAGES,
    Column("first_position", right=True, rank=3),
    Column("last_position", right=True, rank=2),
    Column("last_added_at", rank=1),
)
_ORDERINGS = {
    "name": "stream",
    "messages": "messages DESC, stream",
    "recent": "last_position DESC NULLS LAST, stream",
}


@command("streams", panel=PANEL)
def streams(
    call: Call,
    category: Annotated[
        str | None, option("NAME", "Only of this category.", complete=category_names)
    ] = None,
    sort: Annotated[
        Literal["name", "messages", "recent"], option("name|messages|recent", "What comes first.")
    ] = "name",
    max_count: Annotated[int, option("N", "The most streams; 0 for all.", least=0)] = 100,
) -> None:
    """List streams, with how many messages each holds.

    Counts every message of the category, or of the store.

    \b
      pgstore streams --category account --sort recent --max-count 20
    """
    statement = s.STREAMS.replace("ORDERING", _ORDERINGS[sort])
    with call.connect() as session:
        rows = session.rows(
            statement, {"category": category, "max_count": max_count + 1 if max_count else None}
        )
    more = bool(max_count) and len(rows) > max_count
    call.out.rows(rows[:max_count] if more else rows, _STREAMS, empty="There is no stream.")
    if more:
        call.out.note(f"There are more than {max_count}: see --max-count.")


@command("categories", panel=PANEL)
def categories(call: Call) -> None:
    """List categories, with how many streams and messages.

    Counts every message.

    \b
      pgstore categories --json | jq .messages
    """
    with call.connect() as session:
        call.out.rows(session.rows(s.CATEGORIES), _CATEGORIES, empty="There is no category.")


@command("types", panel=PANEL)
def types(call: Call) -> None:
    """List types of messages, with how many.

    Counts every message.
    """
    with call.connect() as session:
        call.out.rows(session.rows(s.TYPES), _TYPES, empty="There is no message.")


@command("stats", panel=PANEL)
def stats(call: Call) -> None:
    """Show sizes, the safe position and the session that holds it.

    Quick: it counts nothing, the numbers of messages and streams are the server's estimates.

    \b
      pgstore stats --json
    """
    with call.connect() as session:
        row = session.row(s.STORE_STATISTICS)
    if call.out.json:
        call.out.document(row)
        return
    call.out.record(
        {
            "messages": _about(row, "messages_estimate"),
            "streams": _about(row, "streams_estimate"),
            "last_position": row["last_position"],
            "safe_position": _UNKNOWN if row["safe_position"] is None else row["safe_position"],
            "in_flight": _in_flight(row),
            "tables": volume(row["table_bytes"]),
            "indexes": volume(row["index_bytes"]),
            "dead_messages": row["dead_messages"],
        }
    )


@command("top", panel=PANEL)
def top(call: Call, interval: Interval = 2.0, times: Times = None) -> None:
    """Watch the store live: rates, sizes, subscriptions.

    Ends with Ctrl-C. messages/s are global positions given; a transaction that was rolled back has
    used some up. With --json, a document each time.

    \b
      pgstore top --interval 1
    """
    with call.connect() as session:
        meter = _Meter(session)
        watch(call, meter.rows, partial(_drawn, call), interval=interval, times=times)


class _Meter:
    """The figures of `top`, with their changes since the last call."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._subscriptions = Sampler(session)
        self._before: tuple[int, float] | None = None

    def rows(self) -> list[Row]:
        """One: the figures of the store, with those of its subscriptions."""
        row: dict[str, Any] = self._session.row(s.STORE_STATISTICS)
        now = time.monotonic()
        rate = None
        if self._before is not None:
            position, then = self._before
            rate = pace(row["last_position"] - position, now - then)
        self._before = (row["last_position"], now)
        figures = {"at": datetime.now(UTC), "messages_per_second": rate, **row}
        return [figures | {"subscriptions": self._subscriptions.rows()}]


def _drawn(call: Call, rows: Sequence[Row]) -> "list[Text]":
    from rich.text import Text

    (row,) = rows
    rate = row["messages_per_second"]
    safe = _UNKNOWN if row["safe_position"] is None else row["safe_position"]
    fields = {
        "messages/s": "…" if rate is None else f"{rate:.1f}",
        "messages": _about(row, "messages_estimate"),
        "streams": _about(row, "streams_estimate"),
        "positions": f"safe {safe}, last {row['last_position']}",
        "in flight": _in_flight(row),
        "size": f"tables {volume(row['table_bytes'])}, indexes {volume(row['index_bytes'])},"
        f" {row['dead_messages']} dead messages",
    }
    return [
        Text.assemble(("store ", "bold"), shown(call.store), "   ", shown(row["at"])),
        *(Text.assemble((name.ljust(12), "bold"), value) for name, value in fields.items()),
        Text(""),
        *summary(row["subscriptions"], call.out.width),
    ]


def _about(row: Row, key: str) -> str:
    """The server's estimate; before it has analysed the table, that is 0."""
    if not row[key] and row["last_position"]:
        return "not analysed yet"
    return f"about {row[key]}"


def _in_flight(row: Row) -> str:
    if row["in_flight"] is None:
        return _UNKNOWN
    started = row["oldest_writer_started_at"]
    if not row["in_flight"]:
        return "no writer"
    if started is None:
        return "writers"
    since = duration(datetime.now(UTC) - started)
    process = f", process {row['oldest_writer_pid']}" if row["oldest_writer_pid"] else ""
    return f"the oldest writer began {since} ago{process}"
