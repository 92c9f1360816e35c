"""Every shape of a class comes back, or is refused: by the store, or when a message is written."""

import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest

from pgstore import InvalidArgumentError, MessageDecodeError
from pgstore._core.codec import TypedCodec
from tests.codec.kinds import AsJsonb, outcome_of
from tests.codec.shapes import NO_CLASSES, Case, cases
from tests.codec.values import SEEN, Address, Point, Sized
from tools import message_classes


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: f"{case.kind}-{case.label[:30]}")
def test_a_message_comes_back_or_is_refused_with_an_error_that_helps(
    case: Case, as_jsonb: AsJsonb
) -> None:
    cls, message = case.made()
    outcome, text = outcome_of(cls, message, as_jsonb, SEEN.get(case.label))
    if outcome != "comes back":
        assert cls.__name__ in text or "Message" in text
        assert re.search(r"field|name it|make it|pass |make Message|InitVar|write None|use a", text)


def test_the_page_shows_what_becomes_of_each_shape(as_jsonb: AsJsonb) -> None:
    page = message_classes.PAGE.read_text()
    assert page == message_classes.with_tables(page, as_jsonb), (
        "run tools/message_classes.py, and look at what has changed"
    )


@pytest.mark.parametrize("cls", NO_CLASSES, ids=str)
def test_a_type_that_is_no_message_class_is_refused_with_and_without_a_name(cls: Any) -> None:
    for messages in (cls, cls | Point if isinstance(cls, type) else cls, {"Named": cls}):
        with pytest.raises(TypeError, match="class"):
            TypedCodec(messages, enc_hook=str, dec_hook=lambda kind, value: kind(value))


def test_foreign_json_is_read_by_aliases_unless_they_are_names_of_other_fields() -> None:
    class Swapped(pydantic.BaseModel):
        a: int = pydantic.Field(alias="b")
        b: int = pydantic.Field(alias="a")
        c: int = pydantic.Field(default=0, alias="third")

    class Outside(pydantic.BaseModel):
        c: int = pydantic.Field(alias="third")

    codec: TypedCodec[Any] = TypedCodec(Swapped | Outside)
    assert codec.decode("Outside", '{"third": 3}', "s", 1) == Outside(third=3)
    assert codec.decode("Swapped", '{"a": 1, "b": 2}', "s", 1) == Swapped(a=2, b=1)


class Deep(msgspec.Struct):
    inside: Any


class DeepModel(pydantic.BaseModel):
    inside: Any


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("cls", [Deep, DeepModel])
def test_what_is_nested_too_deep_for_python_is_refused(cls: Callable[..., Any]) -> None:
    codec: TypedCodec[Any] = TypedCodec(Deep | DeepModel)
    message = cls(inside=nested(99))
    name, data = codec.encode(message)
    assert codec.decode(name, data.decode(), "s", 1) == message
    for levels in (5_000, 100_000):
        with pytest.raises(InvalidArgumentError, match="deep"):
            codec.encode(cls(inside=nested(levels)) if cls is Deep else deep_model(levels))
        with pytest.raises(MessageDecodeError):
            codec.decode(name, '{"inside": %s}' % ("[" * levels + "]" * levels), "s", 1)


def deep_model(levels: int) -> DeepModel:
    return DeepModel.model_construct(inside=nested(levels))


class Odd:
    """A value that is equal to nothing, and whose comparison is no bool."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


class Held(msgspec.Struct):
    odd: Odd


@pytest.mark.parametrize("lost", [False, True])
def test_values_of_hooks_are_compared_by_their_state_if_they_cannot_be_compared(lost: bool) -> None:
    codec: TypedCodec[Any] = TypedCodec(
        Held, lambda odd: odd.value, lambda kind, value: Odd("x" if lost else value)
    )
    if lost:
        with pytest.raises(InvalidArgumentError, match="odd is <"):
            codec.encode(Held(Odd("a")))
    else:
        assert codec.encode(Held(Odd("a")))[1] == b'{"odd":"a"}'


def test_a_field_deep_inside_is_named() -> None:
    class Inside(pydantic.BaseModel):
        places: dict[str, list[Sized]]

    class Plain(msgspec.Struct):
        places: dict[str, list[Address]]
        note: Any = None

    codec: TypedCodec[Any] = TypedCodec(Inside | Plain)
    wrong = Sized.model_construct(size="big")
    with pytest.raises(InvalidArgumentError, match=r"places.a.1.size: Input should be"):
        codec.encode(Inside.model_construct(places={"a": [Sized(size=1), wrong]}))
    with pytest.raises(InvalidArgumentError, match=r"note\['at'\]\[0\] is .*UTC"):
        codec.encode(Plain({}, note={"at": [ZoneInfo("UTC")]}))
    with pytest.raises(InvalidArgumentError, match=r"note\[0\] is nan.*None"):
        codec.encode(Plain({}, note=[float("nan")]))
