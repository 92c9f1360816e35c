"""Given, when, then: without a server."""

import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest

import pgstore
from pgstore.testing import compare_messages, given, handle, stored


class Opened(msgspec.Struct):
    owner: str
    tags: dict[str, Any] = {}


class Moved(msgspec.Struct):
    amount: int
    by: list[str] = []


@dataclasses.dataclass(eq=False)
class Closed:
    """Has no `==` of its own."""

    reason: str


Message = Opened | Moved | Closed


class Account(msgspec.Struct, frozen=True):
    owner: str | None = None
    balance: int = 0


def evolve(account: Account, message: Message) -> Account:
    match message:
        case Opened(owner=owner):
            return msgspec.structs.replace(account, owner=owner)
        case Moved(amount=amount):
            return msgspec.structs.replace(account, balance=account.balance + amount)
        case _:
            return account


class Wallet:
    def __init__(self, id: str) -> None:
        self.id = id
        self.version = 0
        self.balance = 0
        self.changes: list[Message] = []

    def move(self, amount: int) -> None:
        if self.balance + amount < 0:
            raise ValueError("not enough money")
        self.evolve(Moved(amount))
        self.changes.append(Moved(amount))

    def evolve(self, message: Message) -> None:
        if isinstance(message, Moved):
            self.balance += message.amount


def move(account: Account, amount: int, *, twice: bool = False) -> list[Moved]:
    if account.balance + amount < 0:
        raise ValueError("not enough money")
    return [Moved(amount)] * (2 if twice else 1)


def nothing(account: Account) -> None:
    return None


def open_again(account: Account) -> Iterator[Message]:
    yield Opened("Bob")
    yield Moved(1)


store = pgstore.MessageStore[Message]("host=/nonexistent", messages=Message)
async_store = pgstore.AsyncMessageStore[Message]("host=/nonexistent", messages=Message)
accounts = store.decider(evolve, Account)
wallets = store.repository(Wallet, "wallet")


def failure(outcome: Any, *expected: Any) -> list[str]:
    """The lines of the error that `then` raises."""
    with pytest.raises(AssertionError) as caught:
        outcome.then(*expected)
    return str(caught.value).splitlines()


def test_decision_is_made_on_the_state_of_the_messages() -> None:
    case = given(accounts, Opened("Ada"), Moved(10))
    assert case.state == Account("Ada", 10)
    outcome = case.when(move, -4, twice=True).then(Moved(-4), Moved(-4))
    assert outcome.state == Account("Ada", 2)
    assert outcome.messages == (Moved(-4), Moved(-4))
    assert case.state == Account("Ada", 10)
    case.when(nothing).then()
    given(accounts).when(lambda account: Opened(f"{account.owner}")).then(Opened("None"))
    given(accounts).when(open_again).then(Opened("Bob"), Moved(1))


def test_async_subjects_are_tested_the_same_way() -> None:
    given(async_store.decider(evolve, Account), Moved(1)).when(move, 1).then(Moved(1))
    given(async_store.repository(Wallet, "wallet"), Moved(1)).when(Wallet.move, 1).then(Moved(1))


def test_error_is_compared_by_its_class_or_by_its_text_too() -> None:
    outcome = given(accounts).when(move, -1)
    outcome.then(ValueError)
    outcome.then(Exception)
    outcome.then(ValueError("not enough money"))
    assert failure(outcome, ValueError("no money")) == [
        "move raised ValueError: not enough money",
        "  expected: ValueError: no money",
    ]
    assert failure(outcome, TypeError) == [
        "move raised ValueError: not enough money",
        "  expected: TypeError",
    ]
    with pytest.raises(ValueError, match="not enough money"):
        _ = outcome.state
    with pytest.raises(ValueError, match="not enough money"):
        _ = outcome.messages
    with pytest.raises(TypeError, match="or one error"):
        outcome.then(Moved(1), ValueError)


def test_error_instead_of_messages_is_shown_and_is_the_cause() -> None:
    outcome = given(accounts).when(move, -1)
    assert failure(outcome, Moved(1)) == [
        "move raised ValueError: not enough money",
        "  expected: Moved(amount=1, by=[])",
    ]
    with pytest.raises(AssertionError) as caught:
        outcome.then()
    assert caught.value.__cause__ is outcome.error


def test_messages_instead_of_an_error_are_shown() -> None:
    assert failure(given(accounts).when(move, 1), ValueError) == [
        "move made Moved(amount=1, by=[])",
        "  expected: ValueError",
    ]


