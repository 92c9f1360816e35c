"""`write`, `read`, `tail` and `message`."""

import io
import json
import sys
from pathlib import Path
from uuid import uuid4

import pytest

import pgstore
from tests.cli.conftest import Command

Store = pgstore.MessageStore[pgstore.RawMessage]


def test_write_appends_and_tells_the_version_and_position(store: Store, run_here: Command) -> None:
    done = run_here("write", "account-1", "Deposited", '{"amount": 1.10}')
    assert (done.code, done.out) == (
        0,
        "account-1 is at version 4: Deposited at position 5.\n",
    )
    last = store.last("account-1")
    assert last is not None
    assert last.message.data == b'{"amount": 1.10}'


def test_write_as_json_is_a_document(store: Store, run_here: Command) -> None:
    done = run_here("--json", "write", "new-1", "Opened")
    assert done.rows == [{"stream": "new-1", "version": 1, "global_position": 5}]


def test_write_at_another_version_exits_with_3_and_the_hint(
    store: Store, run_here: Command
) -> None:
    done = run_here("write", "account-1", "Deposited", "{}", "--expected-version", "2")
    assert done.code == 3
    error, hint = done.err.splitlines()
    assert error.endswith("(MS001)")
    assert hint.startswith("hint: ")
    assert store.stream_version("account-1") == 3


def test_write_takes_metadata_and_an_id_and_stores_a_repetition_once(
    store: Store, run_here: Command
) -> None:
    message_id = uuid4()
    arguments = ("write", "a-1", "T", "{}", "--metadata", '{"by": "me"}')
    for _ in range(2):
        assert run_here(*arguments, "--message-id", str(message_id)).code == 0
    assert store.stream_version("a-1") == 1
    assert store.get(message_id).metadata == {"by": "me"}


def test_write_reads_a_file_and_standard_input(
    store: Store, run_here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.json").write_text('{"from": "file"}')
    assert run_here("write", "a-1", "T", f"@{tmp_path / 'data.json'}").code == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"from": "stdin"}')))
    assert run_here("write", "a-1", "T", "-").code == 0
    assert [json.loads(each.message.data)["from"] for each in store.read("a-1")] == [
        "file",
        "stdin",
    ]
    assert run_here("write", "a-1", "T", f"@{tmp_path / 'none'}").code == 1


def test_write_lines_writes_all_or_none(store: Store, run_here: Command, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text('{"n": 1}\n\n{"n": 2.50}\n')
    assert run_here("write", "a-1", "T", f"@{lines}", "--lines").code == 0
    assert [each.message.data for each in store.read("a-1")] == [b'{"n": 1}', b'{"n": 2.50}']

    message_id = str(uuid4())
    lines.write_text(
        json.dumps(
            {"type": "A", "data": {"n": 1}, "metadata": {"k": "v"}, "message_id": message_id}
        )
        + '\n{"type": "B"}\n'
    )
    # The fourth position holds DATA, so TYPE has to be left out.
    done = run_here("write", "b-1", "--lines", "--expected-version", "0", "T", f"@{lines}")
    assert done.code == 0  # with TYPE, a line is the data
    assert json.loads(next(store.read("b-1")).message.data)["type"] == "A"

    lines.write_text('{"n": 1}\nnot json\n')
    done = run_here("write", "c-1", "T", f"@{lines}", "--lines")
    assert (done.code, done.err.partition(":")[2][:8]) == (2, " line 2:")
    assert store.stream_version("c-1") == 0


def test_write_lines_without_a_type_takes_objects_from_standard_input(
    store: Store, run_here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = uuid4()
    lines = f'{{"type": "A", "data": [1], "message_id": "{message_id}"}}\n{{"type": "B"}}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert run_here("write", "b-1", "--lines", "--any-json").code == 0
    first, second = store.read("b-1")
    assert (first.message, first.message_id) == (pgstore.RawMessage("A", b"[1]"), message_id)
    assert second.message == pgstore.RawMessage("B", b"{}")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"type": "C"}')))
    assert run_here("write", "c-1", "-", "--lines").code == 0  # the minus is DATA, not TYPE
    assert [each.message.type for each in store.read("c-1")] == ["C"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("a-1",),
        ("a-1", "T", "not json"),
        ("a-1", "T", "not json", "--any-json"),
        ("a-1", "T", "{}", "--metadata", "[]"),
        ("a-1", "T", "{}", "--expected-version", "-1"),
        ("a-1", "T", "{}", "--lines", "--metadata", "{}"),
        ("", "T"),
    ],
)
def test_write_refuses_wrong_arguments_with_2(
    arguments: tuple[str, ...], store: Store, run_here: Command
) -> None:
    done = run_here("write", *arguments)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_write_of_what_is_no_object_asks_for_any_json(
    store: Store, run_here: Command, tmp_path: Path
) -> None:
    for data in ("5", " [1]", '"text"', "null", "hallo", ""):
        done = run_here("write", "a-1", "T", "--", data)
        assert (done.code, done.out) == (2, "")
        assert f"DATA is no JSON object: {data!r}" in done.err
        assert "--any-json" in done.err
    lines = tmp_path / "lines"
    lines.write_text('{"n": 1}\n5\n')
    assert "DATA of message 2" in run_here("write", "a-1", "T", f"@{lines}", "--lines").err
    lines.write_text('{"type": "T"}\n{"type": "T", "data": [1]}\n')
    assert "DATA of message 2" in run_here("write", "a-1", f"@{lines}", "--lines").err
    assert store.stream_version("a-1") == 0
    assert run_here("write", "a-1", "T", "--any-json", "--", "-5").code == 0
    assert run_here("write", "a-1", "T", ' \n{"n": 1}').code == 0
    assert [each.message.data for each in store.read("a-1")] == [b"-5", b'{"n": 1}']


