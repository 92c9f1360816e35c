"""What beginners do wrong, and what they are told: `docs/reference/errors.md` shows the same."""

import os
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine

import pgstore
from pgstore import MessageStore, RawMessage
from pgstore.__main__ import main

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "errors.md"


class Deposited(msgspec.Struct):
    amount: int


class Withdrawn(msgspec.Struct):
    amount: int


class Closed(msgspec.Struct):
    pass


class Account:
    def __init__(self, owner: str) -> None:
        self.owner = owner


class Mistake(NamedTuple):
    """Lines of a program, the class of the error, and what of its text names the remedy."""

    code: str
    error: type[BaseException] | None
    remedy: str


INVALID = pgstore.InvalidArgumentError
MISTAKES = [
    Mistake(
        "MessageStore(conninfo, messages=[Deposited, Withdrawn])",
        TypeError,
        "Deposited | Withdrawn",
    ),
    Mistake("MessageStore(conninfo, messages=Account)", TypeError, "dataclass"),
    Mistake("MessageStore(conn, messages=Deposited)", INVALID, "conn="),
    Mistake('store.write("account-1", Deposited)', INVALID, "Deposited(…)"),
    Mistake('store.write("account-1", Closed())', INVALID, "messages="),
    Mistake('store.write("", Deposited(1))', INVALID, "1 to 1000 bytes"),
    Mistake(
        'store.write("account-1", Deposited(1), expected_version="1")', INVALID, "whole number"
    ),
    Mistake(
        'store.write("account-1", Deposited(1), expected_version=7)',
        pgstore.OptimisticConcurrencyError,
        "Read the stream again",
    ),
    Mistake(
        'store.write("account-1", Deposited(1), metadata="import")', INVALID, '{"key": "value"}'
    ),
    Mistake(
        'store.write("account-1", Deposited(1), conn=engine)',
        INVALID,
        "with engine.begin() as connection",
    ),
    Mistake('store.write_many("account-1", Deposited(1))', INVALID, "[Deposited(amount=1)]"),
    Mistake(
        'store.raw.write("account-1", RawMessage("Deposited", {}))', INVALID, "msgspec.json.encode"
    ),
    Mistake(r'store.raw.write("account-1", RawMessage("Deposited\n", b"{}"))', INVALID, "control"),
    Mistake(
        'not_granted.write("account-1", Deposited(1))',
        psycopg.errors.InsufficientPrivilege,
        "pgstore grant",
    ),
    Mistake(
        'MessageStore(conninfo, messages=Closed, store="bnak", create=False).stream_version("a-1")',
        pgstore.StoreNotInstalledError,
        "pgstore install --store bnak",
    ),
    Mistake('store.get("account-1")', INVALID, "UUID"),
    Mistake(
        'MessageStore(conninfo, messages=Closed, store="bank").last("account-1")',
        pgstore.UnknownMessageTypeError,
        "messages=",
    ),
    Mistake(
        "next(store.read_all(after_position=1_000_000))",
        pgstore.PositionBeyondEndError,
        "position of this store",
    ),
    Mistake('store.subscription("balances", start="now")', INVALID, '"end"'),
    Mistake('store.subscription("balances", start=datetime(2026, 1, 1))', INVALID, "tzinfo=UTC"),
    Mistake(
        'store.subscription("balances", category="order").create()',
        pgstore.SubscriptionExistsError,
        "another name",
    ),
    Mistake("@balances.handler\ndef project(event): ...", TypeError, "event: Deposited"),
    Mistake(
        '@balances.handler\ndef project(event: "Depositd"): ...',
        TypeError,
        "classes that its module defines",
    ),
    Mistake(
        "@balances.handler\nasync def project(event: Deposited): ...",
        TypeError,
        "AsyncMessageStore",
    ),
    Mistake('store.run("balances")', INVALID, "store.subscription("),
    Mistake("store.run(balances)", INVALID, "@subscription.handler"),
    Mistake("balances.wait_until(2, timeout=0)", TimeoutError, "store.run"),
    Mistake("$ pgstore pause balanecs", None, "balances"),
]