def test_difference_is_told_field_by_field() -> None:
    outcome = given(accounts).when(lambda _: [Opened("Ada", {"a": 1, "b": 2}), Moved(1, ["x"])])
    assert failure(outcome, Opened("Bob", {"b": 3, "a": 1}), Moved(1, ["y"])) == [
        "<lambda>: not the expected messages",
        "  ! Opened(owner='Ada', tags={'a': 1, 'b': 2})",
        "      owner: 'Ada', expected 'Bob'",
        "      tags['b']: 2, expected 3",
        "  ! Moved(amount=1, by=['x'])",
        "      by[0]: 'x', expected 'y'",
    ]
    outcome = given(accounts).when(move, 1)
    assert failure(outcome, Moved(1, ["y"]))[-1] == "      by: [], expected ['y']"


def test_missing_message_leaves_the_others_in_their_places() -> None:
    outcome = given(accounts).when(lambda _: [Moved(1), Closed("done")])
    assert failure(outcome, Opened("Ada"), Moved(1)) == [
        "<lambda>: not the expected messages",
        "  - missing: Opened(owner='Ada', tags={})",
        "    Moved(amount=1, by=[])",
        f"  + not expected: {outcome.messages[1]!r}",
    ]


def test_class_of_the_same_name_is_shown_with_its_module() -> None:
    other = msgspec.defstruct("Moved", [("amount", int), ("by", list[str], [])], module="other")
    outcome = given(accounts).when(move, 1)
    assert failure(outcome, other(1))[1:] == [
        "  - missing: other.Moved(amount=1, by=[])",
        f"  + not expected: {__name__}.Moved(amount=1, by=[])",
    ]


def test_any_value_of_a_field_can_be_expected() -> None:
    given(accounts).when(move, 1).then(Moved(ANY))


def test_class_without_equality_is_compared_by_its_fields() -> None:
    outcome = given(accounts).when(lambda _: Closed("done"))
    outcome.then(Closed("done"))
    assert failure(outcome, Closed("lost"))[-1] == "      reason: 'done', expected 'lost'"


def test_aggregate_has_the_messages_and_records_new_ones() -> None:
    case = given(wallets, Opened("Ada"), Moved(10), id="7")
    assert (case.state.id, case.state.version, case.state.balance) == ("7", 2, 10)
    outcome = case.when(Wallet.move, -4).then(Moved(-4))
    assert outcome.state.balance == 6
    given(wallets).when(Wallet.move, -1).then(ValueError("not enough money"))
    given(wallets).when(lambda wallet: wallet.balance).then()


def test_what_a_store_would_refuse_is_refused() -> None:
    with pytest.raises(pgstore.InvalidArgumentError, match="amount"):
        given(accounts, Moved("1"))  # type: ignore[arg-type]
    with pytest.raises(pgstore.InvalidArgumentError, match="amount"):
        given(accounts).when(lambda _: Moved("1"))  # type: ignore[arg-type]
    with pytest.raises(pgstore.InvalidArgumentError, match="int is not a message type"):
        given(accounts).when(lambda account: account.balance)  # type: ignore[arg-type,return-value]
    with pytest.raises(pgstore.InvalidArgumentError, match="decision must be a function"):
        given(accounts).when(None)  # type: ignore[arg-type]
    with pytest.raises(pgstore.InvalidArgumentError, match="decider, a repository or a subscr"):
        given(store)  # type: ignore[call-overload]
    deep: dict[str, Any] = {}
    for _ in range(99):  # and one of the message
        deep = {"deep": deep}
    for wrong in (Opened("a\0b"), Opened("\\\0"), Opened("a", tags=deep)):
        for case in (
            lambda wrong=wrong: given(accounts, wrong),
            lambda wrong=wrong: given(accounts).when(lambda _: wrong),
        ):
            with pytest.raises(pgstore.InvalidArgumentError, match=r"NUL|more than 100"):
                case()
    given(accounts, Opened("\\u0000", tags=deep["deep"]))
    with pytest.raises(pgstore.InvalidArgumentError, match="not JSON"):
        given(accounts, pgstore.RawMessage("Opened", b"{"))


def test_async_decision_is_refused() -> None:
    async def later(account: Account) -> None: ...

    with pytest.raises(pgstore.InvalidArgumentError, match=r"later is async"):
        given(accounts).when(later)  # type: ignore[arg-type]


def test_what_is_expected_by_mistake_is_refused() -> None:
    outcome: Any = given(accounts).when(move, 1)
    comparison: Any = compare_messages
    for wrong in ([Moved(1)], (Moved(1),), None, Moved, stored(Moved(1))):
        with pytest.raises(pgstore.InvalidArgumentError, match="one by one"):
            outcome.then(wrong)
        with pytest.raises(pgstore.InvalidArgumentError, match="one by one"):
            comparison([stored(Moved(1))], wrong)


