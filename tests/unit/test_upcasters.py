"""Upcasters of a codec: what they may be, and what becomes of stored messages."""

import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Union

import attrs
import msgspec
import pydantic
import pytest

from pgstore import InvalidArgumentError, MessageDecodeError, RawMessage, Upcaster
from pgstore._core.codec import TypedCodec, codec_of
from pgstore._core.upcasters import SkippedMessage


class Deposited(msgspec.Struct):
    amount: int
    currency: str


class Withdrawn(msgspec.Struct):
    amount: int


class First(msgspec.Struct):
    cents: str


@dataclass
class Second:
    cents: int


@attrs.define
class Third:
    cents: int


class Model(pydantic.BaseModel):
    cents: int


def second(old: First) -> Second:
    return Second(int(old.cents))


def deposited(old: Second) -> Deposited:
    return Deposited(old.cents, "EUR")


def either(old: dict[str, Any]) -> Deposited | Withdrawn | None:
    if old["amount"] == 0:
        return None
    return Deposited(old["amount"], "EUR") if old["amount"] > 0 else Withdrawn(-old["amount"])


def codec(*upcasters: Upcaster, messages: Any = Deposited | Withdrawn) -> TypedCodec[Any]:
    return TypedCodec(messages, upcasters=upcasters)


def test_chain_leads_to_the_present_class() -> None:
    made = codec(Upcaster("first", second), Upcaster("second", deposited))
    assert made.decode("first", '{"cents": "5"}', "s", 1) == Deposited(5, "EUR")
    assert made.decode("second", '{"cents": 6}', "s", 1) == Deposited(6, "EUR")
    assert made.decode("Deposited", '{"amount": 7, "currency": "USD"}', "s", 1).amount == 7
    assert made.types == {Deposited, Withdrawn}


@pytest.mark.parametrize("cls", [First, Second, Third, Model])
def test_old_class_may_be_of_every_kind(cls: type[Any]) -> None:
    def upcast(old: Any) -> Withdrawn:
        assert type(old) is cls
        return Withdrawn(int(old.cents))

    upcast.__annotations__["old"] = cls
    data = '{"cents": "5"}' if cls is First else '{"cents": 5}'
    assert codec(Upcaster("old", upcast)).decode("old", data, "s", 1) == Withdrawn(5)


def test_raw_dict_becomes_one_type_or_another_or_is_skipped_and_counted() -> None:
    made = codec(Upcaster("changed", either))
    assert made.decode("changed", '{"amount": 1}', "s", 1) == Deposited(1, "EUR")
    assert made.decode("changed", '{"amount": -1}', "s", 1) == Withdrawn(1)
    assert made.skipped == {}
    for _ in range(2):
        with pytest.raises(SkippedMessage):
            made.decode("changed", '{"amount": 0}', "s", 1)
    assert made.skipped == {"changed": 2}


def test_class_means_every_name_that_leads_to_it() -> None:
    made = codec(
        Upcaster("first", second),
        Upcaster("second", deposited),
        Upcaster("changed", either),
        messages={"deposited": Deposited, "old": Deposited, "Withdrawn": Withdrawn},
    )
    assert set(made.names_of([Deposited])) == {"deposited", "old", "first", "second", "changed"}
    assert made.names_of([Withdrawn, "x"]) == ("Withdrawn", "changed", "x")
    assert made.classes_of(["first"]) == {Deposited}
    assert made.classes_of(["changed", "unknown"]) == {Deposited, Withdrawn}
    assert made.classes_of([Withdrawn]) == {Withdrawn}
    with pytest.raises(InvalidArgumentError, match="First is not a message type"):
        made.names_of([First])


@pytest.mark.parametrize("data", ['{"amount": "1"}', "{}", "[]", '{"amount": 1', "null"])
def test_failing_upcaster_is_a_message_that_cannot_be_decoded(data: str) -> None:
    with pytest.raises(MessageDecodeError) as caught:
        codec(Upcaster("changed", either)).decode("changed", data, "s", 3)
    assert (caught.value.stream, caught.value.version, caught.value.type) == ("s", 3, "changed")


def test_error_names_the_upcaster_and_its_error() -> None:
    with pytest.raises(MessageDecodeError, match="its upcaster either raised KeyError: 'amount'"):
        codec(Upcaster("changed", either)).decode("changed", "{}", "s", 1)


def test_result_must_be_as_annotated() -> None:
    def wrong(old: First) -> Withdrawn:
        return old  # type: ignore[return-value]

    def nothing(old: First) -> Withdrawn:
        return None  # type: ignore[return-value]

    for function in (wrong, nothing):
        with pytest.raises(MessageDecodeError, match="its annotation names no"):
            codec(Upcaster("a", function)).decode("a", '{"cents": "1"}', "s", 1)


