"""Write the tables of docs/reference/message-classes.md from tests/codec/shapes.py.

`python tools/message_classes.py` writes what becomes of a message of each shape; with `--check` it
writes nothing and exits 1 if the page differs. tests/codec compares the page too.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pgstore import embedded  # noqa: E402
from tests.codec.kinds import KINDS, AsJsonb, Outcome, outcome_of  # noqa: E402
from tests.codec.shapes import SHAPES, cases  # noqa: E402
from tests.codec.values import SEEN, VALUES  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "message-classes.md"

_TITLES = {
    "msgspec": "`Struct`",
    "dataclass": "dataclass",
    "attrs": "attrs",
    "pydantic": "pydantic",
}
_WORDS: dict[Outcome, str] = {
    "comes back": "yes",
    "refused by the store": "no class",
    "refused by the write": "no value",
}


def with_tables(page: str, as_jsonb: AsJsonb) -> str:
    """The page with its two tables as they are now."""
    found: dict[str, dict[str, str]] = {}
    for case in cases():
        cls, message = case.made()
        outcome, _ = outcome_of(cls, message, as_jsonb, SEEN.get(case.label))
        found.setdefault(case.label, {})[case.kind] = _WORDS[outcome]
    values, shapes = [row[0] for row in VALUES], [row[0] for row in SHAPES]
    tables = iter([_table("a field of", values, found), _table("a class with", shapes, found)])
    return re.sub(
        r"(?m)^\| a (?:field of|class with) .*\n(?:\|.*\n)+", lambda _: next(tables), page
    )


def _table(title: str, labels: Sequence[str], found: dict[str, dict[str, str]]) -> str:
    rows = [[title, *_TITLES.values()], ["---"] * (len(KINDS) + 1)]
    rows += [[label, *(found[label].get(kind, "-") for kind in KINDS)] for label in labels]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    check = parser.parse_args().check
    with embedded.Server() as server, psycopg.connect(server.conninfo, autocommit=True) as conn:

        def as_jsonb(text: str) -> str:
            ((back,),) = conn.execute("SELECT (%s::text)::jsonb::text", (text,)).fetchall()
            return str(back)

        page = PAGE.read_text()
        now = with_tables(page, as_jsonb)
    if now == page:
        return 0
    if check:
        print(f"{PAGE.relative_to(ROOT)} is out of date: run tools/message_classes.py")
        return 1
    PAGE.write_text(now)
    return 0


if __name__ == "__main__":
    sys.exit(main())