def test_async_method_is_refused() -> None:
    async def later(wallet: Wallet) -> None: ...

    with pytest.raises(pgstore.InvalidArgumentError, match=r"later is async"):
        given(wallets).when(later)


def test_message_of_older_code_is_given_raw() -> None:
    old = pgstore.RawMessage("Moved", b'{"amount": 5, "gone": true}')
    assert given(accounts, old).state == Account(balance=5)
    with pytest.raises(pgstore.UnknownMessageTypeError):
        given(accounts, pgstore.RawMessage("Lost", b"{}"))


def test_message_of_older_code_becomes_a_present_one_or_is_passed_over() -> None:
    def moved(old: dict[str, Any]) -> Moved:
        return Moved(old["cents"] // 100)

    def dropped(old: dict[str, Any]) -> None:
        return None

    upcasters = [pgstore.Upcaster("Paid", moved), pgstore.Upcaster("Counted", dropped)]
    store = pgstore.MessageStore[Message](messages=Message, upcasters=upcasters)
    paid = pgstore.RawMessage("Paid", b'{"cents": 500}')
    counted = pgstore.RawMessage("Counted", b"{}")
    assert given(store.decider(evolve, Account), paid, counted).state.balance == 5
    wallet = given(store.repository(Wallet, "wallet"), paid, counted).state
    assert (wallet.balance, wallet.version) == (5, 2)
    subscription = store.subscription("s")
    seen: list[Moved] = []

    @subscription.handler
    def on_moved(message: Moved) -> None:
        seen.append(message)

    assert handle(subscription, paid, counted) == 1
    assert seen == [Moved(5)]


def test_stored_messages_are_compared() -> None:
    compare_messages([stored(Moved(1)), stored(Moved(2))], Moved(1), Moved(2))
    with pytest.raises(AssertionError, match=r"amount: 1, expected 2"):
        compare_messages(iter([stored(Moved(1))]), Moved(2))


class Tagged(msgspec.Struct):
    by: list[str]

    def get_tags(self) -> list[str]:
        return self.by


def test_a_stored_message_has_its_own_tags_and_those_given() -> None:
    assert stored(Tagged(["b", "a"]), tags=["c", "a"]).tags == ("a", "b", "c")
    assert stored(Moved(1)).tags == ()


def test_tags_that_a_store_would_refuse_are_refused() -> None:
    def count(total: int, _: Tagged) -> int:
        return total + 1

    tagging = pgstore.MessageStore[Tagged]("", messages=Tagged).decider(count, int)
    given(tagging, Tagged(["a"])).when(lambda _: Tagged(["b"])).then(Tagged(["b"]))
    for wrong in ([""], ["\0"], ["a"] * 33 + [str(number) for number in range(32)]):
        with pytest.raises(pgstore.InvalidArgumentError, match="tags"):
            given(tagging, Tagged(wrong))
        with pytest.raises(pgstore.InvalidArgumentError, match="tags"):
            given(tagging).when(lambda _, tags: Tagged(tags), wrong)


def test_value_that_cannot_be_shown_is_a_difference() -> None:
    (line,) = failure(given(accounts).when(move, 1), Moved(10**5000))[2:]
    assert line.strip() == "amount: 1, expected a value of int"


async def no_messages() -> Any:
    yield 1


@pytest.mark.parametrize("wrong", [None, [Moved(1)], stored(Moved(1)).message, no_messages()])
def test_only_stored_messages_are_compared(wrong: Any) -> None:
    with pytest.raises(pgstore.InvalidArgumentError, match="compare_messages"):
        compare_messages(wrong, Moved(1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"stream": None},
        {"stream": ""},
        {"stream": "\0"},
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"global_position": -1},
        {"message_id": 5},
        {"metadata": ["a"]},
        {"metadata": {"a": float("nan")}},
        {"tags": "a"},
        {"tags": [""]},
        {"tags": ["ä" * 128]},
        {"tags": [str(number) for number in range(33)]},
    ],
    ids=str,
)
def test_what_no_stored_message_has_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pgstore.InvalidArgumentError, match=next(iter(wrong))):
        stored(Moved(1), **wrong)
    if "stream" in wrong and wrong["stream"] != "":
        with pytest.raises(pgstore.InvalidArgumentError, match="stream"):
            handle(store.subscription("s"), Moved(1), **wrong)
