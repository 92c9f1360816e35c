"""The SQL files as text: where they are and how one is cut up."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SQL = ROOT / "sql"

ALL = sorted(path for path in SQL.rglob("*.sql") if path.is_file())
FUNCTIONS = [path for path in ALL if path.is_relative_to(SQL / "functions")]
# Those of Message DB's interface, in the schema message_store.
INTERFACE = [path for path in ALL if path.is_relative_to(SQL / "message_db/functions")]
MIGRATIONS = [path for path in ALL if path.is_relative_to(SQL / "migrations")]

# Comments, the text of COMMENT ON, strings and quoted names: no code in there.
NO_CODE = re.compile(
    r"""--[^\n]*|/\*.*?\*/|\bIS\s+\$\$.*?\$\$|'(?:[^']|'')*'|"[^"]*\"""", re.DOTALL
)

FUNCTION = re.compile(
    r"""(?msx)
    ^CREATE\ OR\ REPLACE\ FUNCTION\ (?:message_store\.)?(?P<name>\w+)
    \((?P<parameters>\) | .*?^\))
    (?P<header>.*?)
    ^(?:AS|RETURN|BEGIN\ ATOMIC)\b
    (?P<body>.*)
    """
)


def name_of(path: Path) -> str:
    return path.relative_to(SQL).as_posix()


def code_of(path: Path) -> str:
    """Return the file's code, with every line and its indentation as they were."""

    def emptied(match: re.Match[str]) -> str:
        quotes = "''" if match.group()[0] in "'\"" else ""
        return quotes + "\n" * match.group().count("\n")

    return NO_CODE.sub(emptied, path.read_text())


def function_of(path: Path) -> re.Match[str]:
    """Cut the file's function into name, parameters, header and body."""
    match = FUNCTION.search(code_of(path))
    assert match, "no function in the house style: CREATE OR REPLACE FUNCTION name(…"
    return match
