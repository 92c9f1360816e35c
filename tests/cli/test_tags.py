"""Tags in what is written, shown and redacted."""

import json
from pathlib import Path

import pgstore
from tests.cli.conftest import Command

Store = pgstore.MessageStore[pgstore.RawMessage]


def test_written_tags_are_shown_wherever_a_message_is(store: Store, run_here: Command) -> None:
    tags = ["course:42", "with space", "ä\n"]
    options = [word for tag in reversed(tags) for word in ("--tag", tag)]
    assert run_here("write", "enrolment-1", "Enrolled", *options).code == 0
    (stored,) = store.read("enrolment-1")
    assert stored.tags == tuple(tags)
    for command in (
        ("read", "enrolment-1"),
        ("read", "--category", "enrolment"),
        ("tail", "-n", "1"),
        ("message", str(stored.message_id)),
    ):
        assert run_here("--json", *command).rows[-1]["tags"] == tags, command
    assert "course:42, with space, ä\\n" in run_here("read", "enrolment-1").out
    assert "tags" not in run_here("read", "account-1").out


def test_lines_have_tags_of_their_own(store: Store, run_here: Command, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    objects: list[dict[str, object]] = [
        {"type": "A", "tags": ["b", "a"], "metadata": {"by": "me"}},
        {"type": "B", "tags": None, "metadata": None},
        {"type": "C", "tags": []},
    ]
    lines.write_text("\n".join(map(json.dumps, objects)))
    assert run_here("write", "b-1", "--lines", f"@{lines}").code == 0
    assert [each.tags for each in store.read("b-1")] == [("a", "b"), (), ()]
    assert [each.metadata for each in store.read("b-1")] == [{"by": "me"}, None, None]
    done = run_here("write", "b-1", "--lines", f"@{lines}", "--tag", "c")
    assert (done.code, "tags are in the lines" in done.err) == (2, True)


def test_bad_tags_are_refused(store: Store, run_here: Command, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text('{"type": "A", "tags": [1]}')
    assert run_here("write", "b-1", "--lines", f"@{lines}").code == 2
    for tag in ("", "x" * 256):
        assert run_here("write", "b-1", "A", "--tag", tag).code == 2
    assert store.stream_version("b-1") == 0


def test_redact_removes_tags(store: Store, run_here: Command) -> None:
    run_here("write", "b-1", "A", "--tag", "email:a@example.org", "--tag", "user:7")
    message_id = str(next(store.read("b-1")).message_id)
    redact = ["redact", message_id, "--reason", "asked", "--yes"]
    assert run_here(*redact, "--remove-tag", "email:none").code == 2
    assert run_here(*redact, "--remove-tag", "email:a@example.org").code == 0
    (stored,) = store.read("b-1")
    assert (stored.tags, stored.message.data) == (("user:7",), b"null")
