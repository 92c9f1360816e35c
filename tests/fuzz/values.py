# ruff: noqa: DTZ901
"""Values that no operation expects, and values that it does, by the names of its parameters."""

import dataclasses
import enum
import inspect
from collections import ChainMap, UserDict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID

import msgspec
import pydantic
from hypothesis import strategies as st

from pgstore import AppendCondition, QueryItem, RawMessage, RunnerHooks, Snapshots
from pgstore._core.arguments import describe


class Event(msgspec.Struct):
    """A message with anything in it."""

    field: Any = None


class Signed(msgspec.Struct):
    """A message whose id can be anything."""

    event_id: Any

    def get_message_id(self) -> Any:
        return self.event_id


class Tagged(msgspec.Struct):
    """A message whose tags can be anything."""

    tags: Any

    def get_tags(self) -> Any:
        return self.tags


class Model(pydantic.BaseModel):
    """A pydantic message with anything in it."""

    field: Any = None


@dataclasses.dataclass
class Data:
    """A dataclass with anything in it."""

    field: Any = None


MESSAGES = Event | Signed | Tagged | Model | Data


@dataclasses.dataclass
class Object:
    """An aggregate."""

    id: str
    version: int = 0
    changes: list[Any] = dataclasses.field(default_factory=list)

    def evolve(self, message: Any) -> None:
        pass


class Raised(Exception):
    """What an object of the caller's raises: it comes out as it is, or as the reason of another."""


class Hostile:
    """An object whose every method raises."""

    def _raise(self, *_: object) -> Any:
        raise Raised

    __repr__ = __str__ = __iter__ = __len__ = __eq__ = __bool__ = __index__ = __float__ = _raise
    __hash__ = __lt__ = __format__ = __call__ = __getitem__ = __contains__ = __fspath__ = _raise


class Letters(str):
    """A text that is not what it says."""

    def __str__(self) -> str:
        return "\0"


class Many(int):
    """A number that is not what it says."""

    def __str__(self) -> str:
        return "many"


class Color(enum.IntEnum):
    RED = 1


