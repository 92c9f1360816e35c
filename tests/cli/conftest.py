"""A store on the session's server, and commands on it in this process."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import psycopg
import pytest

import pgstore
from pgstore.__main__ import main
from tests.stores import Stores


class Done(NamedTuple):
    """What a command has left."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        """Its output as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Done]


@pytest.fixture
def schema(request: pytest.FixtureRequest, schema: str) -> Iterator[str]:
    """Name of the store: one that is installed, for a test that asks for `store`."""
    if "store" not in request.fixturenames:
        yield schema
        return
    stores: Stores = request.getfixturevalue("stores")
    with stores.taken() as name:
        yield name


@pytest.fixture
def store(conninfo: str, schema: str) -> Iterator[pgstore.MessageStore[pgstore.RawMessage]]:
    """A store of the test's own, with two streams of a category."""
    with pgstore.MessageStore(conninfo, store=schema, messages=pgstore.RawMessage) as made:
        raw = made.raw
        for number in (1, 2, 3):
            raw.write("account-1", pgstore.RawMessage("Deposited", b'{"amount": %d}' % number))
        raw.write("account-2", pgstore.RawMessage("Opened", b'{"owner": "Ada"}'))
        yield raw


@pytest.fixture
def parked(
    store: pgstore.MessageStore[pgstore.RawMessage],
) -> pgstore.Subscription[pgstore.RawMessage]:
    """A subscription that has handled everything but the message at position 2."""
    made = store.subscription("balances", category="account", on_failure="park", max_attempts=1)

    @made.handler
    def handle(stored: pgstore.StoredMessage[pgstore.RawMessage]) -> None:
        if stored.global_position == 2:
            raise ValueError("two is one too many")

    logging.getLogger("pgstore").setLevel(logging.CRITICAL)
    store.run_once(made, raise_errors=False)
    logging.getLogger("pgstore").setLevel(logging.NOTSET)
    return made


@pytest.fixture
def environment(conninfo: str, schema: str) -> dict[str, str]:
    """What says where the store is."""
    return {"PGSTORE_CONNINFO": conninfo, "PGSTORE_STORE": schema}


@pytest.fixture
def run_here(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Run a command in this process; what it prints is as wide as it needs."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(list(arguments))
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def admin(conninfo: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the superuser."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        yield conn
