"""The tables of conditional appends in docs/performance.md."""

from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.figures import Figure
from benchmarks.plots import number
from benchmarks.record import Record
from benchmarks.tables import one_line, table_of

RESULTS = Path(__file__).parents[1] / "results" / "conditions.json"

TITLES = {
    "raw": "limit: one `INSERT` a transaction",
    "before": "`write_message` of the version before tags",
    "untagged": "**`write_message`, no tags**",
    "tag": "**`write_message`, 1 tag**",
    "tags": "**`write_message`, 2 tags**",
    "condition": "**`write_message`, 1 tag, a condition of 1 item**",
    "conditions": "**`write_message`, 2 tags, a condition of 2 items**",
    "conditional": "**`write_if`, 1 tag, a condition of 1 item**",
    "decide": "**decisions: `read_tagged`, then `write_if`**",
    "compete": "**decisions, all clients at the same tag**",
    "eventsourcing/tag": "eventsourcing: append, 1 tag",
    "eventsourcing/conditional": "eventsourcing: append, 1 tag, a condition of 1 item",
    "eventsourcing/decide": "eventsourcing: decisions",
    "eventsourcing/compete": "eventsourcing: decisions, all clients at the same tag",
    "umadb/tag": "UmaDB: append, 1 tag",
    "umadb/conditional": "UmaDB: append, 1 tag, a condition of 1 item",
    "umadb/decide": "UmaDB: decisions",
    "umadb/compete": "UmaDB: decisions, all clients at the same tag",
}


class Target(msgspec.Struct, frozen=True):
    """What one way is to reach, as a share of another's rate; no bound: for comparison."""

    what: str
    against: str
    mine: str
    other: str
    bound: float | None = None
    relation: Literal["≥", ">"] = "≥"


TARGETS = (
    Target("Untagged writes", "before tags", "untagged", "before", 0.98),
    Target("Writes with 1 tag", "untagged", "tag", "untagged", 0.8),
    Target("Writes with 2 tags", "untagged", "tags", "untagged", 0.8),
    Target("`write_message` with a condition", "untagged", "condition", "untagged", 0.6),
    Target("`write_message`, 2 items", "untagged", "conditions", "untagged", 0.6),
    Target("`write_if`", "untagged", "conditional", "untagged", 0.6),
    *(
        Target(what, peer, way, f"{key}/{way}", bound, ">")
        for key, peer, bound in (("eventsourcing", "eventsourcing", 1.0), ("umadb", "UmaDB", None))
        for what, way in (
            ("Appends with 1 tag", "tag"),
            ("Appends with a condition", "conditional"),
            ("Decisions", "decide"),
            ("Decisions at the same tag", "compete"),
        )
    ),
)


def key_of(messages: int, clients: int) -> str:
    return f"conditions/{messages}/{clients}"


def pair_key(messages: int, clients: int) -> str:
    return f"{key_of(messages, clients)}/before"


def conditions_part() -> str:
    """The tables, if there are results."""
    return conditions_tables(Record.read(RESULTS)) if RESULTS.exists() else "Not measured yet."


def conditions_tables(record: Record) -> str:
    figures = [each for each in record.figures if not each.key.endswith("/before")]
    run = record.runs["conditions"]
    version = ", ".join(
        f"{name} {record.versions[name]}"
        for name in ("PostgreSQL", "psycopg", "eventsourcing", "umadb")
        if name in record.versions
    )
    parts = [
        rates_table(figures),
        "The shares are the medians of the rounds' own shares:",
        shares_table(record, figures),
        f"`{run.command}`, {run.at}, {run.seconds / 60:.0f} minutes; {version}.",
    ]
    if record.missing:
        missing = (f"- {name}: {one_line(reason)}" for name, reason in record.missing.items())
        parts.append("Not measured, or not to the end:\n\n" + "\n".join(missing))
    return "\n\n".join(parts)


def rates_table(figures: list[Figure]) -> str:
    """The median rate of each way, a column for each size and number of clients."""
    rows = []
    for way, title in TITLES.items():
        cells = [number(each.median(way)) if way in each.rounds else "" for each in figures]
        if any(cells):
            rows.append([title, *cells])
    return table_of(["a second", *map(heading, figures)], rows)


def shares_table(record: Record, figures: list[Figure]) -> str:
    rows = []
    for target in TARGETS:
        shares = [share(record, each, target) for each in figures]
        measured = [each for each in shares if each is not None]
        if not measured:
            continue
        cells = ["" if each is None else f"{each:.2f}" for each in shares]
        if target.bound is None:
            bound = met = ""
        else:
            bound = f"{target.relation} {target.bound:g}"
            met = "yes" if all(is_met(target, each) for each in measured) else "**no**"
        rows.append([target.what, target.against, bound, *cells, met])
    return table_of(["", "against", "target", *map(heading, figures), "met"], rows)


def share(record: Record, figure: Figure, target: Target) -> float | None:
    """The median of the rounds' shares; of turns one right after the other, if there are any."""
    if target.other == "before":
        figure = record.figure(f"{figure.key}/before") or figure
    if {target.mine, target.other} <= figure.rounds.keys():
        return figure.times(target.mine, target.other)
    return None


def is_met(target: Target, value: float) -> bool:
    bound = target.bound or 0.0
    return value > bound if target.relation == ">" else value >= bound


def heading(figure: Figure) -> str:
    _, messages, clients = figure.key.split("/")
    return f"{int(messages):,} messages, {clients} client{'' if clients == '1' else 's'}"
