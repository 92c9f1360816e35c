"""`trace`, and the filter by metadata of `read` and `tail`."""

import json
from uuid import UUID, uuid4

import pytest

import pgstore
from tests.cli.conftest import Command

Store = pgstore.MessageStore[pgstore.RawMessage]


def write(
    store: Store, stream: str, message_id: UUID | None = None, **metadata: object
) -> pgstore.MessagePosition:
    return store.write(stream, pgstore.RawMessage("T", b"{}", message_id), metadata=metadata)


@pytest.fixture
def order(store: Store) -> UUID:
    """A cause without a correlation id; its effects, and theirs, have one."""
    order, charge, shipped = uuid4(), uuid4(), uuid4()
    write(store, "order-1", order)
    write(store, "pay-1", charge, correlation_id="r", causation_id=str(order))
    write(store, "ship-1", shipped, correlation_id="r", causation_id=str(order))
    write(store, "other-1", correlation_id="s", causation_id=str(order))
    write(store, "mail-1", correlation_id="r", causation_id=str(charge))
    write(store, "mail-2", correlation_id="r", causation_id=shipped.hex)
    write(store, "mail-3", correlation_id="r", causation_id=str(charge))
    write(store, "alone-1", correlation_id="r")
    return order


TREE = """\
type        stream   version
T           order-1        1
├─ T        pay-1          1
│  ├─ T     mail-1         1
│  └─ T     mail-3         1
└─ T        ship-1         1
   └─ T     mail-2         1
T           alone-1        1
"""


def test_trace_draws_the_tree_of_causes(
    order: UUID, run_here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_here("trace", "r")
    assert done.code == 0
    drawn = [line.split()[: line.split().index("1") + 1] for line in done.out.splitlines()[1:]]
    assert [" ".join(words) for words in drawn] == [
        " ".join(line.split()) for line in TREE.splitlines()[1:]
    ]


def test_trace_as_json_has_the_depth_and_the_message(order: UUID, run_here: Command) -> None:
    rows = run_here("--json", "trace", "r").rows
    assert [(row["depth"], row["stream"]) for row in rows] == [
        (0, "order-1"),
        (1, "pay-1"),
        (2, "mail-1"),
        (2, "mail-3"),
        (1, "ship-1"),
        (2, "mail-2"),
        (0, "alone-1"),
    ]
    assert rows[0]["message_id"] == str(order)
    assert rows[1]["metadata"] == {"correlation_id": "r", "causation_id": str(order)}
    assert "tree" not in rows[0]


def test_trace_of_a_message_is_that_of_its_correlation_id(
    store: Store, order: UUID, run_here: Command
) -> None:
    mail = store.last("mail-2")
    assert mail is not None
    assert run_here("trace", str(mail.message_id)).out == run_here("trace", "r").out


def test_trace_of_nothing_is_not_found(store: Store, order: UUID, run_here: Command) -> None:
    for wanted in ("none", str(uuid4()), str(order)):
        done = run_here("trace", wanted)
        assert done.code == 4
        assert f"no message has the correlation id {wanted}" in done.err


def test_trace_of_causes_that_make_no_sense(store: Store, run_here: Command) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    write(store, "a-1", first, correlation_id="c", causation_id=str(second))
    write(store, "a-2", second, correlation_id="c", causation_id=str(first))
    write(store, "a-3", third, correlation_id="c", causation_id=str(third))
    write(store, "a-4", correlation_id="c", causation_id=7)
    write(store, "a-5", correlation_id="c", causation_id=str(uuid4()))
    rows = run_here("--json", "trace", "c").rows
    assert [(row["depth"], row["stream"]) for row in rows] == [
        (0, "a-1"),
        (1, "a-2"),
        (0, "a-3"),
        (0, "a-4"),
        (0, "a-5"),
    ]


def test_trace_of_a_long_chain(store: Store, run_here: Command) -> None:
    ids = [uuid4() for _ in range(2500)]
    causes = [None, *map(str, ids)]
    messages = [pgstore.RawMessage("T", b"{}", each) for each in ids]
    metadata = [{"correlation_id": "long", "causation_id": cause} for cause in causes[: len(ids)]]
    store.write_many("chain-1", messages, metadata=metadata)
    rows = run_here("--json", "trace", "long").rows
    assert [row["depth"] for row in rows] == list(range(2500))


@pytest.mark.parametrize("command", [["read", "--all"], ["tail"]])
def test_read_and_tail_choose_by_metadata(
    store: Store, order: UUID, run_here: Command, command: list[str]
) -> None:
    done = run_here("--json", *command, "--metadata", '{"correlation_id": "s"}')
    assert [row["stream"] for row in done.rows] == ["other-1"]
    assert not {"reached_position", "more"} & done.rows[0].keys()
    assert run_here(*command, "--metadata", json.dumps({"correlation_id": "none"})).out == ""


def test_subscriptions_tells_the_metadata_that_one_reads(store: Store, run_here: Command) -> None:
    store.subscription("s", category="account", metadata={"tenant": "a"}).create()
    (row,) = run_here("--json", "subscriptions").rows
    assert row["metadata"] == {"tenant": "a"}
    assert row["reads"] == 'account; metadata with {"tenant": "a"}'


@pytest.mark.parametrize("wrong", ["x", "[1]", "7", "null"])
def test_metadata_must_be_an_object(run_here: Command, wrong: str) -> None:
    done = run_here("read", "--all", "--metadata", wrong)
    assert done.code == 2
    assert "must be a JSON object" in done.err


def test_metadata_goes_with_a_read_across_streams(run_here: Command) -> None:
    assert run_here("read", "a-1", "--metadata", "{}").code == 2
