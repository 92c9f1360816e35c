"""Tags are exported and imported with their messages, and an import is seen by conditions."""

import json
from pathlib import Path
from typing import Any

import pytest

from pgstore import transfer
from pgstore.transfer import FileSource
from pgstore.transfer._format import _one_nested
from tests.transfer.conftest import ODD_TAGS, Place, fill
from tests.transfer.test_refused import message, refused_by_both, write_file


def tags_of(place: Place) -> list[list[str] | None]:
    return [row[-1] for row in place.content()]


@pytest.mark.parametrize("positions", ["keep", "new"])
def test_tags_come_back_as_they_were(
    old: Place, new: Place, file: Path, positions: transfer.Positions
) -> None:
    fill(old)
    old.export(file)
    new.take(file, batch_messages=5, positions=positions)
    assert new.content(positions=False) == old.content(positions=False)
    assert {len(tags or []) for tags in tags_of(new)} == {len(tags or []) for tags in ODD_TAGS}
    assert new.wrong() == {}
    found = new.query(
        "SELECT t.data::text FROM STORE.read_tagged(%s) AS t WHERE t.message_id IS NOT NULL",
        '[{"tags": ["line\\nbreak", "\\\\N"]}, {"tags": ["{a,b}"]}]',
    )
    assert len(found) == 6


def test_export_of_messages_without_tags_says_nothing_of_them(
    old: Place, new: Place, file: Path
) -> None:
    """So a file from before there were tags is one of these."""
    old.write("a-1")
    old.export(file)
    assert b"tags" not in file.read_bytes()
    new.take(file)
    assert tags_of(new) == [None]


def test_tags_are_brought_into_the_order_of_their_bytes(new: Place, file: Path) -> None:
    given: list[Any] = [["b", "a", "b"], [], None]
    write_file(file, [message(n, tags=tags) for n, tags in enumerate(given, 1)])
    assert transfer.check(new.conn, FileSource(file), store=new.name).stored == 0
    new.take(file)
    assert tags_of(new) == [["a", "b"], None, None]
    assert new.take(file).skipped == 3
    assert transfer.check(new.conn, FileSource(file), store=new.name).stored == 3
    assert new.wrong() == {}


BAD_TAGS = {
    "empty": ([""], "22023"),
    "null": (["a", None], "22023"),
    "a number": ([1], "22023"),
    "long": (["x" * 256], "22023"),
    "long in bytes": (["ä" * 128], "22023"),
    "very long": (["x" * 100_000], "22023"),
    "many": ([f"t:{n}" for n in range(33)], "22023"),
    "a string": ("a", "22023"),
    "an object": ({"a": "b"}, "22023"),
    "nested": ([["a"]], "22023"),
    "nested deep": ([[[["a"]]]], "22023"),
    "NUL": (["a\0b"], "22P05"),
}


@pytest.mark.parametrize("what", BAD_TAGS)
def test_bad_tags_are_refused_with_their_line(new: Place, file: Path, what: str) -> None:
    bad, sqlstate = BAD_TAGS[what]
    write_file(file, [message(1), message(2, tags=["a"]), message(3, tags=bad), message(4)])
    error = refused_by_both(new, file)
    assert (error.place, error.sqlstate) == (4, sqlstate)
    assert len(str(error)) < 300
    assert new.content() == []
    assert new.query("SELECT FROM STORE.message_tags") == []


def test_tags_of_a_line_that_is_nested_deep_are_kept() -> None:
    """Of such a line the nested values are taken out and put back."""
    tags = ["a{[", 'b"]', "c\\"]
    line = json.dumps(message(1, data=[[1]], metadata={"x": {}}, tags=tags)).encode()
    found = _one_nested(line, 1)
    assert json.loads(bytes(found.tags)) == tags
    assert json.loads(bytes(found.data)) == [[1]]
    assert json.loads(bytes(found.metadata)) == {"x": {}}


@pytest.mark.parametrize("other", [None, ["a"], ["a", "b", "c"], ["a", "B"]])
def test_same_message_with_other_tags_is_refused(
    new: Place, file: Path, other: list[str] | None
) -> None:
    write_file(file, [message(1, tags=["b", "a"])])
    new.take(file)
    write_file(file, [message(1, tags=["a", "b"])])
    assert new.take(file).skipped == 1
    write_file(file, [message(1, tags=other)])
    assert refused_by_both(new, file).sqlstate == "MS002"
