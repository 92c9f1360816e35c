"""Every SQL function for callers, with NULLs, extremes and hostile text in every argument."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import TupleRow

from tests.fuzz.judging import check_documented, fuzzed

Connection = psycopg.Connection[TupleRow]

_README = Path(__file__).parents[2] / "sql" / "README.md"
DOCUMENTED = set(re.findall(r"^\| ([0-9A-Z]{5}) \|", _README.read_text(), re.MULTILINE))

CALLABLE = """
SELECT p.proname, coalesce(p.proargnames, '{}'), ARRAY(
  SELECT format_type(t.oid, NULL)
  FROM unnest(p.proargtypes) WITH ORDINALITY AS a (oid, n) JOIN pg_type AS t ON t.oid = a.oid
  ORDER BY a.n
)
FROM pg_proc AS p
WHERE p.pronamespace = 'pgstore'::regnamespace
  AND NOT starts_with(p.proname, '_')
ORDER BY p.proname
"""


class Function(NamedTuple):
    name: str
    parameters: list[str]
    types: list[str]


_TEXT = [
    "",
    "x",
    "fuzz-1",
    "fuzz-2",
    "fuzz",
    "one",
    "Event",
    "-",
    "a-b+c",
    "%",
    "_",
    "\\",
    "a\\",
    "{}",
    "'; SELECT 1; --",
    '"',
    "a\nb",
    "\x01",
    "ä" * 600,
    "a" * 256,
    "a" * 1001,
    "public",
    "pg_catalog",
    "stream",
    "cardinal_id",
    "metadata:",
    "metadata:a",
    "stop",
    "park",
    "messages",
    "pgstore",
    "postgres",
    "infinity",
    "\u202e",
    "\U0010ffff",
    "a" * 100_000,
]
_BIGINT = [0, 1, 2, 5, -1, 2**31 - 1, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63), 10**12]
_JSON = [
    "{}",
    "null",
    "[]",
    "1",
    '"a"',
    '{"a": 1}',
    "1e400",
    '{"a": ' * 150 + "1" + "}" * 150,
    "9" * 6000,
    '{"metadata": null}',
    '"' + "a" * 100_000 + '"',
]
_UUID = ["00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001", "f" * 32]
_TIME = [
    "infinity",
    "-infinity",
    "epoch",
    "4713-01-01 BC",
    "294276-12-31 UTC",
    "2026-01-01 UTC",
    "now",
]
_INTERVAL = [
    "0",
    "1 second",
    "-1 second",
    "178000000 years",
    "-178000000 years",
    "1 month",
    "106751991 days",
    "0.000001 seconds",
    "1 year -365 days",
]
_DOUBLE = ["0", "30", "-1", "0.5", "1e-7", "1e-320", "1e308", "NaN", "Infinity", "-Infinity"]
VALUES: dict[str, list[Any]] = {
    "text": _TEXT,
    "bigint": _BIGINT,
    "double precision": _DOUBLE,
    "integer": [0, 1, -1, 2**31 - 1, -(2**31)],
    "jsonb": _JSON,
    "uuid": _UUID,
    "boolean": [True, False],
    "timestamp with time zone": _TIME,
    "interval": _INTERVAL,
    "name": ["", "x", "a" * 63],
    "regrole": ["postgres"],
}


def values(type: str) -> st.SearchStrategy[Any]:
    """Values of a type, as texts; an array of them as a list."""
    if type.endswith("[]"):
        each = values(type[:-2])
        of_two_dimensions = st.lists(st.tuples(each, each).map(list), min_size=1, max_size=2)
        return st.none() | st.lists(each, max_size=3) | of_two_dimensions
    of_type = st.sampled_from(VALUES[type]).map(str)
    if type == "text":
        of_type |= st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    return st.none() | of_type | of_type | of_type


@pytest.fixture(scope="module")
def conn(fuzz_conninfo: str) -> Iterator[Connection]:
    options = "-c statement_timeout=5s -c lock_timeout=2s"
    with psycopg.connect(fuzz_conninfo, autocommit=True, options=options) as conn:
        yield conn


@contextmanager
def undone(conn: Connection) -> Iterator[None]:
    with conn.transaction(force_rollback=True):
        yield


def test_every_function_raises_what_is_documented(conn: Connection) -> None:
    functions = [Function(*row) for row in conn.execute(CALLABLE)]
    assert len(functions) >= 70
    for function in functions:
        _fuzz(conn, function)


def _fuzz(conn: Connection, function: Function) -> None:
    arguments = sql.SQL(", ").join(
        sql.SQL("{} => {}::{}").format(sql.Identifier(name), sql.Placeholder(), sql.SQL(type))
        for name, type in zip(function.parameters, function.types, strict=False)
    )
    call = sql.SQL("SELECT count(*) FROM {}({}) AS a").format(
        sql.Identifier("pgstore", function.name), arguments
    )

    @fuzzed(15)
    @given(st.tuples(*map(values, function.types)))
    def check(given: tuple[Any, ...]) -> None:
        try:
            with undone(conn):
                conn.execute(call, given)
        except psycopg.Error as error:
            if error.sqlstate not in DOCUMENTED:
                error.add_note(f"{function.name}{given}")
                check_documented(error)

    check()
