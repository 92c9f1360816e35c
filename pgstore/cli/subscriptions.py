"""Watching and steering subscriptions."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from pgstore._core import statements as s
from pgstore._core.progress import pace, reads, time_left
from pgstore.cli._app import Yes, argument, command, flag, group, option
from pgstore.cli._call import Call, Session
from pgstore.cli._completion import subscriptions as names
from pgstore.cli._errors import NOT_FOUND, USAGE, CommandError
from pgstore.cli._layout import Column, Row, table
from pgstore.cli._live import Interval, Times, watch
from pgstore.cli._values import counted, moment
from pgstore.cli.reading import as_stored

if TYPE_CHECKING:
    from rich.text import Text

PANEL = "Subscriptions"

Name = Annotated[str, argument("NAME", "The subscription.", complete=names)]
Position = Annotated[
    int | None, argument("POSITION", "Global position of one message; otherwise all.")
]

_COLOURS = {
    "stopped": "bold red",
    "retrying": "yellow",
    "paused": "magenta",
    "working": "green",
    "waiting": "cyan",
}


def state_colour(row: Row) -> str:
    """The colour of a state: red is what needs somebody."""
    return _COLOURS.get(row["state"], "")


_STATE = Column("state", style=state_colour)
_BEHIND = Column("behind", right=True)
_ERROR = Column("error", least=16, rank=3, optional=True)

COLUMNS = (
    Column("subscription", least=16),
    _STATE,
    _BEHIND,
    Column("rate", title="rate/s", right=True, rank=2, optional=True, show="{:.0f}".format),
    Column("left", title="s left", right=True, rank=2, optional=True, show="{:.0f}".format),
    Column("parked", right=True, rank=1),
    Column("partitions", right=True, rank=4),
    Column("position", right=True, rank=4),
    Column("workers", title="worker", least=16, rank=2, optional=True),
    Column("reads", least=12, rank=5),
    _ERROR,
)
_PARTITIONS = (
    Column("partition", right=True),
    _STATE,
    _BEHIND,
    Column("checkpoint", right=True, rank=1),
    Column("worker", least=16, rank=2, optional=True),
    Column("leased_until", rank=4, optional=True),
    Column("attempts", right=True, rank=3),
    Column("failed_position", title="failed at", right=True, rank=3, optional=True),
    Column("retry_at", rank=4, optional=True),
    _ERROR,
)
_PARKED = (
    Column("global_position", title="position", right=True),
    Column("stream", least=12),
    Column("version", right=True, rank=3),
    Column("type", least=12),
    Column("attempts", right=True, rank=2),
    Column("replay", rank=2),
    Column("parked_at", rank=4),
    Column("error", least=16),
    Column("message_id", rank=5),
)


_NONE = "There is no subscription."


class Sampler:
    """Reads the subscriptions, and from one time to the next how fast each goes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before: dict[str, tuple[int, float]] = {}

    def rows(self) -> list[Row]:
        """The subscriptions, with their rate in positions a second, and the seconds that are
        left at this rate, from the second time on."""
        now = time.monotonic()
        rows = self._session.rows(s.SUBSCRIPTIONS)
        for row in rows:
            name, position = row["subscription"], row["position"]
            then = self._before.get(name)
            row["rate"] = then and pace(position - then[0], now - then[1])
            row["left"] = time_left(row["behind"], row["rate"])
            row["reads"] = reads(row)
            if row["metadata"] is not None:
                row["metadata"] = msgspec.Raw(row["metadata"].encode())
            self._before[name] = (position, now)
        return list(rows)