def test_write_to_a_missing_store_says_install_and_create_makes_it(run_here: Command) -> None:
    done = run_here("write", "a-1", "T")
    assert done.code == 6
    assert "pgstore install" in done.err
    assert run_here("write", "a-1", "T", "--create").code == 0


def test_read_a_stream_from_a_version_backward_and_limited(store: Store, run_here: Command) -> None:
    def versions(*arguments: str) -> list[int]:
        rows = run_here("read", "account-1", "--json", *arguments).rows
        return [row["version"] for row in rows]

    assert versions() == [1, 2, 3]
    assert versions("--from-version", "2") == [2, 3]
    assert versions("--backward", "--max-count", "2") == [3, 2]
    assert versions("--max-count", "0") == []


def test_read_as_json_is_what_is_stored(store: Store, run_here: Command) -> None:
    stored = next(store.read("account-2"))
    (row,) = run_here("read", "account-2", "--json").rows
    assert row == {
        "message_id": str(stored.message_id),
        "stream": "account-2",
        "version": 1,
        "global_position": 4,
        "type": "Opened",
        "data": {"owner": "Ada"},
        "metadata": None,
        "added_at": stored.added_at.isoformat().replace("+00:00", "Z"),
        "tags": [],
    }
    store.write("tagged-1", pgstore.RawMessage("A", b"{}"), tags=["b", "a"])
    (row,) = run_here("read", "tagged-1", "--json").rows
    assert row["tags"] == ["a", "b"]


def test_read_across_streams_by_category_type_and_position(store: Store, run_here: Command) -> None:
    store.write("order-1", pgstore.RawMessage("Placed", b"{}"))

    def positions(*arguments: str) -> list[int]:
        return [row["global_position"] for row in run_here("--json", "read", *arguments).rows]

    assert positions("--all") == [1, 2, 3, 4, 5]
    assert positions("--category", "account", "--after", "2") == [3, 4]
    assert positions("--category", "order", "--category", "account", "--max-count", "1") == [1]
    assert positions("--all", "--type", "Opened", "--type", "Placed") == [4, 5]


