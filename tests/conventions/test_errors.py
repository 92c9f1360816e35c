"""Error codes: raised in SQL, listed in sql/README.md, a class each in pgstore.errors."""

import re
from collections import Counter

import psycopg.errors

from pgstore import errors
from tests.conventions.sqlfiles import ALL, SQL

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