TITLE = "## Common mistakes"


class Place(NamedTuple):
    """Names that the mistakes use, and what random names in what they print stand for."""

    names: dict[str, Any]
    random: dict[str, str]


@pytest.fixture(scope="module")
def place(server_conninfo: str) -> Iterator[Place]:
    schema, role = f"store_{uuid4().hex[:12]}", f"ada_{uuid4().hex[:12]}"
    with ExitStack() as stack:
        admin = stack.enter_context(psycopg.connect(server_conninfo, autocommit=True))
        names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
        admin.execute(sql.SQL("CREATE ROLE {role} LOGIN").format(**names))
        stack.callback(admin.execute, sql.SQL("DROP ROLE {role}").format(**names))
        store = MessageStore[Any](server_conninfo, store=schema, messages=Deposited | Withdrawn)
        stack.callback(admin.execute, sql.SQL("DROP SCHEMA {schema} CASCADE").format(**names))
        stack.enter_context(store)
        store.write_many("account-1", [Deposited(1), Deposited(2)])
        balances = store.subscription("balances", category="account")
        balances.create()
        granted_nothing = make_conninfo(server_conninfo, user=role)
        not_granted = MessageStore(granted_nothing, store=schema, messages=Deposited, create=False)
        conn = stack.enter_context(psycopg.connect(server_conninfo))
        yield Place(
            dict(globals())
            | {
                "datetime": datetime,
                "RawMessage": RawMessage,
                "conninfo": server_conninfo,
                "store": store,
                "balances": balances,
                "conn": conn,
            }
            | {
                "not_granted": stack.enter_context(not_granted),
                "engine": create_engine("postgresql+psycopg://"),
            },
            {schema: "bank", role: "ada"},
        )


def printed(
    place: Place, mistake: Mistake, capsys: pytest.CaptureFixture[str]
) -> tuple[type[BaseException] | None, str]:
    """The class of the error, and what a program, or the command line, ends with."""
    error = None
    if mistake.code.startswith("$ pgstore "):
        assert main(mistake.code.split()[2:]) != 0
        text = capsys.readouterr().err
    else:
        code = mistake.code
        for random, name in place.random.items():
            code = code.replace(f'"{name}"', f'"{random}"')
        assert mistake.error is not None
        with pytest.raises(mistake.error) as caught:
            exec(code, dict(place.names))
        error = caught.type
        # Without psycopg's picture of the statement.
        lines = "".join(traceback.format_exception_only(caught.value)).splitlines()
        text = "\n".join(line for line in lines if not line.startswith(("LINE ", " ")))
        text = text.replace("pgstore.errors.", "").replace("psycopg.errors.", "")
    for random, name in place.random.items():
        text = text.replace(random, name)
    return error, text.strip()


@pytest.fixture
def at_the_command_line(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSTORE_CONNINFO", place.names["conninfo"])
    monkeypatch.setenv("PGSTORE_STORE", place.names["store"].name)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.code.partition("(")[0])
@pytest.mark.usefixtures("at_the_command_line")
def test_a_mistake_is_told_with_its_remedy(
    mistake: Mistake, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    error, text = printed(place, mistake, capsys)
    assert error is mistake.error
    assert mistake.remedy in text


@pytest.mark.usefixtures("at_the_command_line")
def test_the_docs_show_what_is_printed(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """`PGSTORE_WRITE_MISTAKES=1` writes the table."""
    page = PAGE.read_text()
    before, title, rest = page.partition(f"{TITLE}\n")
    shown, heading, after = rest.partition("\n## ")
    table = [_row(mistake.code, printed(place, mistake, capsys)[1]) for mistake in MISTAKES]
    prose = shown.partition("| ")[0]
    whole = prose + "\n".join(["| written | printed |", "| --- | --- |", *table]) + "\n"
    if os.environ.get("PGSTORE_WRITE_MISTAKES"):
        PAGE.write_text(before + title + whole + heading + after)
    else:
        assert shown == whole


def _row(code: str, text: str) -> str:
    cells = ["<br>".join(f"`{line}`" for line in part.splitlines()) for part in (code, text)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
