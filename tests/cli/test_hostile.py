"""A store full of text that would steer a terminal, begin a line or run in a shell."""

import json
from typing import Any

import pytest
from psycopg import sql

import pgstore
from pgstore.cli import _completion
from tests.cli.conftest import Command

Store = pgstore.MessageStore[pgstore.RawMessage]

STEERING = "\x07\x08\r\n\x1b[2J\x1b]0;x\x07\x7f\x85\x9b1m\u061c\u200f\u2028\u2029\u202e\u2066"
CONTROLS = set(STEERING) - set("[2J]0;x1m\n")
STREAM = f"account{STEERING}-1"
NAME = f"balances{STEERING}"


class Broken(Exception):
    """What the handler raises."""


@pytest.fixture
def hostile(store: Store, schema: str) -> Store:
    """A store whose streams, types, messages, subscriptions and errors are hostile."""
    data, metadata = (json.dumps({key: STEERING}, ensure_ascii=False) for key in ("note", "by"))
    # By SQL, which takes any type.
    write = sql.SQL("SELECT {}.write_message(%s, %s, %s, metadata => %s)")
    with store.transaction() as tx:
        values = (STREAM, f"Opened{STEERING}", data, metadata)
        tx.execute(write.format(sql.Identifier(schema)), values)
    subscription = store.subscription(
        NAME, category=f"account{STEERING}", on_failure="park", max_attempts=1
    )

    @subscription.handler
    def fail(message: pgstore.RawMessage) -> None:
        raise Broken(STEERING)

    with pytest.raises(Broken):
        store.run_once(subscription)
    return store


@pytest.mark.parametrize("form", ["people", "json"])
@pytest.mark.parametrize(
    "command",
    [
        ("read", STREAM),
        ("read", "--all"),
        ("tail",),
        ("message", "ID"),
        ("streams",),
        ("categories",),
        ("types",),
        ("stats",),
        ("top", "--times", "1"),
        ("subscriptions",),
        ("subscriptions", NAME),
        ("parked", "list", NAME),
        ("parked", "show", NAME, "POSITION"),
        ("doctor",),
        ("verify",),
        ("pause", NAME),
        ("resume", NAME),
        ("parked", "replay", NAME),
        ("read", f"none{STEERING}"),
    ],
)
def test_nothing_that_is_stored_steers_the_terminal(
    command: tuple[str, ...], form: str, hostile: Store, run_here: Command
) -> None:
    (stored,) = hostile.read(STREAM)
    places = {"ID": str(stored.message_id), "POSITION": str(stored.global_position)}
    arguments = [places.get(each, each) for each in command]
    done = run_here(*arguments, *(["--json"] if form == "json" else []))
    assert done.code in ((4,) if command[1:] == (f"none{STEERING}",) else (0, 1)), done.err
    assert not set(done.out + done.err) & CONTROLS
    assert not any(line.startswith("[2J") for line in (done.out + done.err).splitlines())
    if form == "json":
        for row in done.rows:
            assert isinstance(row, dict)


def test_json_gives_back_what_is_stored(hostile: Store, run_here: Command) -> None:
    (row,) = run_here("read", STREAM, "--json").rows
    assert row["type"] == f"Opened{STEERING}"
    assert (row["data"], row["metadata"]) == ({"note": STEERING}, {"by": STEERING})
    (parked,) = run_here("parked", "list", NAME, "--json").rows
    assert parked["error"] == f"Broken: {STEERING}"


def test_no_name_is_offered_that_a_shell_would_run(
    store: Store, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    hostile = [
        "`id`",
        "$(id)",
        r"\$(id)",
        "a;id",
        "a b",
        "a'b",
        'a"b',
        "a\\",
        "a|b",
        "a>b",
        "*",
        "~",
    ]
    for name in [*hostile, "--yes", "=id", "{a,b}", "(id)", "a\nb", "a\x1bb", "größe-1"]:
        store.write(name, pgstore.RawMessage("Opened", b"{}"))

    class Context:
        parent = None
        params: dict[str, Any] = {}  # noqa: RUF012

    offered = _completion.streams(Context(), "")  # type: ignore[arg-type]
    assert offered == ["account-1", "account-2", "größe-1"]


def test_no_name_of_a_store_leaves_the_comment_of_a_script(run_here: Command) -> None:
    done = run_here("sql", "--store", "shop\r; DROP TABLE x\n; DROP TABLE y\u2028")
    assert done.code == 0, done.err
    (head,) = [line for line in done.out.split("\n") if line.startswith("-- pgstore ")]
    assert r"store shop\r; DROP TABLE x\n; DROP TABLE y\u2028, schema version" in head