def test_read_long_streams_page_by_page(store: Store, run_here: Command) -> None:
    store.write_many("long-1", [pgstore.RawMessage("T", b"{}")] * 2500)
    rows = run_here("read", "long-1", "--json").rows
    assert [row["version"] for row in rows] == list(range(1, 2501))
    assert len(run_here("read", "--category", "long", "--json").rows) == 2500
    assert len(run_here("read", "long-1", "--max-count", "1500", "--json").rows) == 1500
    table = run_here("read", "long-1").out.splitlines()
    assert table[-1].split()[0] == "2500"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("account-1", "--all"),
        ("--all", "--category", "account"),
        ("account-1", "--type", "Opened"),
        ("account-1", "--after", "1"),
        ("--all", "--backward"),
        ("--all", "--query", '[{"tags": ["a"]}]'),
        ("account-1", "--query", '[{"tags": ["a"]}]'),
        ("--query", '[{"tags": ["a"]}]', "--tag", "a"),
        ("--query", '[{"tags": ["a"]}]', "--max-count", "1"),
        ("--query", '[{"tags": ["a"]}]', "--backward"),
        ("--query", "[]"),
        ("--query", "no JSON"),
        ("account-1", "--max-count", "-1"),
    ],
)
def test_read_refuses_what_does_not_go_together(
    arguments: tuple[str, ...], store: Store, run_here: Command
) -> None:
    assert run_here("read", *arguments).code == 2


@pytest.mark.parametrize("form", ["people", "json"])
def test_read_of_a_stream_that_is_not_there_exits_with_4(
    form: str, store: Store, run_here: Command
) -> None:
    as_json = ["--json"] if form == "json" else []
    done = run_here("read", "nosuch-1", *as_json)
    assert done == (4, "", "error: there is no stream nosuch-1\n")
    # A stream of which nothing is to be read is there.
    done = run_here("read", "account-1", "--from-version", "9", *as_json)
    assert (done.code, done.out.count("\n")) == (0, 0)
    assert "stream account-1 is at version 3" in done.err
    assert run_here("delete", "account-1", "--yes").code == 0
    assert run_here("read", "account-1", *as_json).code == 0


def test_tail_shows_the_last_messages_of_what_is_asked_for(store: Store, run_here: Command) -> None:
    def positions(*arguments: str) -> list[int]:
        return [row["global_position"] for row in run_here("tail", "--json", *arguments).rows]

    store.write_many("noise-1", [pgstore.RawMessage("Noise", b"{}")] * 700)
    assert positions("-n", "2") == [703, 704]
    # Farther back than the first windows reach.
    assert positions("-n", "3", "--category", "account") == [2, 3, 4]
    assert positions("-n", "2", "--type", "Deposited") == [2, 3]
    assert positions("-n", "0") == []
    assert run_here("tail", "--category", "none").err == "There is no such message.\n"


def test_message_shows_all_of_it(store: Store, run_here: Command) -> None:
    stored = next(store.read("account-2"))
    done = run_here("message", str(stored.message_id))
    assert {line.partition("  ")[0] for line in done.out.splitlines()} >= {
        "message id",
        "stream",
        "type",
        "data",
    }
    assert run_here("message", str(stored.message_id), "--json").rows[0]["version"] == 1
    assert run_here("message", str(uuid4())).code == 4
    assert run_here("message", "no-uuid").code == 2


def test_nothing_in_a_message_can_steer_the_terminal(store: Store, run_here: Command) -> None:
    data = '{"a": "\x9b2J\u202e\u2028"}'
    store.write("evil-\x1b[2J\x9b", pgstore.RawMessage("T", data.encode()))
    for arguments in (("read", "--all"), ("tail",), ("streams",), ("read", "--all", "--json")):
        out = run_here(*arguments).out
        assert not set(out) & set("\x1b\x9b\u202e\u2028")
    last = run_here("read", "--all", "--json").rows[-1]
    assert (last["stream"], last["data"]) == ("evil-\x1b[2J\x9b", json.loads(data))


def test_what_is_nested_too_deep_is_refused_in_a_line(store: Store, run_here: Command) -> None:
    assert run_here("write", "deep-1", "T", "[" * 100 + "]" * 100, "--any-json").code == 0
    assert run_here("read", "deep-1").out.count("[") == 100
    (row,) = run_here("--json", "read", "deep-1").rows
    assert json.dumps(row["data"]) == "[" * 100 + "]" * 100
    for levels in (101, 5_000):
        done = run_here("write", "deep-1", "T", "[" * levels + "]" * levels, "--any-json")
        assert done.code != 0
        assert done.err.startswith("error: ")
        assert "Recursion" not in done.err
    assert store.stream_version("deep-1") == 1
