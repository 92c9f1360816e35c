"""Error codes: raised in SQL, listed in sql/README.md, a class each in pgstore.errors."""

import re
from collections import Counter

import psycopg.errors

from pgstore import errors
from tests.conventions.sqlfiles import ALL, INTERFACE, SQL

CLASSES: dict[str, type[psycopg.Error]] = {
    vars(cls)["sqlstate"]: cls
    for cls in vars(errors).values()
    if isinstance(cls, type)
    and issubclass(cls, psycopg.Error)
    and re.fullmatch("MS...", vars(cls).get("sqlstate") or "")
}


def raised() -> set[str]:
    text = "".join(path.read_text() for path in ALL)
    return set(re.findall(r"'(MS[0-9A-Z]{3})'", text))


def test_every_code_has_one_row_in_the_table() -> None:
    text = (SQL / "README.md").read_text()
    rows = Counter(re.findall(r"(?m)^\| *`?(MS[0-9A-Z]{3})`? *\|", text))
    assert rows == dict.fromkeys(raised(), 1)


def test_every_code_has_one_class() -> None:
    assert {*CLASSES} == raised()


def test_psycopg_raises_the_class_by_itself() -> None:
    assert {code: psycopg.errors.lookup(code) for code in CLASSES} == CLASSES


# The conditions that are raised by name, by their codes.
NAMES = {
    "serialization_failure": "40001",
    "insufficient_privilege": "42501",
    "duplicate_schema": "42P06",
    "invalid_schema_name": "3F000",
    "object_not_in_prerequisite_state": "55000",
    "object_in_use": "55006",
    "lock_not_available": "55P03",
    "read_only_sql_transaction": "25006",
}


def keys_raised() -> set[tuple[str, frozenset[str]]]:
    """Each code that is raised outside of _refuse_argument, with the keys of its DETAIL."""
    found = set()
    # Those of Message DB's interface are Message DB's: tests/message_db compares them.
    for path in (path for path in ALL if path not in INTERFACE):
        for error in re.findall(r"RAISE EXCEPTION USING(.*?;\n)", path.read_text(), re.DOTALL):
            code = re.search(r"ERRCODE = '(\w+)'", error)
            assert code is not None, path
            detail = re.search(
                r"DETAIL = json_build_object\((.*?)\)(?:::text)?\s*(?:;|,\s*HINT)", error, re.DOTALL
            )
            keys = re.findall(r"(?:^|,)\s*'(\w+)'(?=,)", detail[1]) if detail else []
            found.add((NAMES.get(code[1], code[1]), frozenset(keys)))
    return {(code, keys) for code, keys in found if code != "invalid_parameter_value"}


def test_every_detail_is_as_the_table_says() -> None:
    documented: set[tuple[str, frozenset[str]]] = set()
    for code, text in re.findall(
        r"(?m)^\| (\w{5}) \|.*\| ([^|]*)\|$", (SQL / "README.md").read_text()
    ):
        always, _, imports = text.partition("; in an import ")
        keys = [frozenset(re.findall(r"`(\w+)`", part)) for part in always.split(" or ")]
        documented.update((code, each) for each in keys)
        if imports:
            documented.add((code, keys[0] | frozenset(re.findall(r"`(\w+)`", imports))))
    # Internal: retention undoes what it did, and waits.
    assert keys_raised() - {("55006", frozenset())} <= documented
    assert {each for each in documented if each[0].startswith("MS")} <= keys_raised()
