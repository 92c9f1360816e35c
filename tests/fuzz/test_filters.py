"""Filters, as a program compares them with rows: what the server says of the same values."""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.rows import TupleRow

from pgstore._core.filters import Filter
from tests.fuzz.judging import fuzzed

Connection = psycopg.Connection[TupleRow]

# Texts of JSON: a number can be written in many ways, and a key can be there twice.
_NUMBERS = st.sampled_from(
    ["0", "-0", "1", "1.0", "10e-1", "0.1", "0.10", "0.1000000000000000055511151231257827"]
)
_SCALARS = _NUMBERS | st.sampled_from(
    ["null", "true", "false", '"1"', '""', '"a"', '"\\u0061"', "9007199254740993", "9e15", "1e400"]
)
_KEYS = st.sampled_from(['"a"', '"b"', '"\\u0061"'])


def _object(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(_KEYS, values).map(": ".join), max_size=3)
    return pairs.map(lambda each: "{" + ", ".join(each) + "}")


def _array(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda each: "[" + ", ".join(each) + "]")


_OBJECTS = _object(
    st.recursive(_SCALARS, lambda inner: _object(inner) | _array(inner), max_leaves=5)
)
_NAMES = st.text("ab-+%_\\.\n", max_size=6)


@pytest.fixture(scope="module")
def conn(server_conninfo: str) -> Iterator[Connection]:
    with psycopg.connect(server_conninfo, autocommit=True) as conn:
        yield conn


def admits(admitting: Filter, stream: str, metadata: str | None) -> bool:
    return admitting.admits([("id", stream, 1, 1, "A", "{}", metadata, None, None)])


@fuzzed(500)
@given(_OBJECTS | st.none(), _OBJECTS)
@example('{"a": 1}', '{"a": true}')
@example('{"a": [1, 2]}', '{"a": [2, 2]}')
@example('{"a": [[1, 2], 3]}', '{"a": [[2]]}')
@example('{"a": {"b": [1.0]}}', '{"a": {"b": [1]}}')
@example(None, "{}")
def test_metadata_contains_what_the_server_says(
    conn: Connection, stored: str | None, wanted: str
) -> None:
    ((found, contains),) = conn.execute(
        "SELECT g.stored::text, coalesce(g.stored @> %s::jsonb, false)"
        " FROM (SELECT %s::jsonb AS stored) AS g",
        [wanted, stored],
    )
    assert admits(Filter(metadata=wanted), "a-1", found) == contains


@fuzzed(200)
@given(_NAMES, _NAMES.filter(lambda text: (len(text) - len(text.rstrip("\\"))) % 2 == 0))
@example("a", "\\a")
@example("a\n", "a_")
def test_stream_is_like_a_pattern_as_the_server_says(
    conn: Connection, stream: str, pattern: str
) -> None:
    ((like,),) = conn.execute("SELECT %s::text LIKE %s", [stream, pattern])
    assert admits(Filter(stream_pattern=pattern), stream, None) == like
