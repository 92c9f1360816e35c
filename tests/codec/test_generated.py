"""Classes of all four kinds with fields of any type, and messages of them: all come back equal.

PGSTORE_TEST_EXAMPLES   how many classes to try for each test; otherwise a few, always the same
"""

import enum
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from keyword import iskeyword
from typing import Any, Literal, NamedTuple
from uuid import UUID

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.codec.kinds import KINDS, AsJsonb, Kind, class_of, outcome_of

EXAMPLES = os.environ.get("PGSTORE_TEST_EXAMPLES")

generated = settings(
    max_examples=int(EXAMPLES or 60),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    # One connection serves all examples of a test.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Of(NamedTuple):
    """The type of a field, and values of it."""

    annotation: Any
    values: st.SearchStrategy[Any]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
ZONES = st.builds(timezone, st.integers(-23, 23).map(lambda hours: timedelta(hours=hours)))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)

KEYS = [
    Of(str, TEXTS),
    Of(int, st.integers()),
    Of(Color, st.sampled_from(Color)),
]
HASHABLE = [
    *KEYS,
    Of(bool, st.booleans()),
    Of(float, FLOATS),
    Of(Literal["a", 1], st.sampled_from(["a", 1])),
]
PLAIN = [
    *HASHABLE,
    Of(type(None), st.none()),
    Of(bytes, TEXTS.map(str.encode)),
]
OTHERS = [
    Of(datetime, st.datetimes(timezones=st.none() | ZONES)),
    Of(date, st.dates()),
    Of(time, st.times()),
    Of(timedelta, st.timedeltas()),
    Of(Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    Of(UUID, st.uuids()),
]


def several(of: Of) -> st.SearchStrategy[Of]:
    """Collections of a type."""
    inner: Any = of.annotation
    lists = st.lists(of.values, max_size=4)
    found = [
        Of(list[inner], lists),
        Of(tuple[inner, ...], lists.map(tuple)),
        Of(tuple[inner, int], st.tuples(of.values, st.integers())),
    ]
    for keys in KEYS:
        key: Any = keys.annotation
        found.append(Of(dict[key, inner], st.dictionaries(keys.values, of.values, max_size=4)))
    if inner is not type(None):
        found.append(Of(inner | None, of.values | st.none()))
    return st.sampled_from(found)


def sets(of: Of) -> st.SearchStrategy[Of]:
    inner: Any = of.annotation
    found = st.sets(of.values, max_size=5)
    return st.sampled_from([Of(set[inner], found), Of(frozenset[inner], found.map(frozenset))])


TYPES = st.recursive(
    st.sampled_from(PLAIN + OTHERS) | st.sampled_from(HASHABLE).flatmap(sets),
    lambda inner: inner.flatmap(several),
    max_leaves=4,
)
NAMES = st.text("abcxyz", min_size=1, max_size=4).filter(lambda name: not iskeyword(name))


@st.composite
def messages(draw: st.DrawFn, kind: Kind, types: st.SearchStrategy[Of]) -> tuple[type, Any]:
    """A class and a message of it, with a class of the same kind in a field, or not."""
    fields = draw(st.dictionaries(names_for(kind), types, min_size=1, max_size=5))
    if draw(st.booleans()):
        inner = class_of(kind, "Inner", {"field": (first := draw(types)).annotation})
        fields["inner"] = Of(inner, first.values.map(lambda value: made(inner, field=value)))
    values = {name: draw(of.values) for name, of in fields.items()}
    defaults = {
        name: value
        for name, value in values.items()
        if isinstance(value, int | str | None) and draw(st.booleans())
    }
    cls = class_of(
        kind, "Message", {name: of.annotation for name, of in fields.items()}, **defaults
    )
    return cls, made(cls, **values)


def names_for(kind: Kind) -> st.SearchStrategy[str]:
    """Names of fields: a private one cannot be had everywhere."""
    private = kind in ("attrs", "pydantic")
    return NAMES if private else NAMES | NAMES.map("_{}".format)


def made(cls: type, **values: Any) -> Any:
    # What a model has checked may be set to anything later.
    construct: Callable[..., Any] = getattr(cls, "model_construct", cls)
    return construct(**values)


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_of_ordinary_fields_comes_back(kind: Kind, as_jsonb: AsJsonb) -> None:
    @generated
    @given(messages(kind, TYPES))
    def check(made: tuple[type, Any]) -> None:
        assert outcome_of(*made, as_jsonb) == ("comes back", "")

    check()


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary() | st.uuids()
    | st.text(st.characters(exclude_characters="\0")) | st.decimals() | st.timedeltas()
    | st.datetimes(timezones=st.none() | st.timezones()) | st.just(UTC) | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner)
    | st.dictionaries(TEXTS | st.integers() | st.none() | st.tuples(st.integers()), inner)
    | st.sets(st.integers() | TEXTS),
    max_leaves=5,
)  # fmt: skip
ANNOTATIONS: list[Any] = [
    Any, object, int | float, int | str, float | None, bytes, bool | int, set[Any], list[Any],
    dict[str, Any], pydantic.SecretStr, pydantic.Json, complex,
]  # fmt: skip
HOSTILE = st.builds(
    Of,
    st.sampled_from(ANNOTATIONS) | TYPES.map(lambda of: of.annotation),
    st.just(ANYTHING),
)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_in_the_fields_it_comes_back_or_is_refused(
    kind: Kind, as_jsonb: AsJsonb
) -> None:
    @generated
    @given(messages(kind, HOSTILE | TYPES))
    def check(made: tuple[type, Any]) -> None:
        outcome_of(*made, as_jsonb)

    check()
