"""Count the lines of each application, by section, and make the table of docs/choosing.md.

A comment `-- NAME` begins a section. Lines that are blank, a comment, or brackets alone are not
counted; those of imports are counted apart.
"""

import re
from collections import Counter

from benchmarks.applications import APPLICATIONS, Application
from benchmarks.tables import table_of

IMPORTS, CHECK = "imports", "check"
SECTIONS = {
    "set up": "set up the store",
    "messages": "events",
    "order": "state and rules of an order",
    "commands": "commands, tried again after a conflict",
    "snapshots": "keep states",
    "old events": "read an event of a former shape",
    "metadata": "correlation and causation",
    "projection": "a table of the orders, each event once",
    "process manager": "request a parcel for a paid order, once",
    "deadline": "cancel an order that is unpaid after a day",
    "workers": "run the last three",
}

Cell = tuple[str, str]

NOTES: list[tuple[list[Cell], str]] = [
    (
        [("set up", "eventsourcing")],
        "Its settings are environment variables. The application's class opens the store.",
    ),
    (
        [("messages", "eventsourcing")],
        "Only one event is a class of its own, because its shape has changed. The decorated methods"
        " make the others.",
    ),
    (
        [("messages", "emmett")],
        "JavaScript needs no classes for events. In TypeScript their types stand here.",
    ),
    (
        [("commands", "depeche")],
        "The user writes the loop that tries again after a conflict.",
    ),
    (
        [("snapshots", "depeche")],
        "It is a cache of the process. The first load in each process reads the whole stream.",
    ),
    ([("snapshots", "emmett")], "It offers none. Each command reads the whole stream."),
    (
        [("old events", "depeche"), ("old events", "emmett")],
        "A function of the user recognises the former shape by its fields.",
    ),
    (
        [("projection", "eventsourcing")],
        "Each writer locks the table of events, which keeps them in order. So writers wait for one"
        " another.",
    ),
    (
        [("projection", "depeche")],
        "The subscription can miss an event whose transaction was open for longer than"
        " `lookback_for_gaps_hours`, by default 6.",
    ),
    (
        [("projection", "emmett")],
        "The subscription can [miss events](performance.md#order-across-streams) if several streams"
        " are written.",
    ),
    (
        [("process manager", "eventsourcing")],
        "The parcel is an event of a second application, with tables and an order of its own.",
    ),
    (
        [("process manager", "emmett")],
        "The parcel commits before the checkpoint. After a crash between the two the event comes"
        " again, so the function reads the parcel's stream first.",
    ),
    (
        [("deadline", name) for name in ("eventsourcing", "depeche", "emmett")],
        "There are no deadlines in the store. The user keeps a table of them, and calls a function"
        " every minute. The cancellation commits before the deadline is deleted; the rule refuses a"
        " second one.",
    ),
    (
        [("workers", "emmett")],
        "Each subscription has a consumer of its own. In a common one, an event whose handler"
        " raises an error never comes again, unless the other handler fails too. A consumer whose"
        " handlers fail ends without an error.",
    ),
]
"""What the numbers of some cells do not say."""


def lines_of(app: Application) -> Counter[str]:
    """How many lines of code each section of an application has."""
    return counted(app.path.read_text(), comment="//" if app.path.suffix == ".mjs" else "#")


def counted(text: str, comment: str = "#") -> Counter[str]:
    """The lines of code of each section; ValueError for code before the first one, and its name."""
    found: Counter[str] = Counter()
    section, importing = "", ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith(f"{comment} -- "):
            section = line.removeprefix(f"{comment} -- ")
            if section not in (*SECTIONS, CHECK):
                raise ValueError(f"there is no section {section!r}")
        elif importing or re.match(r"(?:import|from) ", line):
            importing += line
            found[IMPORTS] += is_code(line, comment)
            if len(re.findall(r"[({]", importing)) == len(re.findall(r"[)}]", importing)):
                importing = ""
        elif is_code(line, comment):
            if not section:
                raise ValueError(f"{line!r} is in no section")
            found[section] += 1
    return found


def is_code(line: str, comment: str) -> bool:
    return not line.startswith((comment, '"""')) and bool(line.strip("()[]{},; "))


def lines_table() -> str:
    """The applications side by side, and what their numbers do not say."""
    counts = {name: lines_of(app) for name, app in APPLICATIONS.items()}
    numbers = {cell: number for number, (cells, _) in enumerate(NOTES, 1) for cell in cells}

    def cell(section: str, name: str) -> str:
        lines, number = counts[name][section] or "none", numbers.get((section, name))
        return f"{lines} ({number})" if number else f"{lines}"

    rows = [[title, *(cell(key, name) for name in counts)] for key, title in SECTIONS.items()]
    sums = [sum(count[section] for section in SECTIONS) for count in counts.values()]
    rows.append(["**together**", *(f"**{total}**" for total in sums)])
    rows.append(["imports", *(str(count[IMPORTS]) for count in counts.values())])
    table = table_of(["lines of code", *(app.title for app in APPLICATIONS.values())], rows)
    notes = (f"{number}. {text}" for number, (_, text) in enumerate(NOTES, 1))
    return "\n".join([table, "", *notes])
