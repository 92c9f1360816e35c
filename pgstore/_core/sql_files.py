"""The SQL files of the store, as both installers see them: in order, with checksums."""

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

# Comments, quoted names and texts, bodies of functions (whose END begins a line), the end of a
# statement: nothing else in these files can hold a semicolon.
_TOKEN = re.compile(
    r"""--[^\n]* | '[^']*' | "[^"]*" | \$(\w*)\$.*?\$\1\$ | \bBEGIN\ ATOMIC\b.*?^END; | ;""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)

ROOT = Path(__file__).parent.parent / "sql"


class Migration(NamedTuple):
    """A migration: its number, its name without `.sql`, its text and the text's SHA-256."""

    number: int
    name: str
    text: str
    checksum: str


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read(name: str) -> str:
    """Read a file of `sql/`."""
    return (ROOT / name).read_text(encoding="utf-8")


@functools.cache
def migrations() -> tuple[Migration, ...]:
    """The migrations in order; the last one's number is the schema version of this package."""
    found = []
    for path in sorted((ROOT / "migrations").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        found.append(Migration(int(path.stem[:4]), path.stem, text, _checksum(text)))
    return tuple(found)


def repeated_files() -> list[Path]:
    """The files applied by every installation and upgrade, in order."""
    return [
        ROOT / "repeat.sql",
        *sorted((ROOT / "functions").rglob("*.sql")),
        *sorted((ROOT / "views").glob("*.sql")),
        ROOT / "grants.sql",
    ]


@functools.cache
def repeated_sql() -> str:
    """The text of `repeated_files`."""
    return "".join(path.read_text(encoding="utf-8") for path in repeated_files())


def interface_functions() -> list[Path]:
    """The files of the functions of Message DB's interface, each named as its function."""
    return sorted((ROOT / "message_db/functions").glob("*.sql"))


def interface_views() -> list[Path]:
    """The files of its views, each named as its view, and after those that it reads."""
    return sorted((ROOT / "message_db/views").rglob("*.sql"))


def interface_files() -> list[Path]:
    """The files of Message DB's interface, in order: each of its installations applies them all."""
    folder = ROOT / "message_db"
    return [
        folder / "prepare.sql",
        *interface_functions(),
        *interface_views(),
        folder / "grants.sql",
        folder / "grant_objects.sql",
    ]


@functools.cache
def interface_sql() -> str:
    """The text of `interface_files`."""
    return "".join(path.read_text(encoding="utf-8") for path in interface_files())


@functools.cache
def interface_removal() -> str:
    """The statements of `message_db/remove.sql`, without psql's commands and its transaction."""
    text = read("message_db/remove.sql") + read("message_db/drop_objects.sql")
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("\\", "BEGIN ", "COMMIT;")))


@functools.lru_cache(maxsize=8)
def statements(script: str) -> tuple[str, ...]:
    """The statements of a script, as psql would send them one by one.

    Kept, as a program that tests installs many stores.
    """
    found, start = [], 0
    for token in _TOKEN.finditer(script):
        if token[0] == ";" or token[0].endswith("\nEND;"):
            found.append(script[start : token.end()].strip())
            start = token.end()
    return tuple(found)


@functools.cache
def checksums() -> dict[int, str]:
    """Checksums by number of migration; 0 stands for the repeated files.

    Those of the interface are among them, because an upgrade applies them where it stands.
    """
    repeated = _checksum(repeated_sql() + interface_sql())
    return {0: repeated} | {m.number: m.checksum for m in migrations()}


def manifest_lines() -> list[str]:
    """One JSON object for each row that an installation leaves in `migrations`."""
    names = {0: "functions, views and grants"} | {m.number: m.name for m in migrations()}
    return [
        json.dumps({"number": number, "name": names[number], "checksum": checksum})
        for number, checksum in checksums().items()
    ]


@functools.cache
def manifest() -> str:
    """The setting `pgstore.manifest` of an installation."""
    return f"[{','.join(manifest_lines())}]"
