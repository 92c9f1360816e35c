"""What can be told from the text of the SQL files."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.conventions.sqlfiles import (
    ALL,
    FUNCTIONS,
    INTERFACE,
    MIGRATIONS,
    SQL,
    code_of,
    function_of,
    name_of,
)

# The clauses of a function's header, one a line, in this order.
HEADER = [
    "RETURNS",
    "LANGUAGE",
    "IMMUTABLE|STABLE|VOLATILE",
    "STRICT",
    "LEAKPROOF",
    "PARALLEL",
    "SECURITY",
    "COST",
    "ROWS",
    "SET",
]

KEYWORDS = """
    add alter and as asc atomic begin between by case check column comment constraint create
    declare default delete desc distinct drop else elsif end exception execute exists for foreach
    from function grant group having if in insert into is join language loop not null on or order
    perform primary raise references return returning returns revoke security select set table
    then union unique update using values when where while with
"""

DEBUG = r"\bRAISE\s+(?:NOTICE|DEBUG|INFO|LOG)\b"
FORBIDDEN = {
    "a debug message": DEBUG,
    "WHEN OTHERS": r"\bWHEN\s+OTHERS\b",
    "DROP … CASCADE": r"\bDROP\b[^;]*\bCASCADE\b",
    "SELECT *": r"\bSELECT\s+\*",
    "a keyword in lower case": rf"(?<![.\w%])(?:{'|'.join(KEYWORDS.split())})\b",
    "a tab": r"\t",
    "an indentation that is not a multiple of 2": r"(?m)^(?:  )* (?=\S)",
}

# All but the generated ones.
WRITTEN = [path for path in ALL if path.name != "install.sql"]

EVERY_FUNCTION = [*FUNCTIONS, *INTERFACE]


def offenders(paths: Iterable[Path], wrong: Callable[[Path], object]) -> dict[str, object]:
    """The files of which something is wrong, each with what that is."""
    found = {name_of(path): wrong(path) for path in paths}
    assert found, "no file was looked at"
    return {name: what for name, what in found.items() if what}


def test_lines_are_short_and_end_cleanly() -> None:
    def wrong(path: Path) -> list[str]:
        text = path.read_text()
        lines = [line for line in text.splitlines() if len(line) > 100 or line != line.rstrip()]
        ends = text.endswith("\n") and not text.endswith("\n\n")
        return lines + ([] if ends else ["the end of the file"])

    assert offenders(WRITTEN, wrong) == {}


@pytest.mark.parametrize("pattern", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_forbidden_is_absent(pattern: str) -> None:
    def wrong(path: Path) -> list[tuple[int, str]]:
        code = re.sub(r"(?m)^\\.*", "", code_of(path))
        return [(code.count("\n", 0, m.start()) + 1, m[0]) for m in re.finditer(pattern, code)]

    assert offenders(WRITTEN, wrong) == {}


def test_file_holds_the_function_of_its_name() -> None:
    def wrong(path: Path) -> object:
        # Created twice where the body depends on the server's version.
        created = re.findall(r"\bCREATE\b.*?\bFUNCTION\s+([^\s(]+)", code_of(path))
        commented = re.findall(r"\bCOMMENT\s+ON\s+FUNCTION\s+([^\s(]+)", code_of(path))
        name = f"message_store.{path.stem}" if path in INTERFACE else path.stem
        is_right = {*created} == {name} and commented == [name]
        return None if is_right else {"created": created, "commented": commented}

    assert offenders(EVERY_FUNCTION, wrong) == {}


def test_no_function_is_overloaded() -> None:
    assert [name for name, n in Counter(path.stem for path in FUNCTIONS).items() if n > 1] == []


def test_parameters_stand_one_a_line() -> None:
    def wrong(path: Path) -> list[str]:
        lines = function_of(path)["parameters"].removesuffix(")").strip("\n").splitlines()
        return [
            # A quoted name is emptied.
            *(line for line in lines if not re.fullmatch(r"  (?:\w|'').*?", line)),
            *(line for line in lines[:-1] if not line.endswith(",")),
            *(line for line in lines if re.search(r", *\w+ +\w", line)),
        ]

    assert offenders(EVERY_FUNCTION, wrong) == {}


def test_header_is_complete_and_in_order() -> None:
    required = {HEADER.index(clause) for clause in ("LANGUAGE", HEADER[2], "PARALLEL")}

    def wrong(path: Path) -> list[str]:
        clauses = re.findall(r"(?m)^[A-Z]+", function_of(path)["header"])
        ranks = [
            next((rank for rank, names in enumerate(HEADER) if clause in names.split("|")), -1)
            for clause in clauses
        ]
        is_right = ranks == sorted(ranks) and -1 not in ranks and required <= {*ranks}
        return [] if is_right else clauses

    assert offenders(EVERY_FUNCTION, wrong) == {}


def test_plpgsql_prefers_columns() -> None:
    def wrong(path: Path) -> list[str]:
        function = function_of(path)
        if "LANGUAGE plpgsql" not in function["header"]:
            return [] if "LANGUAGE sql" in function["header"] else ["the language"]
        first = re.match(r"\s*\$(\w*)\$\n#variable_conflict use_column\n", function["body"])
        pinned = "SET search_path FROM CURRENT" in function["header"]
        return [*([] if first else ["#variable_conflict"]), *([] if pinned else ["search_path"])]

    assert offenders(EVERY_FUNCTION, wrong) == {}


def test_migration_says_whether_it_breaks_and_waits_for_locks_only_so_long() -> None:
    def wrong(path: Path) -> list[str]:
        says = re.match(r"-- breaking: (?:yes|no)\n", path.read_text())
        waits = re.search(r"\bSET LOCAL lock_timeout\b", code_of(path))
        return [*([] if says else ["-- breaking"]), *([] if waits else ["lock_timeout"])]

    assert offenders(MIGRATIONS, wrong) == {}


def test_needed_version_is_the_number_of_the_last_breaking_migration() -> None:
    breaking = [path for path in MIGRATIONS if path.read_text().startswith("-- breaking: yes\n")]
    (function,) = [path for path in FUNCTIONS if path.stem == "needed_version"]
    assert f"\nRETURN {int(breaking[-1].name[:4])};\n" in function.read_text()


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [path.name.split("_")[0] for path in MIGRATIONS]
    assert numbers == [f"{number:04}" for number in range(1, len(MIGRATIONS) + 1)]


def test_install_runs_every_file_once() -> None:
    """Those of Message DB's interface too, where it is wanted or stands."""
    run = re.findall(r"(?m)^\s*\\ir\s+(\S+)", (SQL / "install.sql").read_text())
    removal = {SQL / "message_db/remove.sql", SQL / "message_db/drop_objects.sql"}
    assert sorted(run) == sorted(name_of(path) for path in WRITTEN if path not in removal)