def test_upcaster_may_take_a_present_class_and_be_any_function() -> None:
    def again(factor: int, old: Withdrawn) -> Union[Withdrawn, None]:  # noqa: UP007
        return Withdrawn(old.amount * factor)

    class Callable_:
        def __call__(self, old: Withdrawn) -> Deposited:
            return Deposited(old.amount, "EUR")

    made = codec(Upcaster("a", functools.partial(again, 2)), Upcaster("b", Callable_()))
    assert made.decode("a", '{"amount": 4}', "s", 1) == Withdrawn(8)
    assert made.decode("b", '{"amount": 4}', "s", 1) == Deposited(4, "EUR")


def test_dropped_type_is_skipped() -> None:
    def drop(old: dict[str, Any]) -> None:
        return None

    made = codec(Upcaster("gone", drop))
    with pytest.raises(SkippedMessage):
        made.decode("gone", "{}", "s", 1)
    assert made.classes_of(["gone"]) == set()


def unannotated(old):  # type: ignore[no-untyped-def]
    return old


def no_result(old: First):  # type: ignore[no-untyped-def]
    return old


def two(old: First, more: int) -> Withdrawn:
    return Withdrawn(more)


def by_name(*, old: First) -> Withdrawn:
    return Withdrawn(1)


async def asynchronous(old: First) -> Withdrawn:
    return Withdrawn(1)


class Asynchronous:
    async def __call__(self, old: First) -> Withdrawn:
        return Withdrawn(1)


async def generator(old: First) -> AsyncIterator[Withdrawn]:
    yield Withdrawn(1)


def unknown(old: "Frist") -> Withdrawn:  # type: ignore[name-defined]  # noqa: F821
    return Withdrawn(1)


def back(old: Second) -> First:
    return First("1")


def to_nobody(old: First) -> Third:
    return Third(1)


def to_dict(old: First) -> dict[str, Any]:
    return {}


def any_result(old: First) -> Any:
    return Withdrawn(1)


def other(old: Second) -> Withdrawn:
    return Withdrawn(1)


@pytest.mark.parametrize(
    ("upcasters", "error", "text"),
    [
        ([Upcaster("a", unannotated)], TypeError, "annotate"),
        ([Upcaster("a", no_result)], TypeError, "annotate"),
        ([Upcaster("a", two)], TypeError, "annotate"),  # type: ignore[arg-type]
        ([Upcaster("a", by_name)], TypeError, "takes the stored message"),  # type: ignore[arg-type]
        ([Upcaster("a", asynchronous)], TypeError, "plain function"),
        ([Upcaster("a", Asynchronous())], TypeError, "Asynchronous: .* plain function"),
        ([Upcaster("a", generator)], TypeError, "plain function"),
        ([Upcaster("a", unknown)], TypeError, "Frist.*its module defines or imports"),
        ([Upcaster("a", any_result)], TypeError, "with classes"),
        ([Upcaster("a", 3)], TypeError, "is a function"),  # type: ignore[arg-type]
        ([Upcaster("a", second)], ValueError, "no upcaster takes it"),
        ([Upcaster("a", to_nobody)], ValueError, "no upcaster takes it"),
        ([Upcaster("a", to_dict)], TypeError, "with classes"),
        ([Upcaster("a", second), Upcaster("b", back)], ValueError, "no end"),
        (
            [Upcaster("a", second), Upcaster("b", deposited), Upcaster("c", other)],
            ValueError,
            "two upcasters",
        ),
        ([Upcaster("b", deposited), Upcaster("b", deposited)], ValueError, "two upcasters"),
        ([Upcaster("Deposited", deposited)], ValueError, "new name"),
        ([Upcaster("", deposited)], ValueError, "name"),
        ([Upcaster(3, deposited)], ValueError, "name"),  # type: ignore[arg-type]
        ([Upcaster("a\n", deposited)], ValueError, "name"),
        ([Upcaster("\ud800", deposited)], ValueError, "name"),
        (Upcaster("b", deposited), TypeError, "in a list"),
        ("b", TypeError, "in a list"),
        ([deposited], TypeError, "Upcaster"),
        (None, TypeError, "in a list"),
    ],
)
def test_upcaster_that_cannot_be_used_is_refused(
    upcasters: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        TypedCodec(Deposited | Withdrawn, upcasters=upcasters)


def test_raw_store_takes_no_upcasters() -> None:
    with pytest.raises(TypeError, match="raw store"):
        codec_of(RawMessage, None, None, [Upcaster("b", deposited)])


def test_old_class_is_not_written() -> None:
    with pytest.raises(InvalidArgumentError, match="Second is not a message type"):
        codec(Upcaster("b", deposited)).encode(Second(1))
