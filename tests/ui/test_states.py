"""States of streams, by deciders and repositories of a program, from the console's store."""

import datetime
from typing import Any

import httpx
import msgspec
import pytest

import pgstore
from pgstore import MessageStore, ui
from tests.ui.conftest import Opened, Raw, write


class Deposited(msgspec.Struct):
    amount: int


class Balance(msgspec.Struct):
    amount: int = 0
    last: datetime.date | None = None


def evolve(state: Balance, message: Deposited) -> Balance:
    return msgspec.structs.replace(state, amount=state.amount + message.amount)


class Account:
    """An aggregate, which msgspec has no JSON for."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.version = 0
        self.changes: list[Deposited] = []
        self.amount = 0

    def evolve(self, message: Deposited) -> None:
        self.amount += message.amount


# A store of the program, which is not connected.
PROGRAM = MessageStore[Deposited]("host=nowhere.invalid", store="bank", messages=Deposited)
DECIDER = PROGRAM.decider(evolve, Balance)


@pytest.fixture
async def accounts(store: Raw) -> Raw:
    for amount in (10, 5):
        await write(store, "account-1", "Deposited", f'{{"amount": {amount}}}')
    await write(store, "order-1", "Placed")
    return store


async def state_of(client: httpx.AsyncClient, stream: str, version: int) -> httpx.Response:
    return await client.get(
        "/state",
        params={"stream": stream, "version": str(version)},
        headers={"HX-Request": "true"},
    )


@pytest.mark.parametrize("deciders", [DECIDER, {"account": DECIDER}], ids=["one", "by category"])
async def test_state_at_a_version_is_made_by_the_program(
    opened: Opened, accounts: Raw, deciders: object
) -> None:
    client = opened(deciders=deciders)
    at_two = await state_of(client, "account-1", 2)
    assert '<span class="j-number">15</span>' in at_two.text
    assert "<del>10</del>" in at_two.text
    at_one = await state_of(client, "account-1", 1)
    assert '<span class="j-number">10</span>' in at_one.text
    message = await client.get("/message", params={"stream": "account-1", "version": "2"})
    assert "State at version 2" in message.text


async def test_repository_makes_states_of_its_category(opened: Opened, accounts: Raw) -> None:
    client = opened(deciders=PROGRAM.repository(Account, "account"))
    state = await state_of(client, "account-1", 2)
    assert '<span class="j-number">15</span>' in state.text
    other = await client.get("/message", params={"stream": "order-1", "version": "1"})
    assert "State at version" not in other.text
    assert (await state_of(client, "order-1", 1)).status_code == 404


async def test_without_a_program_there_is_no_state(
    client: httpx.AsyncClient, accounts: Raw
) -> None:
    page = await client.get("/message", params={"stream": "account-1", "version": "2"})
    assert "State at version" not in page.text
    assert "--app" in (await state_of(client, "account-1", 2)).text


def turning(state: Any, message: Deposited) -> Any:
    """A state that holds itself."""
    made = Account("1")
    made.changes = [made]  # type: ignore[list-item]
    return made


def reading(state: Any, message: Deposited) -> Any:
    raise FileNotFoundError("prices.csv")


@pytest.mark.parametrize(
    ("evolve", "said"),
    [
        (lambda *_: {(1, 2): 3}, "TypeError"),
        (turning, "RecursionError"),
        (reading, "prices.csv"),
    ],
    ids=["no key of JSON", "circle", "file"],
)
async def test_state_that_cannot_be_shown_is_an_error_of_the_program(
    opened: Opened, accounts: Raw, evolve: Any, said: str
) -> None:
    client = opened(deciders=PROGRAM.decider(evolve, dict))
    page = await state_of(client, "account-1", 1)
    assert page.status_code == 422
    assert "The program makes no state of this" in page.text
    assert said in page.text


async def test_program_that_does_not_know_a_type_is_an_error_that_says_so(
    opened: Opened, accounts: Raw
) -> None:
    page = await state_of(opened(deciders=DECIDER), "order-1", 1)
    assert page.status_code == 422
    assert "does not know a type" in page.text


async def test_version_that_the_stream_has_not_reached_is_refused(
    opened: Opened, accounts: Raw
) -> None:
    assert (await state_of(opened(deciders=DECIDER), "account-1", 9)).status_code == 400


def test_other_objects_are_no_deciders(store: Raw) -> None:
    with pytest.raises(pgstore.InvalidArgumentError):
        ui.app(store, deciders=evolve)