def test_readme_lists_every_area_and_every_function_that_has_no_file() -> None:
    """Frozen functions are made by migrations; migration 6 gave most of them their names."""
    text = (SQL / "functions/README.md").read_text()
    assert re.findall(r"(?m)^\| `(\w+)/` \|", text) == sorted(
        {path.parent.name for path in FUNCTIONS}
    )
    frozen = "".join(re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \|", text))
    made = "".join(path.read_text() for path in MIGRATIONS)
    created = {*re.findall(r"CREATE FUNCTION _?(\w+)\(", made)}
    named = {*re.findall(r"`_?(\w+)`", frozen)}
    assert named - created == {
        # Their names are in an array.
        *("stream_lock_class", "mark_lock_class", "bell_lock_class"),
        *("mark_setting", "wake_channel"),
    }
    assert named >= created


@pytest.mark.parametrize(
    "path", [path for path in FUNCTIONS if path.parent.name == "checks"], ids=name_of
)
def test_checks_only_refuse(path: Path) -> None:
    """They raise, or tell what is wrong; none is called for what it answers else."""
    assert path.stem.startswith("_")
    returns = re.search(r"(?m)^RETURNS (\w+)$", function_of(path)["header"])
    assert returns
    assert returns[1] == ("void" if path.stem.startswith("_refuse_") else returns[1])
    assert returns[1] in ("void", "boolean", "text")
    written = re.findall(r"\b(?:INSERT INTO|UPDATE|DELETE FROM)\s+\w+", code_of(path))
    # The row goes with the error that follows.
    assert written == (["INSERT INTO messages"] if path.stem == "_refuse_version" else [])


def test_what_only_refuses_is_among_the_checks() -> None:
    elsewhere = [path for path in FUNCTIONS if path.parent.name != "checks"]
    assert [path.stem for path in elsewhere if path.stem.startswith("_refuse_")] == []