class Nowhere(tzinfo):
    """A zone without an offset."""

    def utcoffset(self, moment: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


def deep(levels: int, kind: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = kind(value)
    return value


def endless() -> Any:
    """A list and an object that hold themselves."""
    value: list[Any] = []
    value.append({"self": value})
    return value


MAKERS: list[Callable[[], Any]] = [
    *(
        lambda value=value: value
        for value in [
            None,
            True,
            False,
            0,
            1,
            -1,
            2**31,
            2**62,
            2**63 - 1,
            2**63,
            -(2**63) - 1,
            10**400,
            10**5000,
            -(10**5000),
            0.0,
            1.5,
            -1.0,
            1e-300,
            1e308,
            float("nan"),
            float("inf"),
            float("-inf"),
            "",
            "x",
            "beginning",
            "\0",
            "a\0b",
            "\ud800",
            "a" * 300,
            "ä" * 2000,
            "a\nb",
            "%s",
            "{}",
            "'; SELECT 1; --",
            '"',
            "\\",
            "1",
            "NaN",
            "infinity",
            "metadata:",
            "metadata:\0",
            "-",
            b"",
            b"\xff",
            b"{}",
            bytearray(b"a"),
            Decimal("NaN"),
            Decimal("1e5000"),
            Fraction(1, 3),
            1j,
            date.max,
            datetime.min,
            datetime.max,
            datetime.max.replace(tzinfo=UTC),
            datetime.min.replace(tzinfo=timezone(timedelta(hours=-23))),
            datetime(2026, 1, 1, tzinfo=Nowhere()),
            timedelta.max,
            timedelta(seconds=1),
            UUID(int=0),
            int,
            str,
            type,
            object,
            Event,
            Model,
            Color,
            list[int],
            int | str,
            Any,
            Ellipsis,
            NotImplemented,
            Letters("a"),
            Many(1),
            Color.RED,
            len,
            print,
            lambda *_: 1 / 0,
            range(3),
            Path("/nowhere"),
            msgspec.Raw(b"{"),
            RawMessage("A", b"{}"),
            RawMessage(None, None),  # type: ignore[arg-type]
            RawMessage("A\n", b"\xff"),
            RawMessage("A", b"[" * 5000 + b"]" * 5000),
            Hostile,
            msgspec,
            UTC,
        ]
    ),
    list,
    dict,
    tuple,
    set,
    Hostile,
    object,
    MagicMock,
    deque,
    endless,
    Event,
    Model,
    Data,
    lambda: [None],
    lambda: [[]],
    lambda: [1],
    lambda: [b"\xff"],
    lambda: ["\0"],
    lambda: ["\ud800"],
    lambda: [Hostile()],
    lambda: [object()],
    lambda: [int],
    lambda: ["x", "x"],
    lambda: (1, 2, 3),
    lambda: (0, 0),
    lambda: (2, 1),
    lambda: (None, None),
    lambda: (10**5000, 10**5000),
    lambda: {"a": 10**5000},
    lambda: {"a": float("nan")},
    lambda: {1: 2},
    lambda: {None: 1},
    lambda: {"\ud800": 1},
    lambda: {"a": "\0"},
    lambda: {"a": b"\xff"},
    lambda: {"a": Hostile()},
    lambda: {(): 1},
    lambda: {"a": {1, "b"}},
    lambda: MappingProxyType({"a": 1}),
    lambda: ChainMap({"a": 1}),
    lambda: UserDict(a=1),
    lambda: {"a": Decimal("NaN")},
    lambda: [{"a": 1}, None],
    lambda: iter([1]),
    lambda: (each for each in [Hostile()]),
    lambda: deep(200, lambda value: [value]),
    lambda: deep(5000, lambda value: [value]),
    lambda: {"a": deep(5000, lambda value: {"a": value})},
    lambda: {"a": endless()},
    lambda: Signed(None),
    lambda: [Signed(Hostile())],
    lambda: [Signed(UUID(int=7))] * 2,
    lambda: [Event, Signed],
    lambda: QueryItem(tags=["a"]),
    lambda: QueryItem(tags=[], types=[]),
    lambda: [QueryItem(tags=["a" * 256], types=[int])],
    lambda: AppendCondition(QueryItem(tags=["a"], types=[Event]), "0+"),
    lambda: AppendCondition(QueryItem(tags=["a"]), "99999999999999999+1"),
    lambda: AppendCondition([QueryItem(tags=["a"])] * 101, "no token"),
    lambda: [Event(1), Event],
]

# By number: hypothesis would show them all.
_MADE = st.integers(0, len(MAKERS) - 1).map(lambda number: MAKERS[number]())
ANYTHING: st.SearchStrategy[Any] = (
    _MADE
    | _MADE
    | _MADE
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.integers()
    | st.floats()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.lists(_MADE, max_size=3)
    | st.lists(_MADE, max_size=3).map(tuple)
    | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), _MADE, max_size=3)
)
MESSAGE = (
    ANYTHING.map(Event)
    | ANYTHING.map(Signed)
    | ANYTHING.map(Tagged)
    | ANYTHING.map(Data)
    | ANYTHING.map(lambda value: Model.model_construct(field=value))
)
RAW_MESSAGE = st.tuples(
    ANYTHING | st.just("A"), ANYTHING | st.just(b"{}"), ANYTHING | st.none()
).map(lambda given: RawMessage(*given))

_POSITION = st.integers(0, 20)
_SIGNED = st.integers(0, 5).map(lambda number: Signed(UUID(int=number)))
_GIVEN = [Event(1), Signed(UUID(int=1)), Model(field=1), Data(1)]

