"""Shapes of classes and kinds of values: of each kind of class, what is taken and what is not.

`tools/message_classes.py` makes docs/reference/message-classes.md from them.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic
import pydantic.dataclasses

from tests.codec.kinds import KINDS, Kind, class_of
from tests.codec.values import NAN, VALUES, Color, Named, Place

T = TypeVar("T")
Made = Callable[[], tuple[type, object]]


def _value(kind: Kind, annotation: Any, value: Any) -> tuple[type, object]:
    cls = class_of(kind, "Message", {"field": annotation})
    if kind == "pydantic":
        return cls, cls.model_construct(field=value)  # type: ignore[attr-defined]
    return cls, cls(field=value)


def private(kind: Kind) -> tuple[type, object]:
    @dataclass
    class Data:
        _city: str

    class Struct(msgspec.Struct):
        _city: str

    @attrs.define
    class Attrs:
        _city: str = "Turin"

    class Model(pydantic.BaseModel):
        city: str = "Turin"
        _source: str = pydantic.PrivateAttr("web")

    made = {"dataclass": Data("Rome"), "msgspec": Struct("Rome"), "attrs": Attrs("Rome")}
    model = Model()
    model._source = "shop"
    message = made.get(kind, model)
    return type(message), message


def computed(kind: Kind) -> tuple[type, object]:
    @dataclass
    class Data:
        x: int
        double: int = field(init=False)

        def __post_init__(self) -> None:
            self.double = self.x * 2

    class Struct(msgspec.Struct):
        x: int
        double: int = 0

        def __post_init__(self) -> None:
            self.double = self.x * 2

    @attrs.define
    class Attrs:
        x: int
        double: int = attrs.field(init=False)

        def __attrs_post_init__(self) -> None:
            self.double = self.x * 2

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        x: int

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return self.x * 2

    cls = {"dataclass": Data, "msgspec": Struct, "attrs": Attrs, "pydantic": Model}[kind]
    return cls, cls(x=3)


def set_later(kind: Kind) -> tuple[type, object]:
    @dataclass
    class Data:
        x: int = field(init=False, default=1)

    @attrs.define
    class Attrs:
        x: int = attrs.field(init=False, default=1)

    @pydantic.dataclasses.dataclass
    class Model:
        x: int = field(init=False, default=1)

    made = {"dataclass": Data, "attrs": Attrs, "pydantic": Model}[kind]()
    made.x = 2  # type: ignore[attr-defined]
    return type(made), made


def changing(kind: Kind) -> tuple[type, object]:
    @dataclass
    class Data:
        x: int

        def __post_init__(self) -> None:
            self.x += 1

    class Struct(msgspec.Struct):
        x: int

        def __post_init__(self) -> None:
            self.x += 1

    @attrs.define
    class Attrs:
        x: int

        def __attrs_post_init__(self) -> None:
            self.x += 1

    class Model(pydantic.BaseModel):
        x: int

        @pydantic.field_validator("x")
        @classmethod
        def _more(cls, value: int) -> int:
            return value + 1

    cls = {"dataclass": Data, "msgspec": Struct, "attrs": Attrs, "pydantic": Model}[kind]
    return cls, cls(x=3)


def stripped(text: str) -> str:
    return text.strip()


def converting(kind: Kind) -> tuple[type, object]:
    @attrs.define
    class Attrs:
        x: str = attrs.field(converter=stripped)

    class Model(pydantic.BaseModel):
        x: Annotated[str, pydantic.BeforeValidator(str.strip), pydantic.AfterValidator(str.upper)]

    cls = {"attrs": Attrs, "pydantic": Model}[kind]
    return cls, cls(x=" a ")


def init_var(kind: Kind) -> tuple[type, object]:
    @dataclass
    class Data:
        x: int
        more: InitVar[int] = 0

    @pydantic.dataclasses.dataclass
    class Model:
        x: int
        more: InitVar[int] = 0

    cls = {"dataclass": Data, "pydantic": Model}[kind]
    return cls, cls(1, 2)


def uncompared(kind: Kind) -> tuple[type, object]:
    @dataclass
    class Data:
        x: int
        note: str = field(default="", compare=False)
        _: dataclasses.KW_ONLY
        of: ClassVar[int] = 3

    class Struct(msgspec.Struct, eq=False):
        x: int

    @attrs.define(eq=False)
    class Attrs:
        x: int
        note: str = attrs.field(default="")

    class Model(pydantic.BaseModel):
        x: int

        def __eq__(self, other: object) -> bool:
            return False

    made = {"dataclass": Data(1, "n"), "msgspec": Struct(1), "attrs": Attrs(1, "n")}
    message = made.get(kind, Model(x=1))
    return type(message), message


def generic(kind: Kind) -> tuple[type, object]:
    @dataclass
    class Data(Generic[T]):
        x: T

    class Struct(msgspec.Struct, Generic[T]):
        x: T

    @attrs.define
    class Attrs(Generic[T]):
        x: T

    class Model(pydantic.BaseModel, Generic[T]):
        x: T

    made = {"dataclass": Data(1), "msgspec": Struct(1), "attrs": Attrs(1)}
    message = made.get(kind, Model[int](x=1))
    return type(message), message


def inherited(kind: Kind) -> tuple[type, object]:
    base = class_of(kind, "Base", {"x": int}, x=1)
    namespace = {"__annotations__": {"y": list[int]}, "__module__": __name__}
    if kind == "msgspec":
        cls = msgspec.defstruct("Sub", [("y", list[int])], bases=(base,), kw_only=True, frozen=True)
    else:
        cls = type("Sub", (base,), namespace)
        if kind == "dataclass":
            cls = dataclass(kw_only=True)(cls)
        elif kind == "attrs":
            cls = attrs.define(kw_only=True)(cls)
    return cls, cls(x=2, y=[1])


def struct_with(_: Kind, *, fields: Any = (), **options: Any) -> tuple[type, object]:
    cls = msgspec.defstruct("Struct", list(fields) or [("a", int), ("b", int, 2)], **options)
    return cls, cls(1)


def tagged_union(kind: Kind) -> tuple[type, object]:
    class Cat(msgspec.Struct, tag=True):
        name: str

    class Dog(msgspec.Struct, tag=True):
        name: str

    class MCat(pydantic.BaseModel):
        kind: Literal["cat"] = "cat"

    class MDog(pydantic.BaseModel):
        kind: Literal["dog"] = "dog"

    if kind == "pydantic":
        union = Annotated[MCat | MDog, pydantic.Field(discriminator="kind")]
        return _value(kind, union, MDog())
    return _value(kind, Cat | Dog, Dog("Rex"))


def model(body: Callable[[], pydantic.BaseModel]) -> Callable[[Kind], tuple[type, object]]:
    def made(_: Kind) -> tuple[type, object]:
        message = body()
        return type(message), message

    return made


def aliased() -> pydantic.BaseModel:
    class Model(pydantic.BaseModel):
        first: int = pydantic.Field(alias="firstNumber")
        second: int = pydantic.Field(serialization_alias="secondNumber")
        third: int = pydantic.Field(validation_alias=pydantic.AliasPath("numbers", 0))
        fourth: int = pydantic.Field(validation_alias=pydantic.AliasChoices("four", "vier"))

    return Model.model_validate({"firstNumber": 1, "second": 2, "numbers": [3], "vier": 4})


def swapped() -> pydantic.BaseModel:
    class Model(pydantic.BaseModel):
        a: int = pydantic.Field(alias="b")
        b: int = pydantic.Field(alias="a")

    return Model(a=1, b=2)


def with_extra() -> pydantic.BaseModel:
    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        a: int

    return Model.model_validate({"a": 1, "other": [1]})


def excluded() -> pydantic.BaseModel:
    class Model(pydantic.BaseModel):
        a: int
        b: int = pydantic.Field(default=1, exclude=True)

    return Model(a=1, b=2)


def excluded_required() -> pydantic.BaseModel:
    class Model(pydantic.BaseModel):
        a: int = pydantic.Field(exclude=True)

    return Model(a=1)


def root() -> pydantic.BaseModel:
    class Model(pydantic.RootModel[dict[str, set[int]]]):
        pass

    return Model({"a": {1, 2}})


def strict() -> pydantic.BaseModel:
    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True, frozen=True)
        a: float
        b: tuple[int, ...]
        c: UUID

    return Model(a=1.5, b=(1, 2), c=UUID(int=1))


def revealed() -> pydantic.BaseModel:
    class Model(pydantic.BaseModel):
        a: pydantic.SecretStr

        @pydantic.field_serializer("a")
        def _reveal(self, value: pydantic.SecretStr) -> str:
            return value.get_secret_value()

    return Model(a=pydantic.SecretStr("x"))


def strings_of_numbers() -> pydantic.BaseModel:
    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(ser_json_inf_nan="strings", ser_json_bytes="base64",
                                           val_json_bytes="base64")  # fmt: skip
        a: float
        b: bytes

    return Model(a=NAN, b=b"\xff")


MSGSPEC: tuple[Kind, ...] = ("msgspec",)
PYDANTIC: tuple[Kind, ...] = ("pydantic",)
NOT_MSGSPEC: tuple[Kind, ...] = ("dataclass", "attrs", "pydantic")

# A shape of a class, the kinds that have it, and a message of it.
SHAPES: list[tuple[str, tuple[Kind, ...], Callable[[Kind], tuple[type, object]]]] = [
    ("a private field, or a private attribute that was set", KINDS, private),
    ("a field that is computed from others", KINDS, computed),
    ("`init=False`, set later", NOT_MSGSPEC, set_later),
    ("`InitVar`", ("dataclass", "pydantic"), init_var),
    ("a converter or validator that leaves alone what it made", ("attrs", "pydantic"), converting),
    ("a `__post_init__` or validator that changes it again", KINDS, changing),
    ("no `==`, or one that leaves fields out", KINDS, uncompared),
    ("a generic class", KINDS, generic),
    ("inheritance, `kw_only`, `frozen`, defaults, slots, `ClassVar`", KINDS, inherited),
    ("a tagged union", KINDS, tagged_union),
    ("`rename`, also to the name of another field", MSGSPEC,
     functools.partial(struct_with, rename={"a": "b", "b": "a"})),
    ("`omit_defaults`", MSGSPEC, functools.partial(struct_with, omit_defaults=True)),
    ("`array_like`", MSGSPEC, functools.partial(struct_with, array_like=True, tag="x")),
    ("`forbid_unknown_fields`, `tag`, `tag_field`", MSGSPEC,
     functools.partial(struct_with, forbid_unknown_fields=True, tag="x", tag_field="c")),
    ("`msgspec.UNSET`", MSGSPEC,
     functools.partial(struct_with, fields=[("a", int),
                                            ("b", int | msgspec.UnsetType, msgspec.UNSET)])),
    ("`alias`, `validation_alias`, `serialization_alias`, `AliasPath`", PYDANTIC, model(aliased)),
    ("an alias that is another field's name", PYDANTIC, model(swapped)),
    ('`extra="allow"`', PYDANTIC, model(with_extra)),
    ("`exclude=True`, with another value than the default", PYDANTIC, model(excluded)),
    ("`exclude=True` without a default", PYDANTIC, model(excluded_required)),
    ("`RootModel`", PYDANTIC, model(root)),
    ("`strict=True`", PYDANTIC, model(strict)),
    ("`SecretStr` with a `field_serializer` that gives its value", PYDANTIC, model(revealed)),
    ('`ser_json_inf_nan="strings"`, `ser_json_bytes="base64"`', PYDANTIC,
     model(strings_of_numbers)),
]  # fmt: skip


class Case(NamedTuple):
    """A row of the table, of one kind of class."""

    label: str
    kind: Kind
    made: Made


def cases() -> Iterator[Case]:
    """All shapes of all kinds."""
    for label, annotation, value in VALUES:
        for kind in KINDS:
            yield Case(label, kind, functools.partial(_value, kind, annotation, value))
    for label, kinds, made in SHAPES:
        for kind in kinds:
            yield Case(label, kind, functools.partial(made, kind))


NO_CLASSES: list[Any] = [
    int, str, bytes, list, dict, tuple, Place, Named, Color, object, type(None), typing.Any
]  # fmt: skip
