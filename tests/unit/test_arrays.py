"""Arrays in binary form: the bytes that psycopg makes of a list, element by element."""

from uuid import UUID

import pytest
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.json import Jsonb

from pgstore._core.arrays import Array, JsonArray, TextArray, UuidArray

LONG = "x" * 70_000
IDS = [UUID(int=0), UUID(int=2**128 - 1), UUID("01234567-89ab-7def-8123-456789abcdef")]


def by_psycopg(values: list[object]) -> tuple[int, bytes]:
    dumper = Transformer().get_dumper(values, PyFormat.BINARY)
    return dumper.oid, bytes(dumper.dump(values) or b"")


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (TextArray([b"A"]), ["A"]),
        (TextArray([b"A", b"B", b"C"]), ["A", "B", "C"]),
        (TextArray(["ä".encode(), b"", LONG.encode(), b"A"]), ["ä", "", LONG, "A"]),
        (JsonArray((b"1", b'"ab"', b"[]")), [Jsonb(1), Jsonb("ab"), Jsonb([])]),
        (JsonArray([None, b"{}", None]), [None, Jsonb({}), None]),
        (UuidArray([each.bytes for each in IDS]), list(IDS)),
    ],
    ids=["one", "same lengths", "lengths", "json", "nulls", "ids"],
)
def test_an_array_is_packed_as_psycopg_packs_it(array: Array, values: list[object]) -> None:
    assert (array.oid, array.packed("utf-8")) == by_psycopg(values)


def test_an_array_of_nulls_alone_is_packed_too() -> None:
    packed = JsonArray([None, None]).packed("utf-8")
    assert packed[20:] == b"\xff\xff\xff\xff" * 2
    assert packed[4:8] == b"\0\0\0\1"  # it has NULLs


def test_texts_are_in_the_encoding_of_the_connection() -> None:
    texts = ["ä".encode(), b"ab", None]
    for array in (TextArray(texts[:2]), JsonArray(texts)):
        assert array.packed("latin1").count(b"\xe4") == 1
        assert array.packed("utf-8") == array.packed("ascii")  # of which psycopg knows no encoding
    assert UuidArray([b"\xe4" * 16]).packed("latin1").endswith(b"\xe4" * 16)
    with pytest.raises(UnicodeEncodeError):
        JsonArray(["€".encode()]).packed("latin1")
