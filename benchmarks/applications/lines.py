"""Count the lines of each application, by section, and make the table of docs/choosing.md.

A comment `-- NAME` begins a section. Lines that are blank, a comment, or brackets alone are not
counted; those of imports are counted apart.
"""

import re
from collections import Counter

from benchmarks.agents import ROOT
from benchmarks.applications import APPLICATIONS, Application
from benchmarks.tables import table_of

PAGE = ROOT / "docs" / "choosing.md"

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
    """The applications side by side."""
    counts = [lines_of(app) for app in APPLICATIONS.values()]
    rows = [
        [title, *(str(count[section]) if count[section] else "" for count in counts)]
        for section, title in SECTIONS.items()
    ]
    sums = [sum(count[section] for section in SECTIONS) for count in counts]
    rows.append(["**together**", *(f"**{total}**" for total in sums)])
    rows.append(["imports", *(str(count[IMPORTS]) for count in counts)])
    return table_of(["lines of code", *(app.title for app in APPLICATIONS.values())], rows)
