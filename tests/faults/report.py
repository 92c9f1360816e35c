"""The file of results, docs/reliability.json, and the tables of docs/reliability.md made of it."""

import re
from pathlib import Path

import msgspec

from pgstore._core.files import write_whole
from tests import attempts
from tests.faults.catalogue import FAULTS
from tests.faults.counts import WRONG, Counts

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "reliability.md"

_MARKER = re.compile(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", re.DOTALL)


class Result(msgspec.Struct, kw_only=True):
    """A fault's counts, and when and with what they were counted."""

    at: str
    """UTC, to the minute."""
    seconds: float
    postgres: str
    counts: Counts


Results = dict[str, Result]


def read() -> Results:
    """The committed results, by fault."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Results) if RESULTS.exists() else {}


def write(results: Results, path: Path = RESULTS) -> None:
    ordered = {name: results[name] for name in FAULTS if name in results}
    write_whole(path, msgspec.json.format(msgspec.json.encode(ordered), indent=1).decode() + "\n")


def filled(page: str, results: Results) -> str:
    """The page with its tables made anew."""
    parts = {
        "faults": _faults(results),
        "figures": _figures(results),
        "runs": _runs(results),
        "attempts": table(["role", *attempts.GROUPS.values()], attempts.rows()),
        "ways": "\n".join(f"- {way};" for way in attempts.WAYS.values())[:-1] + ".",
    }
    return _MARKER.sub(
        lambda found: f"<!-- {found[1]} -->\n\n{parts[found[1]]}\n\n<!-- /{found[1]} -->", page
    )


def happened(counts: Counts) -> str:
    """What came of it, in a sentence."""
    said = [f"{count:,} {name}" for name, count in counts.noted.items()]
    if counts.acknowledged:
        said.insert(0, f"{counts.acknowledged:,} messages acknowledged")
    wrong = [f"**{count:,} {name}**" for name, count in counts.wrong.items()]
    return f"{', '.join(said)}: {', '.join(wrong) or 'promise kept'}"


def _faults(results: Results) -> str:
    rows = [
        [
            FAULTS[name].done,
            f"{result.counts.rounds:,}",
            FAULTS[name].promise,
            happened(result.counts),
            f"`python -m tests.faults {name} --rounds {result.counts.rounds}`",
        ]
        for name, result in results.items()
    ]
    return table(["fault", "tried", "promised", "what happened", "again"], rows)


def _figures(results: Results) -> str:
    rows = [
        [
            name,
            *(f"{getattr(result.counts, kind):,}" for kind in ("rounds", "acknowledged", *WRONG)),
            f"{result.counts.slowest:.1f}",
        ]
        for name, result in results.items()
    ]
    return table(["fault", "rounds", "acknowledged", *WRONG, "back after, s"], rows)


def _runs(results: Results) -> str:
    rows = [
        [name, result.at, f"{result.seconds:,.0f}", result.postgres]
        for name, result in results.items()
    ]
    return table(["fault", "begun (UTC)", "seconds", "PostgreSQL"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
