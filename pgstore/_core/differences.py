"""Where a message differs from the one that its JSON is read as, also where `==` shows none."""

import dataclasses
import json
import math
import re
import typing
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Set
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

_EXPONENT = re.compile(rb"[\[:,\s]-?[0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]")
_ABSENT = object()


class Difference(msgspec.Struct, frozen=True):
    """A value that would come back as another one; `path` is the fields that lead to it."""

    path: str
    sent: object
    back: object


class _Part(typing.NamedTuple):
    """A value in another one: how an error names it, its key in JSON, the value."""

    label: str
    key: object
    value: object


def parts_of(value: object) -> list[_Part] | None:
    """The values in a message, a collection or a mapping; None if it is neither."""
    kind = type(value)
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return [_Part(f".{name}", key, getattr(value, name, _ABSENT)) for name, key in names]
    if dataclasses.is_dataclass(kind):
        return _attributes(value, [field.name for field in dataclasses.fields(kind)])
    if (fields := getattr(kind, "__attrs_attrs__", None)) is not None:
        return _attributes(value, [field.name for field in fields])
    if (fields := getattr(kind, "__pydantic_fields__", None)) is not None:
        found = _attributes(value, list(fields))
        for more in ("__pydantic_extra__", "__pydantic_private__"):
            inside: Mapping[str, object] = getattr(value, more, None) or {}
            found += [_Part(f".{name}", name, each) for name, each in inside.items()]
        return found
    if isinstance(value, Mapping):
        return [_Part(f"[{key!r}]", key, each) for key, each in value.items()]
    if isinstance(value, list | tuple | deque):
        return [_Part(f"[{n}]", n, each) for n, each in enumerate(value)]
    return None


def _attributes(value: object, names: list[str]) -> list[_Part]:
    return [_Part(f".{name}", name, getattr(value, name, _ABSENT)) for name in names]


def difference(sent: object, back: object, path: str = "") -> Difference | None:
    """The first place where two values differ; None if they are the same."""
    if sent is back:
        return None
    here = Difference(path, sent, back)
    ours, theirs = parts_of(sent), parts_of(back)
    if ours is None or theirs is None:
        return None if _same(sent, back) else here
    if _kind(sent) is not _kind(back) or len(ours) != len(theirs):
        return here
    if isinstance(sent, Mapping):
        if isinstance(sent, OrderedDict) and list(sent) != _in_order_of_jsonb(sent):
            return here
        found: dict[object, object] = dict(back)  # type: ignore[call-overload]
        pairs = [(each, found.get(each.key, _ABSENT)) for each in ours]
    else:
        pairs = [(each, other.value) for each, other in zip(ours, theirs, strict=True)]
    for each, other in pairs:
        inside = difference(each.value, other, path + each.label)
        if inside is not None:
            return inside
    return None


def _kind(value: object) -> type:
    """The class of a message; of a list or mapping of any class, the plain one."""
    kinds = (Mapping, list, tuple, deque)
    return next((kind for kind in kinds if isinstance(value, kind)), type(value))


def _in_order_of_jsonb(keys: Mapping[typing.Any, object]) -> list[object]:
    return sorted(keys, key=lambda key: (len(str(key).encode()), str(key).encode()))


def _same(sent: object, back: object) -> bool:
    """Tell whether two values that have no parts are the same."""
    try:
        if sent == back:
            return True
    except Exception:  # no bool: of an array, for example
        return type(sent) is type(back) and _same_state(sent, back)
    match sent, back:
        case msgspec.Raw(), msgspec.Raw():
            return _numbers(bytes(sent)) == _numbers(bytes(back))
        case float() | Decimal(), float() | Decimal():
            return math.isnan(sent) and math.isnan(back)
        case (datetime(), datetime()) if sent.tzinfo is not None and back.tzinfo is not None:
            # An hour that a clock shows twice is equal to none of another zone.
            return sent.astimezone(UTC) == back.astimezone(UTC)
    has_no_equality = type(sent).__eq__ is object.__eq__
    return has_no_equality and type(sent) is type(back) and _same_state(sent, back)


def _same_state(sent: object, back: object) -> bool:
    """Compare objects whose class has no `==` by the state that pickle would keep of them."""
    try:
        ours, theirs = sent.__reduce_ex__(4)[1:3], back.__reduce_ex__(4)[1:3]
    except Exception:
        return False
    return difference(ours, theirs) is None


def not_finite(value: object, path: str = "") -> Difference | None:
    """The first number in a message that JSON does not have: a NaN or an infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return Difference(path, value, None)
    inside = list(value) if isinstance(value, Set) else None
    parts = [_Part("", None, each) for each in inside] if inside else parts_of(value)
    found = (not_finite(each.value, path + each.label) for each in parts or ())
    return next((each for each in found if each is not None), None)


def unencodable(
    value: object, encode: Callable[[object], object], path: str = ""
) -> tuple[str, object]:
    """The innermost value that cannot be encoded, and the path to it."""
    for each in parts_of(value) or ():
        try:
            encode(each.value)
        except Exception:
            return unencodable(each.value, encode, path + each.label)
    return path, value


def with_sorted_sets(message: object, data: bytes) -> bytes:
    """The JSON of a message with its sets in an order that is the same in every process."""
    return _text(_sorted(message, json.loads(data)))


def _text(plain: object) -> bytes:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()


def _sorted(value: object, plain: typing.Any) -> typing.Any:
    """Return a value's JSON, with its sets as sorted arrays."""
    if isinstance(value, Set) and isinstance(plain, list):
        inside = [_sorted(each, other) for each, other in zip(value, plain, strict=False)]
        return sorted(inside, key=lambda each: json.dumps(each, sort_keys=True))
    parts = parts_of(value)
    if not parts:
        return plain
    if getattr(type(value), "__pydantic_root_model__", False):
        return _sorted(parts[0].value, plain)
    if isinstance(plain, dict):
        # Keys that are no texts become some: then by their order, which is that of the mapping.
        keys = list(plain)
        for n, each in enumerate(parts):
            key = each.key if isinstance(each.key, str) else keys[n] if n < len(keys) else None
            if key in plain:
                plain[key] = _sorted(each.value, plain[key])
    elif isinstance(plain, list):
        # The tag of an array-like Struct stands before its fields.
        first = max(len(plain) - len(parts), 0) if isinstance(value, msgspec.Struct) else 0
        for n, each in enumerate(parts[: len(plain) - first], first):
            plain[n] = _sorted(each.value, plain[n])
    return plain


def plain_with_sorted_sets(value: object, encode: Callable[[object], bytes]) -> object:
    """Collections as lists and dictionaries, with sets in the same order in every process."""
    if isinstance(value, Set):
        return sorted((plain_with_sorted_sets(each, encode) for each in value), key=encode)
    if isinstance(value, Mapping):
        return {key: plain_with_sorted_sets(each, encode) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain_with_sorted_sets(each, encode) for each in value]
    return value


def as_jsonb_gives_it(data: bytes) -> bytes:
    """JSON with numbers as PostgreSQL gives them back: it knows no exponents."""
    if _EXPONENT.search(data) is None:
        return data
    return _text(_numbers(data))


def _numbers(data: bytes) -> object:
    return json.loads(data, parse_float=_number)


def _number(text: str) -> int | float:
    exact = Decimal(text)
    # No float has more than 309 digits, and nothing that jsonb takes has more than 131,072.
    exponent = exact.as_tuple().exponent
    whole = isinstance(exponent, int) and 0 <= exponent < 131_072
    return int(exact) if whole else float(text)
