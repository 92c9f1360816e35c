"""Message types of every kind that a store takes."""

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import attrs
import msgspec
import pydantic
import pydantic.dataclasses

HAPPENED_AT = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)


class EventA(msgspec.Struct):
    num: int


class EventB(msgspec.Struct):
    text: str


class Moved(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    distance: float
    path: tuple[str, ...] = ()


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True):
    first_name: str
    last_name: str | None = None


class Paid(msgspec.Struct):
    amount: Decimal
    at: datetime
    by: dict[str, list[int]]


class Signed(msgspec.Struct, kw_only=True):
    """A Struct that brings its id."""

    text: str
    event_id: UUID = msgspec.field(default_factory=uuid4)

    def get_message_id(self) -> UUID:
        return self.event_id


class Enrolled(msgspec.Struct):
    """A message with tags of its own, and an id."""

    student: str
    course: str
    event_id: UUID = msgspec.field(default_factory=uuid4)

    def get_message_id(self) -> UUID:
        return self.event_id

    def get_tags(self) -> list[str]:
        return [f"student:{self.student}", f"course:{self.course}"]


class Carrying(msgspec.Struct):
    """A message whose tags can be anything."""

    tags: Any = None

    def get_tags(self) -> Any:
        return self.tags


@dataclasses.dataclass(frozen=True)
class Opened:
    owner: str
    tags: list[str] = dataclasses.field(default_factory=list)


@attrs.define
class Closed:
    reason: str
    at: datetime


class AccountOpened(pydantic.BaseModel):
    """As in depeche_db: a model with an id and a time."""

    owner: str
    event_id: UUID = pydantic.Field(default_factory=uuid4)
    happened_at: datetime = pydantic.Field(default_factory=lambda: datetime.now(UTC))

    def get_message_id(self) -> UUID:
        return self.event_id

    def get_message_time(self) -> datetime:
        return self.happened_at


class AccountClosed(pydantic.BaseModel):
    event_id: UUID = pydantic.Field(default_factory=uuid4)
    happened_at: datetime = pydantic.Field(default_factory=lambda: datetime.now(UTC))

    def get_message_id(self) -> UUID:
        return self.event_id

    def get_message_time(self) -> datetime:
        return self.happened_at


class Address(pydantic.BaseModel):
    house_number: int = pydantic.Field(alias="houseNumber")


class Aliased(pydantic.BaseModel):
    """A model whose fields have other names outside, in each of pydantic's ways, nested too."""

    model_config = pydantic.ConfigDict(extra="forbid")

    first: int = pydantic.Field(alias="firstNumber")
    second: int = pydantic.Field(validation_alias="secondNumber")
    third: int = pydantic.Field(serialization_alias="thirdNumber")
    address: Address


@pydantic.dataclasses.dataclass(frozen=True)
class Counted:
    count: pydantic.PositiveInt
    at: datetime


class Money:
    """A class that msgspec knows only through hooks."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)


class Priced(msgspec.Struct):
    price: Money


def encode_money(value: object) -> object:
    if isinstance(value, Money):
        return value.cents
    raise NotImplementedError


def decode_money(kind: type, value: object) -> object:
    if kind is Money and isinstance(value, int):
        return Money(value)
    raise NotImplementedError


KINDS: list[object] = [
    EventA(42),
    Moved(distance=0.1, path=("a", "b")),
    Renamed("Ada", "Lovelace"),
    Renamed("Ada"),
    Paid(Decimal("0.10"), HAPPENED_AT, {"ä": [1, 2**63 - 1]}),
    Opened("Ada", ["new"]),
    Closed("fraud", HAPPENED_AT),
    Aliased.model_validate(
        {"firstNumber": 1, "secondNumber": 2, "third": 3, "address": {"houseNumber": 4}}
    ),
    Counted(3, HAPPENED_AT),
]
Anything = (
    EventA
    | EventB
    | Moved
    | Renamed
    | Paid
    | Signed
    | Opened
    | Closed
    | AccountOpened
    | AccountClosed
    | Aliased
    | Counted
)
