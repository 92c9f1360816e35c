"""The filter by tags of `read`, `tail`, `refilter` and `subscriptions`."""

import pytest

import pgstore
from tests.cli.conftest import Command

Store = pgstore.MessageStore[pgstore.RawMessage]


@pytest.fixture(autouse=True)
def tagged(store: Store) -> None:
    for stream, tags in {"a-1": ["x"], "a-2": ["y", "x"], "a-3": ["y"]}.items():
        store.write(stream, pgstore.RawMessage("T", b"{}"), tags=tags)


@pytest.mark.parametrize("command", [["read", "--all"], ["tail"], ["read", "--category", "a"]])
def test_read_and_tail_choose_by_tags(run_here: Command, command: list[str]) -> None:
    def streams(*tags: str) -> list[str]:
        options = [each for tag in tags for each in ("--tag", tag)]
        return [row["stream"] for row in run_here("--json", *command, *options).rows]

    assert streams("x") == ["a-1", "a-2"]
    assert streams("x", "y") == ["a-2"]
    assert streams("x", "none") == []


def test_tags_go_with_a_read_across_streams(run_here: Command) -> None:
    assert run_here("read", "a-1", "--tag", "x").code == 2
    assert run_here("read", "--all", "--tag", "").code == 2


def test_refilter_and_subscriptions_tell_the_tags(store: Store, run_here: Command) -> None:
    store.subscription("s", category="a", tags=["x", "x"]).create()
    (row,) = run_here("--json", "subscriptions").rows
    assert (row["tags"], row["reads"]) == (["x"], "a; tags x")
    (done,) = run_here("--json", "refilter", "s", "--tag", "y", "--tag", "x", "--yes").rows
    assert done["tags"] == ["y", "x"]
    (row,) = run_here("--json", "subscriptions").rows
    assert (row["tags"], row["reads"]) == (["x", "y"], "everything; tags x, y")