@command("subscriptions", panel=PANEL)
def subscriptions(
    call: Call,
    name: Annotated[str | None, argument("NAME", "Show its partitions.", complete=names)] = None,
    watching: Annotated[
        bool, flag("Draw it again and again, until Ctrl-C.", "--watch", "-w")
    ] = False,
    interval: Interval = 2.0,
    times: Times = None,
) -> None:
    """List the subscriptions, or the partitions of one.

    behind counts positions up to the safe one. The state is that of the partition that needs
    attention most: paused, stopped, retrying, working, waiting (there is work, nobody does it) or
    idle. rate, with --watch, is in positions a second.

    \b
      pgstore subscriptions --watch
      pgstore subscriptions balances
    """
    with call.connect() as session:
        sampler = Sampler(session)
        columns = COLUMNS if name is None else _PARTITIONS

        def read() -> list[Row]:
            return sampler.rows() if name is None else _partitions(session, name)

        if watching:
            watch(
                call,
                read,
                lambda rows: summary(rows, call.out.width, columns),
                interval=interval,
                times=times,
            )
        else:
            call.out.rows(read(), columns, empty=_NONE)


@command("pause", panel=PANEL)
def pause(call: Call, name: Name) -> None:
    """Hand out no more batches; workers finish those that have begun."""
    with call.connect() as session:
        session.value(s.PAUSE_SUBSCRIPTION, [name])
    call.out.done(f"Subscription {name} is paused.", subscription=name, paused=True)


@command("resume", panel=PANEL)
def resume(
    call: Call,
    name: Name,
    partition: Annotated[int | None, option("N", "Only this stopped partition.")] = None,
) -> None:
    """End a pause, and resume stopped partitions.

    The message that failed is tried again at once.

    \b
      pgstore resume balances --partition 3
    """
    with call.connect() as session:
        if partition is not None:
            numbers = [row["partition"] for row in _partitions(session, name)]
            if partition not in numbers:
                raise CommandError(
                    f"subscription {name} has no partition {partition}",
                    code=NOT_FOUND,
                    hint=f"it has 0 to {max(numbers)}",
                )
        session.value(s.RESUME_SUBSCRIPTION, [name, partition])
    of = f"Partition {partition} of subscription" if partition is not None else "Subscription"
    call.out.done(f"{of} {name} goes on.", subscription=name, partition=partition)


@command("rewind", panel=PANEL)
def rewind(
    call: Call,
    name: Name,
    to: Annotated[
        str, argument("TO", "A global position, or a time: 2026-03-01T12:00 (local), …Z, …+02:00.")
    ],
    yes: Yes = False,
) -> None:
    """Have it continue from another position or time.

    Back, to have messages handled again, or forward, to leave some out. Asks first.

    \b
      pgstore rewind balances 0
      pgstore rewind balances 2026-03-01T12:00+01:00
    """
    position, time_from = _place(to)
    with call.connect() as session:
        before = session.value(s.SUBSCRIPTION_POSITION, [name])
        call.out.confirm(
            f"Subscription {name} is at position {before} and will go on after {to}.", yes=yes
        )
        after = session.value(s.REWIND_SUBSCRIPTION, [name, position, time_from])
    call.out.done(
        f"Subscription {name} goes on after position {after}.",
        subscription=name,
        position=after,
        position_before=before,
    )


@command("repartition", panel=PANEL)
def repartition(
    call: Call, name: Name, partitions: Annotated[int, argument("PARTITIONS", "How many.")]
) -> None:
    """Change the number of partitions.

    The workers first finish what they know of, so that all partitions stand at the same position.
    A stopped partition has to be resumed for that, and a paused subscription too.

    \b
      pgstore repartition balances 8
    """
    with call.connect() as session:
        session.value(s.REPARTITION_SUBSCRIPTION, [name, partitions])
    call.out.done(
        f"Subscription {name} gets {partitions} partitions when its workers have caught up.",
        subscription=name,
        next_partitions=partitions,
    )


@command("drop-subscription", panel=PANEL)
def drop_subscription(call: Call, name: Name, yes: Yes = False) -> None:
    """Delete a subscription with its parked messages. Asks first."""
    with call.connect() as session:
        position = session.value(s.SUBSCRIPTION_POSITION, [name])
        call.out.confirm(
            f"Subscription {name} is at position {position}, which will be forgotten.", yes=yes
        )
        session.value(s.DROP_SUBSCRIPTION, [name])
    call.out.done(f"Subscription {name} is gone.", subscription=name, position=position)


