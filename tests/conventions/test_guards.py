"""What functions that run as the owner have to do first."""

import re
from collections.abc import Iterator

from tests.conventions.sqlfiles import FUNCTIONS, INTERFACE, MIGRATIONS, SQL, function_of

_MADE = "".join(path.read_text() for path in [SQL / "prepare.sql", *MIGRATIONS])
TABLES = "|".join(
    re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", _MADE)
    + [path.stem for path in (SQL / "views").iterdir()]
)
NAMES = "|".join([path.stem for path in FUNCTIONS] + re.findall(r"CREATE FUNCTION (\w+)", _MADE))
CALL = re.compile(rf"(?<![\w.])(?:{NAMES}|\w+_lock_class)\(")
TABLE = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE|TABLE)\s+(?:{TABLES})\b")
TYPE = re.compile(rf"^  \w+ (?:{TABLES})\b")

DEFINERS = [
    path
    for path in [*FUNCTIONS, *INTERFACE]
    if "SECURITY DEFINER" in function_of(path)["header"]
    and "LANGUAGE plpgsql" in function_of(path)["header"]
]


def unguarded(body: str) -> Iterator[str]:
    """Statements, and types of variables, that name a table before anything calls the store."""
    declared, _, statements = body.partition("\nBEGIN\n")
    for declaration in declared.split(";"):
        line = declaration.strip("\n")
        if CALL.search(line):
            return
        if TYPE.search(line):
            yield line
    for statement in statements.split(";"):
        text = statement.strip("\n")
        always = text.startswith("  ") and not text.startswith("   ")
        head = re.split(r"\bTHEN\b", text)[0] if text.startswith("  IF ") else text
        if CALL.search(head):
            if always:
                return
        elif TABLE.search(text) and not CALL.search(text):
            yield text


def test_functions_of_the_owner_call_the_store_before_they_name_a_table() -> None:
    """In a schema that was renamed the call fails; the names would mean tables of the caller."""
    found = {}
    for path in DEFINERS:
        body = re.sub(r"(?s)^.*?(?=DECLARE\n|BEGIN\n)", "", function_of(path)["body"], count=1)
        body = body.removeprefix("DECLARE\n")
        found[path.stem] = [*unguarded(body if body.startswith("  ") else "\n" + body)]
    assert len(found) > 10
    assert {name: statements for name, statements in found.items() if statements} == {}


def test_functions_for_the_owner_and_administrators_ask_who_calls() -> None:
    """First of all: what comes before would be done for everybody in a store that is open."""
    code = {path.stem: path.read_text() for path in FUNCTIONS}
    kinds = dict(re.findall(r"WHEN '(\w+)' THEN (.*?\])", code["_granted_names"], re.DOTALL))
    lists = {kind: set(re.findall(r"'(\w+)'", text)) for kind, text in kinds.items()}
    own = (lists["admin"] & {*code}).difference(*(lists[kind] for kind in lists if kind != "admin"))
    owners = {"grant_access", "revoke_access", "repair_sequences"}
    guard = "\nBEGIN\n  PERFORM _refuse_stranger('{}');\n"
    asking = {name for name, text in code.items() if guard.format(name) in text}
    assert own | owners <= asking
    assert len(own) > 10
    declared = {name: code[name].partition("\nBEGIN\n")[0] for name in asking}
    assert [
        name for name, text in declared.items() if CALL.search(text.partition("DECLARE")[2])
    ] == []


def test_functions_that_run_as_the_owner_are_for_callers() -> None:
    """An internal one would be called directly in a store that is open."""
    internal = [path for path in DEFINERS if path.stem.startswith("_")]
    # The first one is a trigger's.
    assert [path.stem for path in internal if path in FUNCTIONS] == ["_keep_closed", "_may_lock"]


def test_interface_of_message_db_runs_as_its_caller() -> None:
    """The store's own grants decide; two functions do for the caller what its rights do not."""
    own = {path.stem: path.read_text() for path in DEFINERS if path in INTERFACE}
    # The one tells a position and a hash, and the other asks for the right to write first.
    assert {*own} == {"_category_range", "_refuse_write"}
    body = own["_refuse_write"].partition("\nBEGIN\n")[2]
    assert body.index("has_function_privilege(_acting_role()") < body.index("pg_advisory_xact_lock")
    views = [*(SQL / "message_db/views").glob("*.sql")]
    assert len(views) == 2
    for path in views:
        assert "\nWHERE message_store._reader_is_allowed();\n" in path.read_text()