# What is given for a parameter of this name, where nothing is to be wrong.
EXPECTED: dict[str, st.SearchStrategy[Any]] = {
    "stream": st.sampled_from(["fuzz-1", "fuzz-2"]),
    "message": st.sampled_from(_GIVEN),
    "messages": st.lists(_SIGNED, max_size=3, unique_by=lambda each: each.event_id),
    "expected_version": st.none() | st.integers(0, 2),
    "metadata": st.sampled_from([None, {"a": 1}]),
    "conn": st.none(),
    "tags": st.sampled_from([None, ["a"], {"a", "b"}]),
    "unless": st.sampled_from([None, AppendCondition(QueryItem(tags=["c"]), "0+")]),
    "query": st.sampled_from(
        [QueryItem(tags=["a"]), [QueryItem(tags=["a", "b"], types=["Event"])]]
    ),
    "from_version": st.none() | _POSITION,
    "to_version": st.none() | _POSITION,
    "up_to_position": st.none() | _POSITION,
    "max_count": st.none() | st.integers(0, 3),
    "backward": st.booleans(),
    "type": st.sampled_from([None, "Event"]),
    "message_id": st.integers(0, 5).map(lambda number: UUID(int=number)),
    "message_ids": st.lists(st.integers(0, 5).map(lambda number: UUID(int=number)), max_size=3),
    "after_position": st.just(0),
    "types": st.sampled_from([None, ["Event"], ["Signed", "Data"]]),
    "category": st.just("fuzz"),
    "categories": st.sampled_from([None, ["fuzz"], []]),
    "stream_pattern": st.sampled_from([None, "fuzz%"]),
    "correlation_id": st.sampled_from(["x", "y"]),
    "partition": st.sampled_from([None, 0]),
    "partition_by": st.sampled_from(["stream", "cardinal_id", "metadata:a"]),
    "name": st.sampled_from(["one", "two"]),
    "partitions": st.integers(1, 3),
    "start": st.sampled_from(["beginning", "end", 0, datetime(2026, 1, 1, tzinfo=UTC)]),
    "on_failure": st.sampled_from(["stop", "park"]),
    "max_attempts": st.integers(1, 3),
    "retry_delay": st.just(0.5),
    "unknown_types": st.sampled_from(["refuse", "skip"]),
    "ignore": st.sampled_from([(), ["Event"]]),
    "batch_size": st.integers(1, 10),
    "acknowledge": st.sampled_from(["batch", "message"]),
    "workers": st.just(1),
    "lease": st.just(5.0),
    "hooks": st.sampled_from([None, RunnerHooks()]),
    "signals": st.booleans(),
    "raise_errors": st.booleans(),
    "to": st.integers(0, 3),
    "due": st.sampled_from([timedelta(0), timedelta(days=1), datetime(2026, 1, 1, tzinfo=UTC)]),
    "due_by": st.sampled_from([None, datetime(2026, 1, 1, tzinfo=UTC)]),
    "scheduled": st.just(False),
    "publish": st.just(None),
    "old": st.just("one"),
    "position": st.just(0),
    "global_position": st.none() | _POSITION,
    "from_position": st.none() | _POSITION,
    "against": st.none(),
    "last": st.integers(1, 3),
    "upcasters": st.just(()),
    "timeout": st.just(0.01),
    "wakeup": st.sampled_from(["listen", "poll"]),
    "prepare_threshold": st.sampled_from([5, None]),
    "read_conninfo": st.none(),
    "group_writes": st.booleans(),
    "enc_hook": st.none(),
    "dec_hook": st.none(),
    "evolve": st.just(lambda state, message: state),
    "state": st.just(Event),
    "initial": st.none(),
    "aggregate": st.just(Object) | st.builds(Object, st.just("1"), changes=st.just([Event(1)])),
    "snapshots": st.sampled_from([None, Snapshots("s", every=1)]),
    "cache": st.integers(0, 2),
    "decision": st.sampled_from([lambda _: Event(1), lambda _: [], lambda _: None]),
    "attempts": st.just(2),
    "at_version": st.none() | st.integers(0, 2),
    "at": st.sampled_from([None, datetime(2026, 1, 1, tzinfo=UTC)]),
    "id": st.sampled_from(["1", "2"]),
}


class Given:
    """Values that are given to a call, whose own representation may raise."""

    def __init__(self, *values: Any, **named: Any) -> None:
        self.values = values
        self.named = named

    def __repr__(self) -> str:
        return ", ".join(
            [
                *map(describe, self.values),
                *(f"{name}={describe(value)}" for name, value in self.named.items()),
            ]
        )


@st.composite
def arguments(
    draw: st.DrawFn,
    function: Callable[..., Any],
    expected: dict[str, st.SearchStrategy[Any]] = EXPECTED,
    hostile: st.SearchStrategy[Any] = ANYTHING,
) -> Given:
    """Arguments of a function, by name: what it expects, but for one or two of them."""
    parameters = {
        name: each
        for name, each in inspect.signature(function).parameters.items()
        if each.kind is not each.VAR_POSITIONAL and name != "self"
    }
    wrong = draw(st.lists(st.sampled_from(sorted(parameters)), max_size=2)) if parameters else []
    return Given(
        **{
            name: draw(hostile if name in wrong else expected[name])
            for name, each in parameters.items()
            if name in wrong or each.default is each.empty or draw(st.booleans())
        }
    )
