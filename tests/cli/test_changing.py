"""Changing what a subscription reads, and checking stored messages."""

from pathlib import Path

import pytest

import pgstore
from tests.cli.conftest import Command

Raw = pgstore.MessageStore[pgstore.RawMessage]

PROGRAM = """
import msgspec
import pgstore

class Deposited(msgspec.Struct):
    amount: int

class Opened(msgspec.Struct):
    owner: str
    since: int{default}

store = pgstore.{kind}(messages=Deposited | Opened, store={store!r}, conninfo={conninfo!r})

def made():
    return store
"""


@pytest.fixture
def subscription(store: Raw) -> pgstore.Subscription[pgstore.RawMessage]:
    made = store.subscription("balances", category="account", types=["Deposited"])
    made.create()
    return made


def test_filter_is_changed(
    subscription: pgstore.Subscription[pgstore.RawMessage], run_here: Command
) -> None:
    assert run_here("refilter", "balances", "--type", "Opened").code == 2  # nobody to ask
    arguments = ["--category", "account", "--type", "Deposited", "--type", "Opened", "--yes"]
    done = run_here("refilter", "balances", *arguments, "--json")
    assert done.rows == [
        {
            "subscription": "balances",
            "position": 0,
            "categories": ["account"],
            "types": ["Deposited", "Opened"],
            "stream_pattern": None,
            "metadata": None,
            "tags": None,
        }
    ]
    done = run_here("refilter", "balances", "--after", "4", "--yes")
    assert done.code == 2
    assert "not reached yet" in done.err
    assert run_here("refilter", "balances", "--after", "0", "--yes").out == (
        "Subscription balances reads everything: new ones after position 0.\n"
    )
    assert run_here("refilter", "nobody", "--yes").code == 4


@pytest.mark.parametrize("kind", ["MessageStore", "AsyncMessageStore"])
def test_messages_of_the_store_and_of_a_file_are_checked(
    store: Raw,
    run_here: Command,
    conninfo: str,
    schema: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, default in {f"wrong_{kind}": "", f"right_{kind}": " = 0"}.items():
        text = PROGRAM.format(default=default, kind=kind, store=schema, conninfo=conninfo)
        (tmp_path / f"{name}.py").write_text(text)
    assert run_here("export", "sample.jsonl").code == 0

    done = run_here("check-messages", f"wrong_{kind}:store", "--json")
    assert done.code == 1
    (row,) = done.rows
    assert (row["type"], row["stream"], row["global_position"]) == ("Opened", "account-2", 4)
    done = run_here("check-messages", f"wrong_{kind}:made", "--against", "sample.jsonl", "--json")
    assert done.code == 1
    (row,) = done.rows
    assert (row["type"], row["line"]) == ("Opened", 5)
    assert "since" in run_here("check-messages", f"wrong_{kind}:store", "--last", "1").out

    done = run_here("check-messages", f"right_{kind}:store")
    assert (done.code, done.out) == (0, "")
    assert run_here("check-messages", f"right_{kind}:store", "--against", "sample.jsonl").code == 0


def test_place_must_be_a_store(run_here: Command) -> None:
    done = run_here("check-messages", "tests.cli.test_changing:PROGRAM")
    assert done.code == 2
    assert "is no message store" in done.err
    for nowhere in ("nowhere", "../nowhere:store", ".:store"):
        done = run_here("check-messages", nowhere)
        assert (done.code, "MODULE:OBJECT" in done.err) == (2, True)
