"""Values of fields: what of each kind of class comes back, and what is refused."""

import collections
import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pydantic.dataclasses
from typing_extensions import TypedDict


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Place(NamedTuple):
    x: int
    y: int


class Named(TypedDict):
    first: str


@dataclass(frozen=True)
class Point:
    x: int


@dataclass(frozen=True)
class Point3(Point):
    z: int


class Address(msgspec.Struct, frozen=True):
    city: str


class Postal(Address, frozen=True):
    code: str


class Sized(pydantic.BaseModel):
    size: int


class Boxed(Sized):
    depth: int


class Plain:
    pass


ROME = ZoneInfo("Europe/Rome")
NAN = float("nan")

# What of a field is compared where `==` does not tell.
SEEN: dict[str, Callable[[Any], object]] = {
    "`datetime` in the hour that a zone has twice": datetime.timestamp,
    "`msgspec.Raw`": lambda raw: json.loads(bytes(raw)),
}

# A field of a type, and a value in it.
VALUES: list[tuple[str, Any, Any]] = [
    ("`bool`, `int`, `str`, `None`", tuple[bool, int, str, None], (True, -5, "ä\n\x01", None)),
    ("`int` of more than 64 bits", int, 2**200),
    ("`int` of more than 4,300 digits", int, 1 << 20_000),
    ("`float`", list[float], [0.1, 1e16, 1e23, 1.7976931348623157e308, 5e-324, 2.0]),
    ("NaN or an infinity in `float`", float, NAN),
    ("NaN or an infinity in `float \\| None`", float | None, NAN),
    ("`int \\| float`", int | float, 2.5),
    ("a `float` of 10^16 or more in `int \\| float`", int | float, 1.2345678e30),
    ("`int \\| str`", list[int | str], [1, "1"]),
    ("`Decimal`", list[Decimal], [Decimal("1.10"), Decimal("1E+3"), Decimal(3)]),
    ("`datetime`, with a zone or without", list[datetime], [datetime(2024, 2, 29, 12, 30),  # noqa: DTZ001
                                                             datetime(2024, 2, 29, tzinfo=UTC)]),
    ("`datetime` in the hour that a zone has twice", datetime,
     datetime(2024, 10, 27, 2, 30, tzinfo=ROME, fold=1)),
    ("`date`, `time`, `timedelta`", tuple[date, time, timedelta],
     (date(1, 1, 1), time(23, 59, 59, 999999), timedelta(days=-1, microseconds=7))),
    ("`UUID`", UUID, UUID(int=7)),
    ("`bytes` in UTF-8", bytes, b"abc"),
    ("`bytes` of any kind", bytes, b"\xff\x00"),
    ("`Enum`, `Literal`", tuple[Color, Level, Literal["a"]], (Color.RED, Level.LOW, "a")),
    ("`list`, `tuple`, `dict`, one in the other", dict[str, list[tuple[int, ...]]],
     {"a": [(1, 2), ()]}),
    ("`dict` with keys of `int`, `UUID`, `date` or an `Enum`",
     tuple[dict[int, str], dict[UUID, int], dict[Color, int]],
     ({2: "b", 1: "a"}, {UUID(int=1): 1}, {Color.RED: 1})),
    ("`dict` with keys of `tuple`", dict[tuple[int, int], str], {(1, 2): "a"}),
    ("`set`, `frozenset`", tuple[set[str], frozenset[int]], ({"a", "b"}, frozenset({1, 2}))),
    ("`set` of values without an order", tuple[set[Color], set[int | str]],
     ({Color.RED, Color.BLUE}, {1, "a"})),
    ("`NamedTuple`, `TypedDict`", tuple[Place, Named], (Place(1, 2), {"first": "Ada"})),
    ("a dataclass", Point, Point(1)),
    ("a msgspec Struct", Address, Address("Turin")),
    ("a pydantic model", Sized, Sized(size=1)),
    ("an instance of a subclass of a dataclass", Point, Point3(1, 2)),
    ("an instance of a subclass of a pydantic model", Sized, Boxed(size=1, depth=2)),
    ("`Any`, `object`: any JSON", dict[str, Any], {"a": [1, 2.5, True, None, {"b": "c"}]}),
    ("`Any`, `object`: a tuple, a time, a set", Any, (1, 2)),
    ("a `float` of 10^16 or more in `Any`", Any, 1.2345678e30),
    ("a value of another type than the field's", int, "ten"),
    ("half of a surrogate pair in `str`", str, "\ud800"),
    ("`pydantic.SecretStr`", pydantic.SecretStr, pydantic.SecretStr("x")),
    ("`pydantic.Json[…]`", pydantic.Json[list[int]], [1]),
    ("`collections.OrderedDict`", collections.OrderedDict[str, int],
     collections.OrderedDict(bb=1, a=2)),
    ("`msgspec.Raw`", msgspec.Raw, msgspec.Raw(b'{"b": 1,\n"a": 2}')),
    ("`complex`", complex, 1j),
    ("an object of another class", Plain, Plain()),
]  # fmt: skip
