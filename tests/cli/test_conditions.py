"""Reads by a query, and writes on the condition that no further message has come."""

import json
from pathlib import Path
from typing import Any

import pytest

import pgstore
from tests.cli.conftest import Command

Store = pgstore.MessageStore[pgstore.RawMessage]

QUERY = json.dumps([{"tags": ["course:42"]}, {"tags": ["student:7"], "types": ["Enrolled"]}])


@pytest.fixture(autouse=True)
def tagged(store: Store) -> None:
    for stream, type, tags in (
        ("a-1", "Enrolled", ["course:42", "student:8"]),
        ("a-2", "Enrolled", ["course:41", "student:7"]),
        ("a-3", "Moved", ["student:7"]),
    ):
        store.write(stream, pgstore.RawMessage(type, b"{}"), tags=tags)


def found(run_here: Command, *options: str) -> tuple[list[str], str]:
    """The streams of the messages that the query looks for, and the token."""
    *rows, last = run_here("--json", "read", "--query", QUERY, *options).rows
    return [row["stream"] for row in rows], last["decided_upon"]


def test_read_by_a_query_prints_the_messages_and_the_token(store: Store, run_here: Command) -> None:
    query = [
        pgstore.QueryItem(tags=["course:42"]),
        pgstore.QueryItem(tags=["student:7"], types=["Enrolled"]),
    ]
    token = store.read_tagged(query).decided_upon
    assert found(run_here) == (["a-1", "a-2"], token)
    first = next(store.read("a-1")).global_position
    assert found(run_here, "--after", str(first)) == (["a-2"], token)
    shown = run_here("read", "--query", QUERY)
    assert (shown.code, shown.out.splitlines()[-1]) == (0, f"decided upon: {token}")
    assert "a-2" in shown.out
    none = run_here("read", "--query", '[{"tags": ["none"]}]')
    assert (none.out, none.err) == (f"decided upon: {token}\n", "There is no such message.\n")


@pytest.mark.parametrize("lines", [False, True])
def test_write_on_a_condition_is_refused_if_a_message_has_come(
    store: Store, run_here: Command, tmp_path: Path, lines: bool
) -> None:
    file = tmp_path / "lines"
    file.write_text(json.dumps({"type": "Enrolled", "tags": ["course:42"]}))
    options = ["--lines", f"@{file}"] if lines else ["Enrolled", "--tag", "course:42"]
    condition = ["--condition", QUERY, "--decided-upon", found(run_here)[1]]
    assert run_here("write", "b-1", *options, *condition).code == 0
    done = run_here("write", "b-2", *options, *condition)
    assert done.code == 3
    assert "a message of type Enrolled has come" in done.err
    assert "MS009" in done.err
    assert "decide again" in done.err
    assert (store.stream_version("b-1"), store.stream_version("b-2")) == (1, 0)
    condition = ["--condition", QUERY, "--decided-upon", found(run_here)[1]]
    assert run_here("write", "b-2", *options, *condition).code == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--condition", QUERY],
        ["--decided-upon", "1+"],
        ["--condition", QUERY, "--decided-upon", "1"],
        ["--condition", "no JSON", "--decided-upon", "1+"],
        ["--condition", '[{"types": ["A"]}]', "--decided-upon", "1+"],
    ],
)
def test_what_is_no_condition_is_refused(
    store: Store, run_here: Command, options: list[Any]
) -> None:
    assert run_here("write", "b-1", "A", *options).code == 2
    assert store.stream_version("b-1") == 0