parked = group(
    "parked", panel=PANEL, help="Messages that were put aside: list, show, replay, drop."
)


@command("list", of=parked)
def parked_list(call: Call, name: Name) -> None:
    """List what a subscription has parked, with the error of the last attempt.

    \b
      pgstore parked list balances
    """
    with call.connect() as session:
        call.out.rows(session.rows(s.LIST_PARKED, [name]), _PARKED, empty="Nothing is parked.")


@command("show", of=parked)
def parked_show(
    call: Call, name: Name, position: Annotated[int, argument("POSITION", "Its global position.")]
) -> None:
    """Show a parked message: its error and its content.

    \b
      pgstore parked show balances 1042
    """
    with call.connect() as session:
        of_name = session.rows(s.LIST_PARKED, [name])
        row = next((each for each in of_name if each["global_position"] == position), None)
        if row is None:
            raise _not_parked(name, position)
        found = [*map(as_stored, session.rows(s.GET_MESSAGES, [row["message_id"]]))]
    if found:
        (stored,) = found
    else:  # deleted since
        stored = {key: row[key] for key in ("message_id", "stream", "version", "type")}
        stored |= {"global_position": position, "data": None, "metadata": None, "added_at": None}
        stored["tags"] = []
    if not call.out.json:
        row["parked_at"] = moment(row["parked_at"])
        stored["added_at"] = stored["added_at"] and moment(stored["added_at"])
    extra = ("partition", "attempts", "parked_at", "replay", "error")
    call.out.record({"subscription": name} | stored | {key: row[key] for key in extra})


@command("replay", of=parked)
def parked_replay(call: Call, name: Name, position: Position = None) -> None:
    """Have one parked message, or all, handed out again; one that fails again stays parked.

    \b
      pgstore parked replay balances 1042
    """
    with call.connect() as session:
        count = session.value(s.REPLAY_PARKED, [name, position])
    if position is not None and not count:
        raise _not_parked(name, position)
    call.out.done(
        f"{counted(count, 'message')} will be handed out again.", subscription=name, count=count
    )


@command("drop", of=parked)
def parked_drop(call: Call, name: Name, position: Position = None, yes: Yes = False) -> None:
    """Forget one parked message, or all, as dealt with. The messages stay in the store.

    \b
      pgstore parked drop balances 1042 --yes
    """
    with call.connect() as session:
        what = "Everything" if position is None else f"The message at {position}"
        places = {row["global_position"] for row in session.rows(s.LIST_PARKED, [name])}
        if position is not None and position not in places:
            raise _not_parked(name, position)
        call.out.confirm(f"{what} that {name} has parked will never be handled.", yes=yes)
        count = session.value(s.DROP_PARKED, [name, position])
    call.out.done(f"{counted(count, 'message')} forgotten.", subscription=name, count=count)


def summary(
    rows: Sequence[Row], width: int, columns: Sequence[Column] = COLUMNS
) -> "Sequence[Text]":
    """The table of subscriptions, for views."""
    from rich.text import Text

    return table(rows, columns, width) if rows else [Text(_NONE)]


def _partitions(session: Session, name: str) -> list[Row]:
    session.value(s.SUBSCRIPTION_POSITION, [name])  # raises if there is none
    return list(session.rows(s.LIST_PARTITIONS, [name]))


def _place(to: str) -> tuple[int | None, datetime | None]:
    if to.isdecimal():
        return int(to), None
    try:
        return None, datetime.fromisoformat(to).astimezone()
    except ValueError:
        raise CommandError(f"neither a position nor a time: {to!r}", code=USAGE) from None


def _not_parked(name: str, position: int) -> CommandError:
    return CommandError(
        f"subscription {name} has parked no message at position {position}", code=NOT_FOUND
    )
