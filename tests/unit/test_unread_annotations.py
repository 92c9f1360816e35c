"""Message classes whose annotations cannot be evaluated."""

import dataclasses
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from pgstore._core.codec import TypedCodec


class AStruct(msgspec.Struct):
    field: "Unheard"  # type: ignore[name-defined]  # noqa: F821


class Divided(msgspec.Struct):
    field: "1 / 0"  # type: ignore[valid-type]


class Broken(msgspec.Struct):
    field: "list["  # type: ignore[valid-type]  # noqa: F722


@dataclasses.dataclass
class ADataclass:
    field: "Unheard"  # type: ignore[name-defined]  # noqa: F821


@attrs.define
class AnAttrsClass:
    field: "Unheard"  # type: ignore[name-defined]  # noqa: F821


class AModel(pydantic.BaseModel):
    field: "Unheard"  # type: ignore[name-defined]  # noqa: F821


class Outer(pydantic.BaseModel):
    field: AModel


@pydantic.dataclasses.dataclass
class OfPydantic:
    field: "Unheard"  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "cls", [AStruct, Divided, Broken, ADataclass, AnAttrsClass, AModel, Outer, OfPydantic]
)
def test_annotations_that_cannot_be_evaluated_are_told_when_the_store_is_made(cls: Any) -> None:
    with pytest.raises(TypeError) as caught:
        TypedCodec[Any](cls)
    text = str(caught.value)
    assert text.startswith(f"{cls.__name__} cannot be a message: its annotations cannot be read: ")
    assert text.endswith(
        ": name classes that its module defines or imports before the store is made"
    )
    assert "\n" not in text


class Deferred(pydantic.BaseModel):
    """Built at its first use, and refused for its shape all the same."""

    model_config = pydantic.ConfigDict(defer_build=True)
    field: "Later"


class Later(pydantic.BaseModel):
    number: int


@pydantic.dataclasses.dataclass(config=pydantic.ConfigDict(defer_build=True))
class WithoutItsInput:
    number: dataclasses.InitVar[int]


def test_a_class_that_is_built_at_its_first_use_is_a_message_class() -> None:
    message = Deferred(field=Later(number=1))
    codec = TypedCodec[Any](Deferred)
    name, data = codec.encode(message)
    assert codec.decode(name, data.decode(), "a-1", 1) == message
    with pytest.raises(TypeError, match="InitVar"):
        TypedCodec[Any](WithoutItsInput)
